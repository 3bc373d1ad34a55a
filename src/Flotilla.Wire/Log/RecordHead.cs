using System.Buffers.Binary;

namespace Flotilla.Wire.Log;

/// <summary>The kinds of records. Explicit and append-only: the values are on disk.</summary>
public enum RecordKind : byte
{
    /// <summary>The head of a batch (<see cref="BatchHeader"/>).</summary>
    Batch = 1,

    /// <summary>Consecutive entries of one group and one term; stored entries from the first one's index on are replaced.</summary>
    Entries = 2,

    /// <summary>The hard state of one group.</summary>
    HardState = 3,

    /// <summary>The identity state of one group.</summary>
    Identity = 4,

    /// <summary>Entries of one group up to an index are no longer needed.</summary>
    Released = 5,

    /// <summary>The last entry of one group when the segment began. Stands in head batches only.</summary>
    Last = 6,

    /// <summary>The oldest segment that is still needed.</summary>
    Oldest = 7,

    /// <summary>The segment that follows. Stands in seal batches only.</summary>
    Continues = 8,

    /// <summary>The log of one group is forgotten and begins anew behind an index.</summary>
    Reset = 9,

    /// <summary>One group is forgotten, with all that the log holds of it.</summary>
    Forgotten = 10,
}

/// <summary>
/// What every record begins with: a checksum of all the rest (4 bytes), the length with this head (4 bytes, a multiple
/// of 8), and then its kind (1 byte).
/// </summary>
public static class RecordHead
{
    /// <summary>Bytes of checksum and length.</summary>
    public const int Bytes = 8;

    /// <summary>Records begin at multiples of this.</summary>
    public const int Alignment = 8;

    /// <summary>The shortest record: the head, the kind and a number.</summary>
    public const int MinRecordBytes = 16;

    /// <summary>Rounds a length up to where the next record may begin.</summary>
    public static int Align(int bytes) => checked(bytes + Alignment - 1) & ~(Alignment - 1);

    /// <summary>Puts the checksum into a record that is complete otherwise.</summary>
    public static void Seal(Span<byte> record) => BinaryPrimitives.WriteUInt32LittleEndian(record, Crc32C.Compute(0, record[4..]));

    /// <summary>Whether a record fits its checksum.</summary>
    public static bool Verify(ReadOnlySpan<byte> record) => BinaryPrimitives.ReadUInt32LittleEndian(record) == Crc32C.Compute(0, record[4..]);

    /// <summary>The length that a record claims; 0 if no record can have it.</summary>
    public static int Length(ReadOnlySpan<byte> head)
    {
        var length = BinaryPrimitives.ReadUInt32LittleEndian(head[4..]);
        return length is >= MinRecordBytes and <= int.MaxValue && length % Alignment == 0 ? (int)length : 0;
    }

    /// <summary>Takes the record that <paramref name="from"/> begins with. False if there is no whole one.</summary>
    public static bool TryTake(ref ReadOnlySpan<byte> from, out ReadOnlySpan<byte> record)
    {
        record = default;
        if (from.Length < Bytes)
        {
            return false;
        }

        var length = Length(from);
        if (length == 0 || length > from.Length)
        {
            return false;
        }

        record = from[..length];
        from = from[length..];
        return true;
    }
}
