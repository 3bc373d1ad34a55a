using System.Buffers;
using System.Buffers.Binary;
using Version = Flotilla.Data.Version;

namespace Flotilla.Shards;

/// <summary>Writes the things of <see cref="Encoded"/> one after the other into a buffer that grows.</summary>
internal sealed class EncodedWriter(int capacity = 256)
{
    private readonly ArrayBufferWriter<byte> _to = new(Math.Max(1, capacity));

    /// <summary>Bytes written so far.</summary>
    public int Length => _to.WrittenCount;

    /// <summary>What was written; valid until the next write.</summary>
    public ReadOnlyMemory<byte> Written => _to.WrittenMemory;

    public void Byte(byte value)
    {
        _to.GetSpan(1)[0] = value;
        _to.Advance(1);
    }

    public void Int64(long value)
    {
        BinaryPrimitives.WriteInt64LittleEndian(_to.GetSpan(sizeof(long)), value);
        _to.Advance(sizeof(long));
    }

    public void UInt128(UInt128 value)
    {
        BinaryPrimitives.WriteUInt128LittleEndian(_to.GetSpan(16), value);
        _to.Advance(16);
    }

    public void Varint(ulong value) => _to.Advance(Encoded.WriteVarint(_to.GetSpan(Encoded.MaxVarintBytes), 0, value));

    public void Bytes(ReadOnlySpan<byte> bytes) => _to.Advance(Encoded.WriteBytes(_to.GetSpan(Encoded.BytesSize(bytes.Length)), 0, bytes));

    public void Version(Version version) => _to.Advance(Encoded.WriteVersion(_to.GetSpan(4 * Encoded.MaxVarintBytes), 0, version));

    public void Clear() => _to.ResetWrittenCount();

    public byte[] ToArray() => _to.WrittenSpan.ToArray();
}
