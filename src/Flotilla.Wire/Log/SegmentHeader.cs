using System.Buffers.Binary;

namespace Flotilla.Wire.Log;

/// <summary>
/// The first sector of a log segment. It fits one sector on purpose: a crash leaves either the old one or the new one.
/// The layout stands in <c>docs/wal.md</c>.
/// </summary>
/// <param name="Generation">Drawn anew each time that a file becomes a segment; every batch in it carries the same. Never 0.</param>
/// <param name="Sequence">The segment's place in the log: 1, 2, 3 …</param>
/// <param name="SegmentBytes">The length that the file had, durably, when it became this segment: a shorter file is damaged.</param>
/// <param name="PredecessorEnd">Where the segment before this one ends; nothing behind is read again. 0 for the first segment.</param>
/// <param name="PredecessorGeneration">Generation of the segment before this one; 0 for the first.</param>
/// <param name="PredecessorChecksum">Checksum of the last batch before <paramref name="PredecessorEnd"/>; 0 for the first.</param>
/// <param name="Owner">The same in all segments of one log, and in no other log's.</param>
public readonly record struct SegmentHeader(
    ulong Generation, ulong Sequence, ulong SegmentBytes, ulong PredecessorEnd, ulong PredecessorGeneration, uint PredecessorChecksum, ulong Owner)
{
    /// <summary>Bytes of the encoded header: one sector.</summary>
    public const int Bytes = 512;

    /// <summary>The only version of the format so far.</summary>
    public const uint FormatVersion = 1;

    // "FLTWAL", then a line end in both conventions, so that a file mangled as text is no segment.
    private const ulong Magic = 0x0A0D_4C41_5754_4C46;

    /// <summary>Writes the header to the first <see cref="Bytes"/> of <paramref name="to"/>. Returns its checksum, which seeds the first batch.</summary>
    public uint Write(Span<byte> to)
    {
        to = to[..Bytes];
        to.Clear();
        BinaryPrimitives.WriteUInt64LittleEndian(to, Magic);
        BinaryPrimitives.WriteUInt32LittleEndian(to[8..], FormatVersion);
        BinaryPrimitives.WriteUInt64LittleEndian(to[16..], Generation);
        BinaryPrimitives.WriteUInt64LittleEndian(to[24..], Sequence);
        BinaryPrimitives.WriteUInt64LittleEndian(to[32..], SegmentBytes);
        BinaryPrimitives.WriteUInt64LittleEndian(to[40..], PredecessorEnd);
        BinaryPrimitives.WriteUInt64LittleEndian(to[48..], PredecessorGeneration);
        BinaryPrimitives.WriteUInt32LittleEndian(to[56..], PredecessorChecksum);
        BinaryPrimitives.WriteUInt64LittleEndian(to[64..], Owner);
        var checksum = Crc32C.Compute(0, to[..^4]);
        BinaryPrimitives.WriteUInt32LittleEndian(to[^4..], checksum);
        return checksum;
    }

    /// <summary>Reads a file's first sector. <paramref name="from"/> may be shorter than a sector if the file is.</summary>
    /// <param name="from">The sector.</param>
    /// <param name="header">The header, if the answer is <see cref="SegmentHeaderState.Valid"/>.</param>
    /// <param name="checksum">The header's checksum, likewise.</param>
    /// <param name="version">The format version, if the answer is <see cref="SegmentHeaderState.UnknownVersion"/>.</param>
    public static SegmentHeaderState Read(ReadOnlySpan<byte> from, out SegmentHeader header, out uint checksum, out uint version)
    {
        header = default;
        checksum = 0;
        version = 0;
        if (from.IndexOfAnyExcept((byte)0) < 0)
        {
            return SegmentHeaderState.Blank;
        }

        if (from.Length < Bytes || BinaryPrimitives.ReadUInt64LittleEndian(from) != Magic)
        {
            return SegmentHeaderState.Damaged;
        }

        from = from[..Bytes];
        checksum = BinaryPrimitives.ReadUInt32LittleEndian(from[^4..]);
        if (Crc32C.Compute(0, from[..^4]) != checksum)
        {
            return SegmentHeaderState.Damaged;
        }

        version = BinaryPrimitives.ReadUInt32LittleEndian(from[8..]);
        if (version != FormatVersion)
        {
            return SegmentHeaderState.UnknownVersion;
        }

        header = new SegmentHeader(
            BinaryPrimitives.ReadUInt64LittleEndian(from[16..]),
            BinaryPrimitives.ReadUInt64LittleEndian(from[24..]),
            BinaryPrimitives.ReadUInt64LittleEndian(from[32..]),
            BinaryPrimitives.ReadUInt64LittleEndian(from[40..]),
            BinaryPrimitives.ReadUInt64LittleEndian(from[48..]),
            BinaryPrimitives.ReadUInt32LittleEndian(from[56..]),
            BinaryPrimitives.ReadUInt64LittleEndian(from[64..]));
        var sound = header.Generation != 0 && header.Sequence != 0 && header.SegmentBytes >= Bytes && header.SegmentBytes <= long.MaxValue
            && header.PredecessorEnd <= long.MaxValue;
        return sound ? SegmentHeaderState.Valid : SegmentHeaderState.Damaged;
    }
}

/// <summary>What a file's first sector turned out to be.</summary>
public enum SegmentHeaderState
{
    /// <summary>A segment of the log.</summary>
    Valid = 0,

    /// <summary>Zeros: a spare.</summary>
    Blank = 1,

    /// <summary>Neither a header nor zeros.</summary>
    Damaged = 2,

    /// <summary>A sound header of a format that this program does not know.</summary>
    UnknownVersion = 3,
}
