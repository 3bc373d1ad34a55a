using Flotilla.Raft;
using Flotilla.Shards.Handoff;
using Flotilla.Topology;

namespace Flotilla.Shards.Tests.Handoff;

public sealed class HandoffMessageCodecTests
{
    private static readonly HandoffId Id = new(new GroupId(0xFEDCBA9876543210), new LogIndex(77));
    private static readonly ShardId From = new(3);
    private static readonly Attempt Attempt = new(new Term(5), 2);

    private static HandoffMessage[] Samples()
    {
        var slots = SlotEpochs.Of(SlotSet.Of([new Slot(1), new Slot(2), new Slot(9000)]), new SlotEpoch(4));
        return
        [
            new HandoffMessage.Offer(Id, From, Attempt, slots, [slots.Slots]),
            new HandoffMessage.Data(Id, From, Attempt, 9, new byte[] { 1, 2, 3 }),
            new HandoffMessage.Ready(Id, From, Attempt),
            new HandoffMessage.Decide(Id, From, Attempt, 12, UInt128.MaxValue - 5, long.MaxValue),
            new HandoffMessage.GiveUp(Id, From),
            new HandoffMessage.Over(Id, From, new LogIndex(76)),
            new HandoffMessage.Answer(Id, From, TargetState.Staging, Attempt, 3, [1, UInt128.MaxValue]),
            new HandoffMessage.Answer(Id, From, TargetState.Busy, default, 0, null),
        ];
    }

    [Fact]
    public void Every_message_comes_back_as_it_was()
    {
        foreach (var message in Samples())
        {
            var bytes = HandoffMessageCodec.Encode(message);
            var read = HandoffMessageCodec.Decode(bytes);
            Assert.Equal(message.GetType(), read.GetType());
            Assert.Equal((message.Id, message.From), (read.Id, read.From));
            Assert.Equal(bytes, HandoffMessageCodec.Encode(read));
        }
    }

    [Fact]
    public void What_is_cut_or_goes_on_is_refused()
    {
        foreach (var message in Samples())
        {
            var bytes = HandoffMessageCodec.Encode(message);
            for (var length = 0; length < bytes.Length; length++)
            {
                Assert.Throws<MalformedPayloadException>(() => HandoffMessageCodec.Decode(bytes.AsMemory(0, length)));
            }

            Assert.Throws<MalformedPayloadException>(() => HandoffMessageCodec.Decode((byte[])[.. bytes, 0]));
        }

        Assert.Throws<MalformedPayloadException>(() => HandoffMessageCodec.Decode(new byte[] { 8, 1, 1, 1 }));
    }
}
