using Flotilla.Raft;
using static Flotilla.Shards.Tests.Harness.Words;
using Version = Flotilla.Data.Version;

namespace Flotilla.Shards.Tests;

public sealed class CommandCodecTests
{
    private static readonly Command[] OneOfEach =
    [
        Command.Put(B("key"), B("value"), 300),
        Command.Delete(B("key")),
        Command.CompareAndSwap(B("key"), new Version(1, 2, 300, 4), B("v"), 5),
        Command.PutIfAbsent(B("k"), default),
        Command.Increment(B("k"), -3),
        Command.CompareAndDelete(B("k"), new Version(uint.MaxValue, 0, ulong.MaxValue, 1)),
    ];

    private static readonly Command[] OneOfEachOnce =
    [
        Command.OpenSession() with { Once = new Once.Opening(new SessionTerms(3_600_000, 4096, 10_000, 1_000_000)) },
        Command.CloseSession(new SessionId(new LogIndex(300), 2)),
        Command.Delete(B("k")) with { Once = new Once.InSession(new SessionId(new LogIndex(300), 2), 1000, 998) },
        Command.Delete(B("k")) with { Once = new Once.InSession(new SessionId(new LogIndex(5), 1), 7, 7, IsRetry: true, new GroupId(300)) },
        Command.Increment(B("k"), -3) with { Once = new Once.InSession(new SessionId(new LogIndex(1), 0), ulong.MaxValue, ulong.MaxValue, IsRetry: true) },
        Command.Put(B("k"), B("v")) with { Once = new Once.ByKey(B("pay-7"), new KeyTerms(3_600_000, 64 << 20)) },
        Command.Delete(B("k")) with { Once = new Once.ByKey(B("pay-7"), new KeyTerms(3_600_000, 64 << 20), 300) },
    ];

    [Fact]
    public void The_format_on_disk_never_changes() =>
        Assert.Equal(
            "05 15CD5B0700000000 06"
            + " 01 036B6579 AC02 0576616C7565"
            + " 02 036B6579"
            + " 03 036B6579 01 02 AC02 04 05 0176"
            + " 04 016B 00 00"
            + " 05 016B 05"
            + " 06 016B FFFFFFFF0F 00 FFFFFFFFFFFFFFFFFF01 01",
            Grouped(Convert.ToHexString(CommandCodec.Encode(123456789, OneOfEach))));

    [Fact]
    public void What_makes_a_command_happen_once_never_changes_on_disk_either() =>
        Assert.Equal(
            "050000000000000000" + "07"
            + "07" + "80DDDB01" + "8020" + "904E" + "C0843D"
            + "08" + "AC0202"
            + "82" + "AC0202" + "E607" + "02" + "016B"
            + "E2" + "AC02" + "0501" + "07" + "00" + "016B"
            + "A5" + "0100" + "FFFFFFFFFFFFFFFFFF01" + "00" + "016B" + "05"
            + "41" + "057061792D37" + "80DDDB01" + "80808020" + "016B" + "00" + "0176"
            + "62" + "057061792D37" + "80DDDB01" + "80808020" + "AC02" + "016B",
            Convert.ToHexString(CommandCodec.Encode(0, OneOfEachOnce)));

    [Fact]
    public void A_log_written_in_format_1_is_still_read()
    {
        var payload = CommandCodec.Encode(123456789, OneOfEach);
        payload[0] = 1;
        var decoded = new List<Command>();
        Assert.Equal(123456789, CommandCodec.Decode(payload, decoded));
        Assert.Equal(OneOfEach.Select(Printed).ToArray(), decoded.Select(Printed).ToArray());

        // But it knows no sessions: their bytes are not taken for something else.
        var newer = CommandCodec.Encode(0, OneOfEachOnce);
        newer[0] = 1;
        Refused(newer);
    }

    [Fact]
    public void A_plain_command_pays_nothing_for_sessions()
    {
        var plain = Command.Put(B("a key of 16 byte"), new byte[100]);
        Assert.Equal(1 + 17 + 1 + 101, CommandCodec.SizeOf(in plain));
    }

