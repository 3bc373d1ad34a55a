using System.Runtime.CompilerServices;

namespace Flotilla.Data.Tree;

/// <summary>
/// How a record lies in a page: key, flags, slot epoch, mode epoch, counter, sub, [expiry], [value length, value].
/// Numbers are LEB128; the key's length is in the slot directory. The value is absent when it is kept outside the page.
/// A read of the part behind the key.
/// </summary>
internal readonly struct Cell
{
    private const byte HasExpiry = 1;
    private const byte ValueOutside = 2;

    private Cell(Version version, long expiresAtMs, bool outside, int valueStart, int valueLength)
    {
        Version = version;
        ExpiresAtMs = expiresAtMs;
        IsOutside = outside;
        ValueStart = valueStart;
        ValueLength = valueLength;
    }

    /// <summary>Which write the record is.</summary>
    public Version Version { get; }

    /// <summary>Log time of expiry; 0 for never.</summary>
    public long ExpiresAtMs { get; }

    /// <summary>True if the value is an array of its own.</summary>
    public bool IsOutside { get; }

    /// <summary>Where the value begins, from the start of the cell.</summary>
    public int ValueStart { get; }

    /// <summary>Bytes of the value within the cell; 0 if it is outside.</summary>
    public int ValueLength { get; }

    /// <summary>Bytes of the whole cell.</summary>
    public int Length => ValueStart + ValueLength;

    /// <summary>Reads a cell; <paramref name="bytes"/> may run on behind its end.</summary>
    public static Cell Read(ReadOnlySpan<byte> bytes, int keyLength)
    {
        var at = keyLength;
        var flags = bytes[at++];
        var slotEpoch = ReadNumber(bytes, ref at);
        var modeEpoch = ReadNumber(bytes, ref at);
        var counter = ReadNumber(bytes, ref at);
        var sub = ReadNumber(bytes, ref at);
        var expiresAtMs = (flags & HasExpiry) == 0 ? 0 : (long)ReadNumber(bytes, ref at);
        var outside = (flags & ValueOutside) != 0;
        var valueLength = outside ? 0 : (int)ReadNumber(bytes, ref at);
        return new Cell(new Version((uint)slotEpoch, (uint)modeEpoch, counter, sub), expiresAtMs, outside, at, valueLength);
    }

    /// <summary>A record on its way into a page.</summary>
    public readonly ref struct Draft
    {
        private readonly Version _version;
        private readonly long _expiresAtMs;

        /// <summary>Measures a record.</summary>
        public Draft(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, Version version, long expiresAtMs, bool outside)
        {
            Key = key;
            Value = value;
            IsOutside = outside;
            _version = version;
            _expiresAtMs = expiresAtMs;
            Length = key.Length + 1
                + NumberLength(version.SlotEpoch) + NumberLength(version.ModeEpoch)
                + NumberLength(version.Counter) + NumberLength(version.Sub)
                + (expiresAtMs == 0 ? 0 : NumberLength((ulong)expiresAtMs))
                + (outside ? 0 : NumberLength((uint)value.Length) + value.Length);
        }

        /// <summary>The key.</summary>
        public ReadOnlySpan<byte> Key { get; }

        /// <summary>The value, also when it is kept outside.</summary>
        public ReadOnlySpan<byte> Value { get; }

        /// <summary>True if the value goes into an array of its own.</summary>
        public bool IsOutside { get; }

        /// <summary>Bytes that the cell takes.</summary>
        public int Length { get; }

        /// <summary>Writes the cell.</summary>
        public void WriteTo(Span<byte> cell)
        {
            Key.CopyTo(cell);
            var at = Key.Length;
            cell[at++] = (byte)((_expiresAtMs == 0 ? 0 : HasExpiry) | (IsOutside ? ValueOutside : 0));
            WriteNumber(cell, ref at, _version.SlotEpoch);
            WriteNumber(cell, ref at, _version.ModeEpoch);
            WriteNumber(cell, ref at, _version.Counter);
            WriteNumber(cell, ref at, _version.Sub);
            if (_expiresAtMs != 0)
            {
                WriteNumber(cell, ref at, (ulong)_expiresAtMs);
            }

            if (!IsOutside)
            {
                WriteNumber(cell, ref at, (uint)Value.Length);
                Value.CopyTo(cell[at..]);
            }
        }
    }

    private static int NumberLength(ulong value) =>
        (70 - System.Numerics.BitOperations.LeadingZeroCount(value | 1)) / 7;

    private static void WriteNumber(Span<byte> bytes, ref int at, ulong value)
    {
        while (value >= 0x80)
        {
            bytes[at++] = (byte)(value | 0x80);
            value >>= 7;
        }

        bytes[at++] = (byte)value;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong ReadNumber(ReadOnlySpan<byte> bytes, ref int at)
    {
        ulong first = bytes[at++];
        return first < 0x80 ? first : ReadLongNumber(bytes, ref at, first);
    }

    private static ulong ReadLongNumber(ReadOnlySpan<byte> bytes, ref int at, ulong first)
    {
        var value = first & 0x7f;
        for (var shift = 7; ; shift += 7)
        {
            ulong next = bytes[at++];
            value |= (next & 0x7f) << shift;
            if (next < 0x80)
            {
                return value;
            }
        }
    }
}
