using Flotilla.Raft;
using Flotilla.Registers;
using Flotilla.Registers.Overlays;
using Flotilla.Shards.Epochs;
using Version = Flotilla.Data.Version;

namespace Flotilla.Shards.Tests.Epochs;

/// <summary>Messages and records of registers as bytes.</summary>
public sealed class RegisterCodecTests
{
    private static readonly RegisterEpoch Epoch = new(300);
    private static readonly QuestionId Question = new(2, 7);
    private static readonly Stamp Plain = new(new Version(1, 2, 300, Stamp.SubOf(new Voter(1), 3)), Expired: false);
    private static readonly Item Value = Item.Of("k"u8.ToArray(), Plain, "v"u8.ToArray(), 1000);
    private static readonly Item Gone = Item.Gone("m"u8.ToArray(), Plain);
    private static readonly Item Lapsed = Value.AsExpired();

    private static RegisterMessage[] Messages()
    {
        var groups = new ulong[SlotDigests.GroupCount];
        (groups[1], groups[^1]) = (ulong.MaxValue, 5);
        return
        [
            new Query(Epoch, Question, "k"u8.ToArray(), WantsItem: true, Plain),
            new QueryReply(Epoch, Question, Plain, null),
            new QueryReply(Epoch, Question, Lapsed.Stamp, Lapsed),
            new Store(Epoch, Question, Value),
            new Stored(Epoch, Question),
            new Spread(Epoch, Question, [Value, Gone]),
            new SpreadReply(Epoch, Question),
            new Compare(Epoch, Question, groups),
            new CompareReply(Epoch, Question, [1, 127], [new SlotDigest(128, 9), new SlotDigest(16383, ulong.MaxValue)]),
            new Page(Epoch, Question, 16383, "a"u8.ToArray(), [new KeyStamp("k"u8.ToArray(), Plain), new KeyStamp("m"u8.ToArray(), Lapsed.Stamp)], IsLast: false),
            new PageReply(Epoch, Question, [Value], ["m"u8.ToArray()], "m"u8.ToArray(), IsLast: true),
            new MergeQuery(Epoch, Question, "k"u8.ToArray()),
            new MergeReply(Epoch, Question, [Lapsed, Gone], IsLast: true),
        ];
    }

    private static RegisterRecord[] Records() =>
    [
        new RegisterRecord.Mark(MarkKind.Opened, Epoch, 300, new RegisterEpoch(200)),
        new RegisterRecord.Held(Epoch, Value),
        new RegisterRecord.Held(Epoch, Gone),
        new RegisterRecord.Mark(MarkKind.Sealed, Epoch, 301),
        new RegisterRecord.Mark(MarkKind.Ended, Epoch, 302),
    ];

    [Fact]
    public void The_formats_never_change()
    {
        const string head = "AC02" + "0207";
        const string version = "01" + "02" + "AC02" + "83808080808040";
        const string value = "016B" + version + "00" + "E807" + "0176";
        const string gone = "016D" + version + "01";
        const string lapsed = "016B" + version + "03";
        string[] expected =
        [
            "01" + head + "016B" + "01" + version + "00",
            "02" + head + version + "00" + "00",
            "02" + head + version + "01" + "01" + lapsed,
            "03" + head + value,
            "04" + head,
            "05" + head + "02" + value + gone,
            "06" + head,
            "07" + head + new string('0', 16) + "FFFFFFFFFFFFFFFF" + new string('0', 16 * 125) + "0500000000000000",
            "08" + head + "02" + "01" + "7F" + "02" + "8001" + "0900000000000000" + "FF7F" + "FFFFFFFFFFFFFFFF",
            "09" + head + "FF7F" + "0161" + "00" + "02" + "016B" + version + "00" + "016D" + version + "01",
            "0A" + head + "01" + value + "01" + "016D" + "016D" + "01",
            "0B" + head + "016B",
            "0C" + head + "01" + "02" + lapsed + gone,
        ];
        Assert.Equal(string.Join('\n', expected), string.Join('\n', Messages().Select(m => Convert.ToHexString(RegisterMessageCodec.Encode(m)))));
        Assert.Equal(
            "01" + "05" + "0100" + "AC02" + "AC02" + "C801" + "02" + "AC02" + value + "02" + "AC02" + gone + "0101" + "AC02" + "AD02" + "00" + "0102" + "AC02" + "AE02" + "00",
            Convert.ToHexString(RegisterRecordCodec.Encode(Records())));
    }

    [Fact]
    public void What_was_encoded_is_decoded()
    {
        foreach (var message in Messages())
        {
            var bytes = RegisterMessageCodec.Encode(message);
            var decoded = RegisterMessageCodec.Decode(bytes);
            Assert.Equal((message.GetType(), message.Epoch), (decoded.GetType(), decoded.Epoch));
            Assert.Equal(bytes, RegisterMessageCodec.Encode(decoded));
        }

        var records = RegisterRecordCodec.Decode(RegisterRecordCodec.Encode(Records()));
        Assert.Equal(RegisterRecordCodec.Encode(Records()), RegisterRecordCodec.Encode(records));

        // What the disk says is what the replica said.
        var recovery = new RegisterRecovery();
        foreach (var record in records.Take(3))
        {
            recovery.Apply(record);
        }

        Assert.Equal((Epoch, 2L, Plain), (recovery.Marks.Opened, recovery.Overlay.Count, recovery.Overlay.StampOf("m"u8)));
        Assert.True(recovery.Overlay.TryGet("k"u8.ToArray(), out var item));
        Assert.Equal(("v", 1000), (System.Text.Encoding.ASCII.GetString(item.Value.Span), item.ExpiresAtMs));
    }

    [Fact]
    public void What_is_cut_or_goes_on_is_refused()
    {
        foreach (var bytes in Messages().Select(RegisterMessageCodec.Encode))
        {
            for (var length = 0; length < bytes.Length; length++)
            {
                Assert.Throws<MalformedPayloadException>(() => RegisterMessageCodec.Decode(bytes.AsMemory(0, length)));
            }

            Assert.Throws<MalformedPayloadException>(() => RegisterMessageCodec.Decode((byte[])[.. bytes, 0]));
        }

        var records = RegisterRecordCodec.Encode(Records());
        for (var length = 0; length < records.Length; length++)
        {
            Assert.Throws<MalformedPayloadException>(() => RegisterRecordCodec.Decode(records.AsMemory(0, length)));
        }

        Assert.Throws<MalformedPayloadException>(() => RegisterRecordCodec.Decode((byte[])[.. records, 0]));
    }

    [Fact]
    public void Whatever_else_is_refused_or_has_that_one_encoding()
    {
        var random = new SplitMix64(11);
        var messages = Messages();
        var refused = 0;
        for (var i = 0; i < 30_000; i++)
        {
            var isMessage = random.Chance(0.8);
            var bytes = isMessage ? RegisterMessageCodec.Encode(messages[random.Below(messages.Length)]) : RegisterRecordCodec.Encode(Records());
            for (var changes = random.Below(3); changes >= 0; changes--)
            {
                bytes[random.Below(Math.Min(bytes.Length, 60))] = random.Chance(0.5) ? (byte)random.Below(20) : (byte)random.Next();
            }

            try
            {
                Assert.Equal(bytes, isMessage ? RegisterMessageCodec.Encode(RegisterMessageCodec.Decode(bytes)) : RegisterRecordCodec.Encode(RegisterRecordCodec.Decode(bytes)));
            }
            catch (MalformedPayloadException)
            {
                refused++;
            }
        }

        Assert.InRange(refused, 5000, 29_000);
    }
}