    [Fact]
    public void What_was_encoded_is_decoded()
    {
        var random = new SplitMix64(1);
        var decoded = new List<Command>();
        for (var i = 0; i < 3000; i++)
        {
            var commands = new Command[random.Below(20)];
            for (var c = 0; c < commands.Length; c++)
            {
                commands[c] = RandomCommand(ref random);
            }

            var stampMs = RandomLong(ref random) & long.MaxValue;
            var payload = CommandCodec.Encode(stampMs, commands);
            Assert.Equal(stampMs, CommandCodec.Decode(payload, decoded));
            Assert.Equal(commands.Select(Printed).ToArray(), decoded.Select(Printed).ToArray());
        }
    }

    [Fact]
    public void Keys_and_values_are_slices_of_the_payload()
    {
        var payload = CommandCodec.Encode(0, OneOfEach);
        var decoded = new List<Command>();
        CommandCodec.Decode(payload, decoded);
        Assert.True(payload.AsSpan().Overlaps(decoded[0].Key.Span));
        Assert.True(payload.AsSpan().Overlaps(decoded[0].Value.Span));
    }

    [Fact]
    public void The_reckoned_size_is_the_size()
    {
        var random = new SplitMix64(2);
        var header = CommandCodec.Encode(0, []).Length;
        for (var i = 0; i < 3000; i++)
        {
            var command = RandomCommand(ref random);
            Assert.Equal(header + CommandCodec.SizeOf(in command), CommandCodec.Encode(0, [command]).Length);
        }

        Assert.InRange(header, 1, CommandCodec.MaxHeaderBytes);
    }

    [Fact]
    public void A_payload_cut_anywhere_is_refused()
    {
        var payload = CommandCodec.Encode(99, [.. OneOfEach, .. OneOfEachOnce]);
        for (var length = 0; length < payload.Length; length++)
        {
            Refused(payload.AsMemory(0, length));
        }

        Refused((byte[])[.. payload, 0]);
    }

    [Fact]
    public void A_changed_byte_never_does_worse_than_decode_to_something_else()
    {
        var payload = CommandCodec.Encode(99, [.. OneOfEach, .. OneOfEachOnce]);
        for (var at = 0; at < payload.Length; at++)
        {
            for (var value = 0; value < 256; value++)
            {
                DecodesOrIsRefused([.. payload[..at], (byte)value, .. payload[(at + 1)..]]);
            }
        }
    }

    [Fact]
    public void Random_bytes_never_do_worse_than_decode_to_something()
    {
        var random = new SplitMix64(3);
        for (var i = 0; i < 50_000; i++)
        {
            var bytes = new byte[random.Below(40)];
            foreach (ref var b in bytes.AsSpan())
            {
                b = random.Chance(0.5) ? (byte)(random.Below(9) | (random.Chance(0.3) ? random.Below(8) << 5 : 0)) : (byte)random.Next();
            }

            if (bytes.Length > 9 && random.Chance(0.9))
            {
                bytes[0] = (byte)(1 + random.Below(3));
                bytes[8] &= 0x7F;
            }

            DecodesOrIsRefused(bytes);
        }
    }

