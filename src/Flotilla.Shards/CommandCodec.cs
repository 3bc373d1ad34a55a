using System.Buffers.Binary;
using Version = Flotilla.Data.Version;

namespace Flotilla.Shards;

/// <summary>
/// The payload of a command entry: a stamp and a batch of commands. On disk and on the wire, so versioned and
/// append-only.
/// </summary>
/// <remarks>
/// <code>
/// payload  = format:u8 (1)  stamp:i64 little-endian, milliseconds since the Unix epoch, not negative
///            count:varint   count × command
/// command  = kind:u8 (CommandKind)   key:bytes (not empty)   then by kind
///   Put, PutIfAbsent     ttl:varint (ms, below 2^63; 0 = never)   value:bytes
///   Delete               -
///   CompareAndSwap       version   ttl:varint   value:bytes
///   Increment            delta:zigzag varint
///   CompareAndDelete     version
/// version  = slotEpoch:varint (below 2^32)  modeEpoch:varint (below 2^32)  counter:varint  sub:varint
/// bytes    = length:varint  length × u8
/// varint   = unsigned LEB128 of at most 64 bits, in its shortest form
/// </code>
/// Nothing follows the last command. A count of 0 is a time entry: it only moves the log time. One batch has exactly one
/// encoding. The decoder accepts nothing else: what doesn't fit was written by a broken or a newer program, and applying
/// a guess would let replicas diverge.
/// </remarks>
public static class CommandCodec
{
    /// <summary>The format that <see cref="Encode"/> writes, and the only one so far.</summary>
    public const byte Format = 1;

    /// <summary>No header is longer than this, in bytes: format, stamp and the largest count.</summary>
    public const int MaxHeaderBytes = 1 + sizeof(long) + 5;

    private const int MinCommandBytes = 3; // kind, key length 1, one byte of key

    /// <summary>Encodes a batch into a buffer of its own, which must never change: it becomes an entry's payload.</summary>
    /// <param name="stampMs">The entry's stamp, not negative.</param>
    /// <param name="commands">The batch; empty for a time entry. Keys aren't empty and times to live not negative.</param>
    public static byte[] Encode(long stampMs, ReadOnlySpan<Command> commands)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(stampMs);
        var size = 1 + sizeof(long) + VarintSize((uint)commands.Length);
        foreach (ref readonly var command in commands)
        {
            size = checked(size + SizeOf(in command));
        }

        var payload = new byte[size];
        payload[0] = Format;
        BinaryPrimitives.WriteInt64LittleEndian(payload.AsSpan(1), stampMs);
        var at = WriteVarint(payload, 1 + sizeof(long), (uint)commands.Length);
        foreach (ref readonly var command in commands)
        {
            at = Write(payload, at, in command);
        }

