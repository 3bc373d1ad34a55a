using System.Buffers.Binary;
using Version = Flotilla.Data.Version;

namespace Flotilla.Shards;

/// <summary>What a format throws when bytes are not of it.</summary>
internal interface IMalformed
{
    /// <summary>The exception for <paramref name="what"/> at an offset.</summary>
    static abstract Exception At(string what, int offset);
}

/// <summary>Reads what <see cref="Encoded"/> wrote and accepts nothing else, so that bytes which decode have one meaning and one encoding.</summary>
/// <typeparam name="TMalformed">The format's exception.</typeparam>
internal ref struct EncodedReader<TMalformed>(ReadOnlyMemory<byte> bytes)
    where TMalformed : IMalformed
{
    private readonly ReadOnlyMemory<byte> _memory = bytes;
    private readonly ReadOnlySpan<byte> _span = bytes.Span;

    /// <summary>How far it has read.</summary>
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

    public ulong Varint(ulong max)
    {
        var at = At;
        ulong value = 0;
        for (var shift = 0; ; shift += 7)
        {
            var b = Byte();
            if ((shift == 63 && b > 1) || (b == 0 && shift > 0))
            {
                throw TMalformed.At("a number is too long", at);
            }

            value |= (ulong)(b & 0x7F) << shift;
            if (b < 0x80)
            {
                return value <= max ? value : throw TMalformed.At($"the number {value} is too large", at);
            }
        }
    }

    public int Int32(int min, int max)
    {
        var at = At;
        var value = (int)Varint((uint)max);
        return value >= min ? value : throw TMalformed.At($"the number {value} is too small", at);
    }

    public Version Version() => new((uint)Varint(uint.MaxValue), (uint)Varint(uint.MaxValue), Varint(ulong.MaxValue), Varint(ulong.MaxValue));

    /// <summary>A length and so many bytes, as a slice of what is read.</summary>
    public ReadOnlyMemory<byte> Bytes() => Take((int)Varint(int.MaxValue));

    /// <summary>So many bytes, as a slice of what is read.</summary>
    public ReadOnlyMemory<byte> Take(int length)
    {
        if (length > Remaining)
        {
            throw Truncated();
        }

        At += length;
        return _memory.Slice(At - length, length);
    }

    /// <summary>Throws unless <paramref name="holds"/>.</summary>
    public readonly void Require(bool holds, string otherwise)
    {
        if (!holds)
        {
            throw TMalformed.At(otherwise, At);
        }
    }

    private readonly Exception Truncated() => TMalformed.At("it ends too early", At);
}
