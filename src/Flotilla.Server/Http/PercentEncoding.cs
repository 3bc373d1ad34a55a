using System.Buffers;
using System.Buffers.Text;
using System.Text;

namespace Flotilla.Server.Http;

/// <summary>Percent-decoding (RFC 3986, section 2.1) from the raw request target to bytes, exactly once.</summary>
internal static class PercentEncoding
{
    /// <summary>
    /// Decodes <paramref name="text"/>. False if a <c>%</c> is not followed by two hex digits, or for a character beyond
    /// ASCII (the server refuses those before they get here).
    /// </summary>
    /// <param name="text">A part of the raw target.</param>
    /// <param name="plusIsSpace">True in query values, as HTML forms write them; false in paths.</param>
    /// <param name="bytes">The bytes: a new array, the caller's to keep.</param>
    public static bool TryDecode(ReadOnlySpan<char> text, bool plusIsSpace, out byte[] bytes)
    {
        var escapes = text.Count('%');
        if (escapes == 0)
        {
            bytes = text.IsEmpty ? [] : new byte[text.Length];
            if (Ascii.FromUtf16(text, bytes, out _) != OperationStatus.Done)
            {
                return false;
            }

            if (plusIsSpace)
            {
                bytes.AsSpan().Replace((byte)'+', (byte)' ');
            }

            return true;
        }

        bytes = [];
        if (escapes * 3 > text.Length)
        {
            return false;
        }

        var decoded = new byte[text.Length - (2 * escapes)];
        var at = 0;
        for (var i = 0; i < text.Length; i++)
        {
            var c = text[i];
            if (at == decoded.Length)
            {
                // More characters than well-formed escapes would leave: one further on is cut short.
                return false;
            }

            if (c == '%')
            {
                if (i + 2 >= text.Length || !char.IsAsciiHexDigit(text[i + 1]) || !char.IsAsciiHexDigit(text[i + 2]))
                {
                    return false;
                }

                decoded[at++] = (byte)((Hex(text[i + 1]) << 4) | Hex(text[i + 2]));
                i += 2;
            }
            else if (c > 0x7F)
            {
                return false;
            }
            else
            {
                decoded[at++] = plusIsSpace && c == '+' ? (byte)' ' : (byte)c;
            }
        }

        bytes = decoded;
        return true;
    }

    /// <summary>Decodes a percent-encoded base64 value in either alphabet (RFC 4648, sections 4 and 5), padded or not.</summary>
    public static bool TryDecodeBase64(ReadOnlySpan<char> text, out byte[] bytes)
    {
        bytes = [];
        if (!TryDecode(text, plusIsSpace: false, out var encoded))
        {
            return false;
        }

        encoded.AsSpan().Replace((byte)'+', (byte)'-');
        encoded.AsSpan().Replace((byte)'/', (byte)'_');
        if (!Base64Url.IsValid(encoded, out var length))
        {
            return false;
        }

        bytes = new byte[length];
        return Base64Url.TryDecodeFromUtf8(encoded, bytes, out var written) && written == length;
    }

    private static int Hex(char c) => c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}
