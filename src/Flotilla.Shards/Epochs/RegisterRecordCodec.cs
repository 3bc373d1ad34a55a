using Flotilla.Registers;

namespace Flotilla.Shards.Epochs;

/// <summary>The <see cref="RegisterRecord"/>s of one persist as bytes on disk. Versioned and append-only; pure.</summary>
/// <remarks>
/// <code>
/// records = format:u8 (1)  count:varint (1 or more)  count × record
/// record  = 1:u8  kind:u8 (0 opened, 1 sealed, 2 ended)  epoch:varint  index:varint  origin:varint
///         | 2:u8  epoch:varint  item
/// </code>
/// The rest is as in <c>RegisterEncoding</c>.
/// </remarks>
public static class RegisterRecordCodec
{
    /// <summary>The first byte.</summary>
    public const byte Format = 1;

    private const byte MarkRecord = 1;
    private const byte HeldRecord = 2;

    /// <summary>Encodes what one persist holds into a buffer of its own.</summary>
    public static byte[] Encode(IReadOnlyList<RegisterRecord> records)
    {
        ArgumentNullException.ThrowIfNull(records);
        ArgumentOutOfRangeException.ThrowIfZero(records.Count, nameof(records));
        var writer = new EncodedWriter(64 + records.Sum(static r => r is RegisterRecord.Held held ? held.Item.Cost + 32 : 32));
        writer.Byte(Format);
        writer.Varint((uint)records.Count);
        foreach (var record in records)
        {
            switch (record)
            {
                case RegisterRecord.Mark mark:
                    writer.Byte(MarkRecord);
                    writer.Byte((byte)mark.Kind);
                    writer.Epoch(mark.Epoch);
                    writer.Varint(mark.Index);
                    writer.Epoch(mark.Origin);
                    break;
                case RegisterRecord.Held held:
                    writer.Byte(HeldRecord);
                    writer.Epoch(held.Epoch);
                    writer.Item(held.Item);
                    break;
                default:
                    throw new InvalidOperationException($"{record.GetType().Name} is not encoded.");
            }
        }

        return writer.ToArray();
    }

    /// <summary>Decodes what one persist holds. Items are slices of <paramref name="bytes"/>, which must never change.</summary>
    /// <exception cref="MalformedPayloadException">The bytes are not exactly the records of one persist.</exception>
    public static IReadOnlyList<RegisterRecord> Decode(ReadOnlyMemory<byte> bytes)
    {
        var reader = new EncodedReader<MalformedPayloadException>(bytes);
        var format = reader.Byte();
        reader.Require(format == Format, $"the format of register records is {format}, and this program knows {Format}");
        var records = new List<RegisterRecord>();
        for (var count = reader.Int32(1, int.MaxValue); count > 0; count--)
        {
            var kind = reader.Byte();
            reader.Require(kind is MarkRecord or HeldRecord, "there is no such register record");
            records.Add(kind == MarkRecord ? ReadMark(ref reader) : new RegisterRecord.Held(reader.Epoch(), reader.Item()));
        }

        reader.Require(reader.Remaining == 0, "bytes follow the records");
        return records;
    }

    private static RegisterRecord.Mark ReadMark(ref EncodedReader<MalformedPayloadException> reader)
    {
        var kind = (MarkKind)reader.Byte();
        reader.Require(kind is MarkKind.Opened or MarkKind.Sealed or MarkKind.Ended, "there is no such mark");
        return new RegisterRecord.Mark(kind, reader.Epoch(), reader.Varint(ulong.MaxValue), reader.Epoch());
    }
}