    [Theory]
    [InlineData("06 0000000000000000 00", "an unknown format")]
    [InlineData("00 0000000000000000 00", "no format")]
    [InlineData("01 0000000000000000 01 82 0100 00 00 016B", "a session in format 1")]
    [InlineData("02 0000000000000000 01 07 016B 01 01 01", "a session opened under an unlikely idle time")]
    [InlineData("02 0000000000000000 01 07 00 01 01 01", "a session that expires at once")]
    [InlineData("02 0000000000000000 01 07 01 818040 01 01", "a window beyond the largest")]
    [InlineData("02 0000000000000000 01 07 01 01 00 01", "a table without room")]
    [InlineData("02 0000000000000000 01 87 01 00 00 00 01 01 01 01", "an opening in a session")]
    [InlineData("02 0000000000000000 01 28 01 00", "a closing that is a retry")]
    [InlineData("02 0000000000000000 01 09 016B", "a kind from the future")]
    [InlineData("02 0000000000000000 01 C2 05 0100 00 00 016B", "a session of another group in format 2")]
    [InlineData("03 0000000000000000 01 C2 00 0100 00 00 016B", "a session of no group")]
    [InlineData("02 0000000000000000 01 22 016B", "a retry of nothing")]
    [InlineData("02 0000000000000000 01 62 0161 01 01 016B", "a retry by key")]
    [InlineData("02 0000000000000000 01 82 01FFFFFFFF1F 00 00 016B", "a place over 32 bits")]
    [InlineData("02 0000000000000000 01 82 0100 FFFFFFFFFFFFFFFFFF01 01 016B", "a sequence over 64 bits")]
    [InlineData("02 0000000000000000 01 42 00 01 01 016B", "an empty idempotency key")]
    [InlineData("02 0000000000000000 01 42 0161 00 01 016B", "an idempotency key without a life")]
    [InlineData("02 0000000000000000 01 82 0100 00 00 00", "an empty key in a session")]
    [InlineData("01 0000000000000080 00", "a negative stamp")]
    [InlineData("01 0000000000000000 01", "a command is missing")]
    [InlineData("01 0000000000000000 FFFFFFFF07", "a count beyond all memory")]
    [InlineData("01 0000000000000000 8000", "a number longer than needed")]
    [InlineData("01 0000000000000000 01 00 016B", "kind 0")]
    [InlineData("01 0000000000000000 01 07 016B", "a kind from the future")]
    [InlineData("01 0000000000000000 01 02 00 00", "an empty key")]
    [InlineData("01 0000000000000000 01 02 056B", "a key that is cut")]
    [InlineData("01 0000000000000000 01 01 016B 00 FFFFFFFF07", "a value beyond all memory")]
    [InlineData("01 0000000000000000 01 01 016B FFFFFFFFFFFFFFFFFF01 00", "a life of 2^64 ms")]
    [InlineData("01 0000000000000000 01 06 016B FFFFFFFF1F 00 00 00", "a slot epoch over 32 bits")]
    [InlineData("01 0000000000000000 01 05 016B FFFFFFFFFFFFFFFFFF02", "a delta over 64 bits")]
    [InlineData("01 0000000000000000 01 05 016B FFFFFFFFFFFFFFFFFFFF01", "a delta over 10 bytes")]
    [InlineData("01 0000000000000000 00 00", "a byte too many")]
    public void A_malformed_payload_is_refused(string hex, string why)
    {
        var message = Refused(Convert.FromHexString(hex.Replace(" ", "", StringComparison.Ordinal)));
        Assert.Contains("malformed at byte", message, StringComparison.Ordinal);
        Assert.NotEmpty(why);
    }

