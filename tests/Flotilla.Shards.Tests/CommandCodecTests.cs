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

    [Fact]
    public void The_format_on_disk_never_changes() =>
        Assert.Equal(
            "01 15CD5B0700000000 06"
            + " 01 036B6579 AC02 0576616C7565"
            + " 02 036B6579"
            + " 03 036B6579 01 02 AC02 04 05 0176"
            + " 04 016B 00 00"
            + " 05 016B 05"
            + " 06 016B FFFFFFFF0F 00 FFFFFFFFFFFFFFFFFF01 01",
            Grouped(Convert.ToHexString(CommandCodec.Encode(123456789, OneOfEach))));

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
        var payload = CommandCodec.Encode(99, OneOfEach);
        for (var length = 0; length < payload.Length; length++)
        {
            Refused(payload.AsMemory(0, length));
        }

        Refused((byte[])[.. payload, 0]);
    }

    [Fact]
    public void A_changed_byte_never_does_worse_than_decode_to_something_else()
    {
        var payload = CommandCodec.Encode(99, OneOfEach);
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
                b = random.Chance(0.5) ? (byte)random.Below(8) : (byte)random.Next();
            }

            if (bytes.Length > 9 && random.Chance(0.9))
            {
                bytes[0] = CommandCodec.Format;
                bytes[8] &= 0x7F;
            }

            DecodesOrIsRefused(bytes);
        }
    }

    [Theory]
    [InlineData("02 0000000000000000 00", "an unknown format")]
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
        Assert.Equal(payload, CommandCodec.Encode(stampMs, [.. decoded]));
    }

    private static string Printed(Command c) =>
        $"{c.Kind} {Convert.ToHexString(c.Key.Span)} {Convert.ToHexString(c.Value.Span)} {c.Expected} {c.TtlMs} {c.Delta}";

    private static Command RandomCommand(ref SplitMix64 random)
    {
        var key = RandomBytes(ref random, 1);
        var value = RandomBytes(ref random, 0);
        var ttlMs = random.Chance(0.5) ? 0 : RandomLong(ref random) & long.MaxValue;
        var version = new Version((uint)RandomLong(ref random), (uint)RandomLong(ref random), (ulong)RandomLong(ref random), (ulong)RandomLong(ref random));
        return random.Below(6) switch
        {
            0 => Command.Put(key, value, ttlMs),
            1 => Command.Delete(key),
            2 => Command.CompareAndSwap(key, version, value, ttlMs),
            3 => Command.PutIfAbsent(key, value, ttlMs),
            4 => Command.Increment(key, RandomLong(ref random)),
            _ => Command.CompareAndDelete(key, version),
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
