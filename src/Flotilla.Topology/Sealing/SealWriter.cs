using System.Buffers.Binary;
using System.Numerics;
using System.Text;

namespace Flotilla.Topology.Sealing;

/// <summary>
/// Writes bodies: <c>varint</c> is unsigned LEB128 in its shortest form, <c>text</c> a varint length and so many visible ASCII
/// characters (nothing for null). Grows as needed.
/// </summary>
internal sealed class SealWriter
{
    private byte[] _bytes = new byte[256];

    public int Length { get; private set; }

    public ReadOnlySpan<byte> Written => _bytes.AsSpan(0, Length);

    public static int VarintLength(ulong value) => (70 - BitOperations.LeadingZeroCount(value | 1)) / 7;

    public static int PutVarint(Span<byte> to, ulong value)
    {
        var at = 0;
        while (value >= 0x80)
        {
            to[at++] = (byte)(value | 0x80);
            value >>= 7;
        }

        to[at] = (byte)value;
        return at + 1;
    }

    public void Byte(byte value) => Room(1)[0] = value;

    public void Varint(ulong value) => PutVarint(Room(VarintLength(value)), value);

    public void UInt16(ushort value) => BinaryPrimitives.WriteUInt16LittleEndian(Room(sizeof(ushort)), value);

    public void UInt64(ulong value) => BinaryPrimitives.WriteUInt64LittleEndian(Room(sizeof(ulong)), value);

    public void Bytes(ReadOnlySpan<byte> bytes)
    {
        Varint((uint)bytes.Length);
        Raw(bytes);
    }

    public void Raw(ReadOnlySpan<byte> bytes) => bytes.CopyTo(Room(bytes.Length));

    public void Text(string? text, int maxLength)
    {
        if (text is not null && !SealReader.IsText(text, maxLength))
        {
            throw new ArgumentException($"'{text}' is not 1 to {maxLength} visible ASCII characters.", nameof(text));
        }

        Varint((uint)(text?.Length ?? 0));
        Encoding.ASCII.GetBytes(text ?? "", Room(text?.Length ?? 0));
    }

    private Span<byte> Room(int length)
    {
        if (_bytes.Length - Length < length)
        {
            Array.Resize(ref _bytes, Math.Max(_bytes.Length * 2, Length + length));
        }

        Length += length;
        return _bytes.AsSpan(Length - length, length);
    }
}