        return at == size ? payload : throw new InvalidOperationException($"A batch took {at} bytes where {size} were reckoned.");
    }

    /// <summary>How many bytes a command takes in a batch. Its key must not be empty and its time to live not negative.</summary>
    public static int SizeOf(in Command command)
    {
        if (command.Key.IsEmpty || command.TtlMs < 0)
        {
            throw new ArgumentOutOfRangeException(nameof(command), "A key must not be empty and a time to live not negative.");
        }

        var size = checked(1 + BytesSize(command.Key.Length));
        return command.Kind switch
        {
            CommandKind.Put or CommandKind.PutIfAbsent => checked(size + VarintSize((ulong)command.TtlMs) + BytesSize(command.Value.Length)),
            CommandKind.Delete => size,
            CommandKind.CompareAndSwap => checked(size + VersionSize(command.Expected) + VarintSize((ulong)command.TtlMs) + BytesSize(command.Value.Length)),
            CommandKind.Increment => size + VarintSize(ZigZag(command.Delta)),
            CommandKind.CompareAndDelete => size + VersionSize(command.Expected),
            _ => throw new ArgumentOutOfRangeException(nameof(command), $"There is no command kind {(byte)command.Kind}."),
        };
    }

    /// <summary>Decodes a whole batch before any of it is used. Keys and values are slices of <paramref name="payload"/>, not copies.</summary>
    /// <param name="payload">An entry's payload.</param>
    /// <param name="into">Cleared, then filled.</param>
    /// <returns>The stamp, in milliseconds since the Unix epoch.</returns>
    /// <exception cref="MalformedPayloadException">The payload is not exactly one batch.</exception>
    public static long Decode(ReadOnlyMemory<byte> payload, List<Command> into)
    {
        ArgumentNullException.ThrowIfNull(into);
        into.Clear();
        var reader = new Reader(payload);
        var format = reader.Byte();
        if (format != Format)
        {
            throw new MalformedPayloadException($"the format is {format}, and this program knows {Format} only", 0);
        }

        var stampMs = reader.Int64();
        var count = reader.Varint(int.MaxValue);
        if (stampMs < 0 || count > (ulong)(reader.Remaining / MinCommandBytes))
        {
            throw new MalformedPayloadException($"stamp {stampMs} and {count} commands cannot be", reader.At);
        }

        into.EnsureCapacity((int)count);
        for (var i = 0; i < (int)count; i++)
        {
            into.Add(reader.Command());
        }

        return reader.Remaining == 0 ? stampMs : throw new MalformedPayloadException($"{reader.Remaining} bytes follow the last command", reader.At);
    }

    private static int Write(Span<byte> to, int at, in Command command)
    {
        to[at] = (byte)command.Kind;
        at = WriteBytes(to, at + 1, command.Key.Span);
        switch (command.Kind)
        {
            case CommandKind.Put or CommandKind.PutIfAbsent:
                at = WriteVarint(to, at, (ulong)command.TtlMs);
                return WriteBytes(to, at, command.Value.Span);
            case CommandKind.CompareAndSwap:
                at = WriteVersion(to, at, command.Expected);
                at = WriteVarint(to, at, (ulong)command.TtlMs);
                return WriteBytes(to, at, command.Value.Span);
            case CommandKind.Increment:
                return WriteVarint(to, at, ZigZag(command.Delta));
            case CommandKind.CompareAndDelete:
                return WriteVersion(to, at, command.Expected);
            default: // Delete: SizeOf has refused every other kind.
                return at;
        }
    }

    private static int WriteVersion(Span<byte> to, int at, Version version)
    {
        at = WriteVarint(to, at, version.SlotEpoch);
        at = WriteVarint(to, at, version.ModeEpoch);
        at = WriteVarint(to, at, version.Counter);
        return WriteVarint(to, at, version.Sub);
    }

    private static int WriteBytes(Span<byte> to, int at, ReadOnlySpan<byte> bytes)
    {
        at = WriteVarint(to, at, (uint)bytes.Length);
        bytes.CopyTo(to[at..]);
        return at + bytes.Length;
    }

    private static int WriteVarint(Span<byte> to, int at, ulong value)
    {
        while (value >= 0x80)
        {
            to[at++] = (byte)(value | 0x80);
            value >>= 7;
        }

        to[at++] = (byte)value;
        return at;
    }

    private static int VersionSize(Version version) =>
        VarintSize(version.SlotEpoch) + VarintSize(version.ModeEpoch) + VarintSize(version.Counter) + VarintSize(version.Sub);

    private static int BytesSize(int length) => checked(VarintSize((uint)length) + length);

    private static int VarintSize(ulong value) => (70 - System.Numerics.BitOperations.LeadingZeroCount(value | 1)) / 7;

    private static ulong ZigZag(long value) => (ulong)((value << 1) ^ (value >> 63));

    private static long UnZigZag(ulong value) => (long)(value >> 1) ^ -(long)(value & 1);

    private ref struct Reader(ReadOnlyMemory<byte> payload)
    {
        private readonly ReadOnlyMemory<byte> _memory = payload;
        private readonly ReadOnlySpan<byte> _span = payload.Span;

        public int At { get; private set; }

        public readonly int Remaining => _span.Length - At;

        public byte Byte() => Remaining > 0 ? _span[At++] : throw Truncated();

        public long Int64()
        {
            if (Remaining < sizeof(long))
            {
                throw Truncated();
            }

            At += sizeof(long);
            return BinaryPrimitives.ReadInt64LittleEndian(_span[(At - sizeof(long))..]);
        }

        public Command Command()
        {
            var at = At;
            var kind = (CommandKind)Byte();
            var key = Bytes();
            if (key.IsEmpty)
            {
                throw new MalformedPayloadException("a key is empty", at);
            }

            Version expected = default;
            switch (kind)
            {
                case CommandKind.Put or CommandKind.PutIfAbsent:
                    break;
                case CommandKind.CompareAndSwap:
                    expected = Version();
                    break;
                case CommandKind.Delete:
                    return Shards.Command.Delete(key);
                case CommandKind.Increment:
                    return Shards.Command.Increment(key, UnZigZag(Varint(ulong.MaxValue)));
                case CommandKind.CompareAndDelete:
                    return Shards.Command.CompareAndDelete(key, Version());
                default:
                    throw new MalformedPayloadException($"there is no command kind {(byte)kind}", at);
            }

            var ttlMs = (long)Varint(long.MaxValue);
            return new Command(kind, key, Bytes(), expected, ttlMs, 0);
        }

        public ulong Varint(ulong max)
        {
            var at = At;
            ulong value = 0;
            for (var shift = 0; ; shift += 7)
            {
                var b = Byte();
                if ((shift == 63 && b > 1) || (b == 0 && shift > 0))
                {
                    throw new MalformedPayloadException("a number is too long", at);
                }

                value |= (ulong)(b & 0x7F) << shift;
                if (b < 0x80)
                {
                    return value <= max ? value : throw new MalformedPayloadException($"the number {value} is too large", at);
                }
            }
        }

        private Version Version() => new((uint)Varint(uint.MaxValue), (uint)Varint(uint.MaxValue), Varint(ulong.MaxValue), Varint(ulong.MaxValue));

        private ReadOnlyMemory<byte> Bytes()
        {
            var length = Varint(int.MaxValue);
            if (length > (ulong)Remaining)
            {
                throw Truncated();
            }

            At += (int)length;
            return _memory.Slice(At - (int)length, (int)length);
        }

        private readonly MalformedPayloadException Truncated() => new("it ends too early", At);
    }
}

/// <summary>
/// A committed entry does not hold what this program can apply. A broken invariant: no replica may go on from here,
/// since skipping the entry would let it diverge from the others.
/// </summary>
/// <param name="what">What is wrong with it.</param>
/// <param name="offset">Where in the payload.</param>
public sealed class MalformedPayloadException(string what, int offset)
    : Exception($"A command entry is malformed at byte {offset}: {what}. It was written by a newer or a broken program; this replica cannot apply it.");