    [Fact]
    public void What_cannot_be_decoded_is_not_encoded()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => CommandCodec.Encode(-1, []));
        Assert.Throws<ArgumentOutOfRangeException>(() => CommandCodec.Encode(0, [Command.Delete(default)]));
        Assert.Throws<ArgumentOutOfRangeException>(() => CommandCodec.Encode(0, [Command.Put(B("k"), B("v"), -1)]));
        Assert.Throws<ArgumentOutOfRangeException>(() => CommandCodec.Encode(0, [new Command((CommandKind)99, B("k"), default, default, 0, 0)]));
        Assert.Throws<ArgumentOutOfRangeException>(() => CommandCodec.Encode(0, [Command.OpenSession()]));
        Command[] wrong =
        [
            Command.Delete(B("k")) with { Once = new Once.InSession(default, 4, 5) },
            Command.Delete(B("k")) with { Once = new Once.ByKey(default, KeyTerms.Default) },
            Command.Delete(B("k")) with { Once = new Once.ByKey(new byte[256], KeyTerms.Default) },
            Command.Delete(B("k")) with { Once = new Once.ByKey(B("id")) },
            Command.Delete(B("k")) with { Once = new Once.ByKey(B("id"), KeyTerms.Default, -1) },
            Command.Delete(B("k")) with { Once = new Once.Closing(default) },
            Command.OpenSession() with { Once = new Once.Opening(SessionTerms.Default with { Window = SessionTerms.MaxWindow + 1 }) },
            Command.OpenSession() with { Once = null },
            Command.CloseSession(default) with { Once = new Once.InSession(default, 5, 5) },
        ];
        Assert.All(wrong, command => Assert.Throws<ArgumentOutOfRangeException>(() => CommandCodec.Encode(0, [command])));
    }

    private static string Grouped(string hex)
    {
        // Byte groups as in the format's description: header, then one group of fields per command.
        int[] lengths = [1, 8, 1, 1, 4, 2, 6, 1, 4, 1, 4, 1, 1, 2, 1, 1, 2, 1, 2, 1, 1, 1, 2, 1, 1, 2, 5, 1, 10, 1];
        var parts = new List<string>();
        var at = 0;
        foreach (var length in lengths)
        {
            parts.Add(hex.Substring(at, length * 2));
            at += length * 2;
        }

        return string.Join(' ', parts) + hex[at..];
    }

    private static string Refused(ReadOnlyMemory<byte> payload) =>
        Assert.Throws<MalformedPayloadException>(() => CommandCodec.Decode(payload, [])).Message;

    private static void DecodesOrIsRefused(byte[] payload)
    {
        var decoded = new List<Command>();
        long stampMs;
        try
        {
            stampMs = CommandCodec.Decode(payload, decoded);
        }
        catch (MalformedPayloadException)
        {
            return;
        }

        // What is accepted has one encoding: nothing in it was ignored.
        Assert.Equal([CommandCodec.Format, .. payload[1..]], CommandCodec.Encode(stampMs, [.. decoded]));
    }

    private static string Printed(Command c) =>
        $"{c.Kind} {Convert.ToHexString(c.Key.Span)} {Convert.ToHexString(c.Value.Span)} {c.Expected} {c.TtlMs} {c.Delta} {(c.Once is Once.ByKey k ? $"{Convert.ToHexString(k.Key.Span)} {k.Terms} {k.UntilMs}" : c.Once)}";

    private static Command RandomCommand(ref SplitMix64 random)
    {
        var key = RandomBytes(ref random, 1);
        var value = RandomBytes(ref random, 0);
        var ttlMs = random.Chance(0.5) ? 0 : RandomLong(ref random) & long.MaxValue;
        var version = new Version((uint)RandomLong(ref random), (uint)RandomLong(ref random), (ulong)RandomLong(ref random), (ulong)RandomLong(ref random));
        var command = random.Below(6) switch
        {
            0 => Command.Put(key, value, ttlMs),
            1 => Command.Delete(key),
            2 => Command.CompareAndSwap(key, version, value, ttlMs),
            3 => Command.PutIfAbsent(key, value, ttlMs),
            4 => Command.Increment(key, RandomLong(ref random)),
            _ => Command.CompareAndDelete(key, version),
        };
        var session = new SessionId(new LogIndex((ulong)RandomLong(ref random)), (uint)RandomLong(ref random));
        return random.Below(10) switch
        {
            0 => Command.OpenSession() with { Once = new Once.Opening(new SessionTerms(RandomLong(ref random) & long.MaxValue | 1, 1 + (int)random.Below(SessionTerms.MaxWindow), 1 + (int)random.Below(int.MaxValue), 1 + (int)random.Below(int.MaxValue))) },
            1 => Command.CloseSession(session),
            2 or 3 => command with { Once = new Once.InSession(session, ulong.MaxValue - (ulong)random.Below(9), (ulong)RandomLong(ref random) >> 1, random.Chance(0.5), new GroupId(random.Chance(0.5) ? 0 : (ulong)random.Below(1000))) },
            4 => command with { Once = new Once.ByKey(RandomBytes(ref random, 1).AsMemory(0, 1), new KeyTerms(RandomLong(ref random) & long.MaxValue | 1, 1 + random.Below(1 << 30)), random.Chance(0.5) ? 0 : RandomLong(ref random) & long.MaxValue | 1) },
            _ => command,
        };
    }

    private static byte[] RandomBytes(ref SplitMix64 random, int least)
    {
        var bytes = new byte[least + random.Below(random.Chance(0.1) ? 1000 : 6)];
        foreach (ref var b in bytes.AsSpan())
        {
            b = (byte)random.Next();
        }

        return bytes;
    }

    // All magnitudes alike, so that every length of a varint is met.
    private static long RandomLong(ref SplitMix64 random) => (long)(random.Next() >> (int)random.Below(64));
}
