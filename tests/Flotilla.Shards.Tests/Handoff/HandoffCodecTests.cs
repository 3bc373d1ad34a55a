using Flotilla.Raft;
using Flotilla.Shards.Handoff;
using Flotilla.Topology;
using Flotilla.Topology.Descriptors;

namespace Flotilla.Shards.Tests.Handoff;

/// <summary>Steps of handoffs as bytes.</summary>
public sealed class HandoffCodecTests
{
    private static readonly HandoffId Id = new(new GroupId(300), new LogIndex(9));
    private static readonly Attempt Attempt = new(new Term(4), 2);

    private static SlotEpochs Slots
    {
        get
        {
            var epochs = new uint[Slot.Count];
            epochs.AsSpan(5, 3).Fill(1);
            epochs[100] = 2;
            epochs[Slot.Count - 1] = 2;
            return SlotEpochs.Of(epochs);
        }
    }

    private static HandoffStep[] OneOfEach =>
    [
        new HandoffStep.Begin(new GroupId(1), new ShardId(2), new GroupId(300), Slots),
        new HandoffStep.Cancel(new LogIndex(9)),
        new HandoffStep.Freeze(new LogIndex(9)),
        new HandoffStep.Release(new LogIndex(9)),
        new HandoffStep.Unfreeze(new LogIndex(9)),
        new HandoffStep.Close(new LogIndex(9)),
        new HandoffStep.Open(Id, Attempt, new ShardId(2), Slots, [SlotSet.Of([SlotRange.Of(5, 7)]), SlotSet.Of([SlotRange.Of(100, 100), SlotRange.Of(Slot.Count - 1, Slot.Count - 1)])]),
        new HandoffStep.Stage(Id, Attempt, 300, new byte[] { 1, 7 }),
        new HandoffStep.Prepare(Id, Attempt),
        new HandoffStep.Accept(Id, Attempt, 3, ((UInt128)1 << 120) + 2, 1000),
        new HandoffStep.Abort(Id),
        new HandoffStep.Settle(new GroupId(300), new LogIndex(9)),
        new HandoffStep.Purge(1, "a"u8.ToArray(), "b"u8.ToArray()),
        new HandoffStep.SetState(ShardState.Leaving),
        new HandoffStep.SetWeight(50),
        new HandoffStep.SetMode(ShardMode.Sync),
        new HandoffStep.SetInSync(new NodeId("n1"), IsIn: true),
    ];

    [Fact]
    public void The_format_on_disk_never_changes()
    {
        const string slots = "03" + "0503" + "5C01" + "9A7F01" + "0103" + "0202";
        string[] expected =
            [
                "01" + "01" + "02" + "AC02" + slots,
                "0209", "0309", "0409", "0509", "0609",
                "07" + "AC0209" + "0402" + "02" + slots + "02" + "010503" + "02" + "6401" + "9A7F01",
                "08" + "AC0209" + "0402" + "AC02" + "020107",
                "09" + "AC0209" + "0402",
                "0A" + "AC0209" + "0402" + "03" + "02000000000000000000000000000001" + "E807",
                "0B" + "AC0209",
                "0C" + "AC02" + "09",
                "0D" + "01" + "0161" + "0162",
                "0E03",
                "0F32",
                "1002",
                "11" + "026E31" + "01",
            ];
        Assert.Equal(string.Join('\n', expected), string.Join('\n', OneOfEach.Select(s => Convert.ToHexString(HandoffCodec.Encode(7, s))["810700000000000000".Length..])));
        Assert.All(OneOfEach, s => Assert.StartsWith("810700000000000000", Convert.ToHexString(HandoffCodec.Encode(7, s)), StringComparison.Ordinal));
    }

    [Fact]
    public void What_was_encoded_is_decoded()
    {
        foreach (var step in OneOfEach)
        {
            var bytes = HandoffCodec.Encode(12345, step);
            Assert.True(HandoffCodec.IsStep(bytes));
            var (stampMs, decoded) = HandoffCodec.Decode(bytes);
            Assert.Equal(12345, stampMs);
            Assert.Equal(step.GetType(), decoded.GetType());
            Assert.Equal(bytes, HandoffCodec.Encode(stampMs, decoded));
        }

        Assert.False(HandoffCodec.IsStep(CommandCodec.Encode(0, [])));
    }

    [Fact]
    public void Whatever_else_is_refused_or_has_that_one_encoding()
    {
        var random = new SplitMix64(5);
        var refused = 0;
        for (var i = 0; i < 20_000; i++)
        {
            var bytes = HandoffCodec.Encode(7, OneOfEach[random.Below(OneOfEach.Length)]);
            for (var changes = random.Below(3); changes >= 0; changes--)
            {
                bytes[9 + random.Below(bytes.Length - 9)] = random.Chance(0.5) ? (byte)random.Below(20) : (byte)random.Next();
            }

            bytes = random.Chance(0.2) ? bytes[..(1 + (int)random.Below(bytes.Length))] : bytes;
            try
            {
                var (stampMs, step) = HandoffCodec.Decode(bytes);
                Assert.Equal(bytes, HandoffCodec.Encode(stampMs, step));
            }
            catch (MalformedPayloadException)
            {
                refused++;
            }
        }

        Assert.InRange(refused, 2000, 19_000);
    }
}
