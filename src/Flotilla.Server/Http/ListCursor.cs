using System.Buffers.Binary;
using System.Buffers.Text;

namespace Flotilla.Server.Http;

/// <summary>
/// The opaque cursor of a listing: a format byte, the length of the prefix, and the key to go on from (which begins with
/// the prefix), as base64url. It holds all that the next page needs, so it is good at any node and for ever.
/// </summary>
internal static class ListCursor
{
    private const byte Format = 1;

    /// <summary>The cursor that goes on at <paramref name="next"/>.</summary>
    public static string Encode(int prefixLength, ReadOnlySpan<byte> next)
    {
        var bytes = new byte[3 + next.Length];
        bytes[0] = Format;
        BinaryPrimitives.WriteUInt16BigEndian(bytes.AsSpan(1), checked((ushort)prefixLength));
        next.CopyTo(bytes.AsSpan(3));
        return Base64Url.EncodeToString(bytes);
    }

    /// <summary>Reads a cursor. False for what <see cref="Encode"/> never wrote.</summary>
    public static bool TryDecode(ReadOnlySpan<char> text, out ReadOnlyMemory<byte> prefix, out ReadOnlyMemory<byte> next)
    {
        prefix = next = default;
        if (!PercentEncoding.TryDecodeBase64(text, out var bytes) || bytes.Length < 4 || bytes[0] != Format)
        {
            return false;
        }

        var length = BinaryPrimitives.ReadUInt16BigEndian(bytes.AsSpan(1));
        if (length > bytes.Length - 3)
        {
            return false;
        }

        next = bytes.AsMemory(3);
        prefix = next[..length];
        return true;
    }
}
