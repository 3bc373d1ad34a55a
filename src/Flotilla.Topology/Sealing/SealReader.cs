using System.Buffers.Binary;
using System.Text;

namespace Flotilla.Topology.Sealing;

/// <summary>
/// Reads what <see cref="SealWriter"/> wrote, of any bytes: it never throws. The first thing that does not fit is remembered
/// as <see cref="Problem"/>, and all that is read after it is zero, so that loops end and the caller asks once.
/// </summary>
internal ref struct SealReader(ReadOnlySpan<byte> bytes)
{
    private ReadOnlySpan<byte> _rest = bytes;

    /// <summary>What did not fit first; null so far.</summary>
    public string? Problem { get; private set; }

    /// <summary>Bytes not read yet; 0 after a problem.</summary>
    public readonly int Remaining => _rest.Length;

    /// <summary>Whether this may stand in a text.</summary>
    public static bool IsText(string text, int maxLength) => text.Length >= 1 && text.Length <= maxLength && !text.AsSpan().ContainsAnyExceptInRange('!', '~');

    /// <summary>Remembers a problem, unless there is one already.</summary>
    public void Fail(string problem)
    {
        Problem ??= problem;
        _rest = default;
    }

    /// <summary>Remembers a problem unless <paramref name="holds"/>. Returns it.</summary>
    public bool Require(bool holds, string otherwise)
    {
        if (!holds)
        {
            Fail(otherwise);
        }

        return holds;
    }

    public byte Byte()
    {
        var taken = Take(1);
        return taken.IsEmpty ? (byte)0 : taken[0];
    }

    public ushort UInt16()
    {
        var taken = Take(sizeof(ushort));
        return taken.IsEmpty ? (ushort)0 : BinaryPrimitives.ReadUInt16LittleEndian(taken);
    }

    public ulong UInt64()
    {
        var taken = Take(sizeof(ulong));
        return taken.IsEmpty ? 0 : BinaryPrimitives.ReadUInt64LittleEndian(taken);
    }

    /// <summary>A number of at most <paramref name="max"/>, in its shortest form.</summary>
    public ulong Varint(ulong max)
    {
        ulong value = 0;
        for (var shift = 0; shift <= 63; shift += 7)
        {
            var b = Byte();
            if ((shift == 63 && b > 1) || (b == 0 && shift > 0))
            {
                break;
            }

            value |= (ulong)(b & 0x7F) << shift;
            if (b < 0x80)
            {
                if (value <= max)
                {
                    return value;
                }

                break;
            }
        }

        Fail("a number is too large or too long");
        return 0;
    }

    /// <summary>How many things follow, each of at least <paramref name="minBytes"/>: never more than there are bytes for.</summary>
    public int Count(int max, int minBytes)
    {
        var count = (int)Varint((uint)max);
        return Require((long)count * minBytes <= _rest.Length, "it ends too early") ? count : 0;
    }

    /// <summary>So many bytes, as a part of what is read; none if there are not so many.</summary>
    public ReadOnlySpan<byte> Take(int length)
    {
        if (length > _rest.Length)
        {
            Fail("it ends too early");
            return default;
        }

        var taken = _rest[..length];
        _rest = _rest[length..];
        return taken;
    }

    /// <summary>A varint length of at most <paramref name="max"/>, and so many bytes.</summary>
    public ReadOnlySpan<byte> Bytes(int max) => Take((int)Varint((uint)max));

    /// <summary>A text, or null.</summary>
    public string? Text(int maxLength)
    {
        var text = Bytes(maxLength);
        if (text.ContainsAnyExceptInRange((byte)'!', (byte)'~'))
        {
            Fail("a text has characters other than visible ASCII");
        }

        return text.IsEmpty || Problem is not null ? null : Encoding.ASCII.GetString(text);
    }

    /// <summary>A text that must be there; empty after a problem.</summary>
    public string Name(int maxLength)
    {
        var text = Text(maxLength);
        Require(text is not null, "a name is empty");
        return text ?? "";
    }
}
