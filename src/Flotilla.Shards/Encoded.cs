using System.Numerics;
using Version = Flotilla.Data.Version;

namespace Flotilla.Shards;

/// <summary>
/// How the small things of every format here are written: <c>varint</c> is unsigned LEB128 of at most 64 bits in its
/// shortest form, <c>bytes</c> a varint length and so many bytes, <c>version</c> four varints. Writers take a span that has
/// room and where to begin, and return where they ended.
/// </summary>
internal static class Encoded
{
    /// <summary>Bytes of the longest varint.</summary>
    public const int MaxVarintBytes = 10;

    public static int VarintSize(ulong value) => (70 - BitOperations.LeadingZeroCount(value | 1)) / 7;

    public static int BytesSize(int length) => checked(VarintSize((uint)length) + length);

    public static int VersionSize(Version v) => VarintSize(v.SlotEpoch) + VarintSize(v.ModeEpoch) + VarintSize(v.Counter) + VarintSize(v.Sub);

    public static int WriteVarint(Span<byte> to, int at, ulong value)
    {
        while (value >= 0x80)
        {
            to[at++] = (byte)(value | 0x80);
            value >>= 7;
        }

        to[at] = (byte)value;
        return at + 1;
    }

    public static int WriteBytes(Span<byte> to, int at, ReadOnlySpan<byte> bytes)
    {
        at = WriteVarint(to, at, (uint)bytes.Length);
        bytes.CopyTo(to[at..]);
        return at + bytes.Length;
    }

    public static int WriteVersion(Span<byte> to, int at, Version v)
    {
        at = WriteVarint(to, at, v.SlotEpoch);
        at = WriteVarint(to, at, v.ModeEpoch);
        at = WriteVarint(to, at, v.Counter);
        return WriteVarint(to, at, v.Sub);
    }

    public static ulong ZigZag(long value) => (ulong)((value << 1) ^ (value >> 63));

    public static long UnZigZag(ulong value) => (long)(value >> 1) ^ -(long)(value & 1);
}
