using System.Buffers.Binary;

namespace Flotilla.Wire.Log;

/// <summary>What a batch is for. Explicit and append-only: the values are on disk.</summary>
public enum BatchKind : byte
{
    /// <summary>Records that were appended.</summary>
    Data = 0,

    /// <summary>The first batch of a segment: every group's small state, so that older segments can go.</summary>
    Head = 1,

    /// <summary>The last batch of a segment that has a successor, and names it: a lost successor is noticed.</summary>
    Seal = 2,

    /// <summary>Written when the log is closed in good order, to vouch for the batch before it.</summary>
    Close = 3,
}

/// <summary>
/// The head of a batch: what one write and one sync carry. It has the shape of a record, so that a reader may walk over
/// batches as over records. Its own checksum lets it be recognized when the batch before it is damaged.
/// </summary>
/// <param name="Kind">What the batch is for.</param>
/// <param name="Records">How many records follow.</param>
/// <param name="Generation">The segment's generation: old bytes of a recycled file never look like new ones.</param>
/// <param name="Durable">Everything in the segment below this offset was durable when this was written.</param>
/// <param name="BatchBytes">Bytes of the batch, this head included; a multiple of 8.</param>
/// <param name="Previous">The checksum of the batch before, or of the segment header: seeds <paramref name="Checksum"/>.</param>
/// <param name="Checksum">CRC32C, seeded with <paramref name="Previous"/>, over this head and the heads of all records (which hold the checksums of their contents).</param>
public readonly record struct BatchHeader(
    BatchKind Kind, uint Records, ulong Generation, ulong Durable, uint BatchBytes, uint Previous, uint Checksum)
{
    /// <summary>Bytes of the encoded head.</summary>
    public const int Bytes = 48;

    /// <summary>Where in the head the generation stands: recovery searches for it.</summary>
    public const int GenerationOffset = 16;

    /// <summary>Encodes into the first <see cref="Bytes"/> of <paramref name="to"/>.</summary>
    public void Write(Span<byte> to)
    {
        to = to[..Bytes];
        WriteSeed(to);
        BinaryPrimitives.WriteUInt32LittleEndian(to[40..], Checksum);
        BinaryPrimitives.WriteUInt32LittleEndian(to[44..], 0);
        RecordHead.Seal(to);
    }

    /// <summary>Reads a head. False if <paramref name="from"/> does not begin with a whole one.</summary>
    public static bool TryRead(ReadOnlySpan<byte> from, out BatchHeader header)
    {
        header = default;
        if (from.Length < Bytes)
        {
            return false;
        }

        from = from[..Bytes];
        if (BinaryPrimitives.ReadUInt32LittleEndian(from[4..]) != Bytes || from[8] != (byte)RecordKind.Batch || !RecordHead.Verify(from))
        {
            return false;
        }

        header = new BatchHeader(
            (BatchKind)from[9],
            BinaryPrimitives.ReadUInt32LittleEndian(from[12..]),
            BinaryPrimitives.ReadUInt64LittleEndian(from[16..]),
            BinaryPrimitives.ReadUInt64LittleEndian(from[24..]),
            BinaryPrimitives.ReadUInt32LittleEndian(from[32..]),
            BinaryPrimitives.ReadUInt32LittleEndian(from[36..]),
            BinaryPrimitives.ReadUInt32LittleEndian(from[40..]));
        return header.Generation != 0 && header.BatchBytes >= Bytes && header.BatchBytes % RecordHead.Alignment == 0;
    }

    /// <summary>
    /// The checksum that a batch with this head ought to have: over the head's fields (but the two checksums of the head
    /// itself) and the eight-byte heads of <paramref name="records"/>. Null if the records are malformed, their number is
    /// wrong, or, with <paramref name="verify"/>, one fails its own checksum.
    /// </summary>
    public uint? ComputeChecksum(ReadOnlySpan<byte> records, bool verify)
    {
        Span<byte> fields = stackalloc byte[Bytes];
        WriteSeed(fields);
        var checksum = Crc32C.Compute(Previous, fields[4..40]);
        uint count = 0;
        while (!records.IsEmpty)
        {
            if (!RecordHead.TryTake(ref records, out var record) || (verify && !RecordHead.Verify(record)))
            {
                return null;
            }

            checksum = Crc32C.Compute(checksum, record[..RecordHead.Bytes]);
            count++;
        }

        return count == Records ? checksum : null;
    }

    private void WriteSeed(Span<byte> to)
    {
        BinaryPrimitives.WriteUInt32LittleEndian(to[4..], Bytes);
        to[8] = (byte)RecordKind.Batch;
        to[9] = (byte)Kind;
        to[10] = 0;
        to[11] = 0;
        BinaryPrimitives.WriteUInt32LittleEndian(to[12..], Records);
        BinaryPrimitives.WriteUInt64LittleEndian(to[16..], Generation);
        BinaryPrimitives.WriteUInt64LittleEndian(to[24..], Durable);
        BinaryPrimitives.WriteUInt32LittleEndian(to[32..], BatchBytes);
        BinaryPrimitives.WriteUInt32LittleEndian(to[36..], Previous);
    }
}
