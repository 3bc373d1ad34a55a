using System.Buffers;
using System.Globalization;
using System.Text;

namespace Flotilla.Wire.Rpc;

/// <summary>The texts in gRPC's headers and trailers (grpc/grpc, doc/PROTOCOL-HTTP2.md).</summary>
public static class RpcText
{
    /// <summary>The longest timeout that the header can say: eight digits of hours.</summary>
    public static TimeSpan MaxTimeout => TimeSpan.FromHours(99_999_999);

    /// <summary>Encodes any text for <c>grpc-message</c>: what is not printable ASCII, and <c>%</c> itself, becomes <c>%XX</c> of its UTF-8 bytes.</summary>
    public static string PercentEncode(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        if (!text.AsSpan().ContainsAnyExceptInRange(' ', '~') && !text.Contains('%', StringComparison.Ordinal))
        {
            return text;
        }

        var result = new StringBuilder(text.Length + 16);
        foreach (var b in Encoding.UTF8.GetBytes(text))
        {
            if (b is >= 0x20 and <= 0x7e and not (byte)'%')
            {
                result.Append((char)b);
            }
            else
            {
                result.Append('%').Append(b.ToString("X2", CultureInfo.InvariantCulture));
            }
        }

        return result.ToString();
    }

    /// <summary>Decodes what <see cref="PercentEncode"/> made. Never fails: what is not a valid escape stays as it is.</summary>
    public static string PercentDecode(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        if (!text.Contains('%', StringComparison.Ordinal))
        {
            return text;
        }

        var bytes = new ArrayBufferWriter<byte>(text.Length);
        for (var i = 0; i < text.Length; i++)
        {
            if (text[i] == '%' && i + 2 < text.Length && char.IsAsciiHexDigit(text[i + 1]) && char.IsAsciiHexDigit(text[i + 2]))
            {
                bytes.GetSpan(1)[0] = byte.Parse(text.AsSpan(i + 1, 2), NumberStyles.HexNumber, CultureInfo.InvariantCulture);
                bytes.Advance(1);
                i += 2;
            }
            else
            {
                bytes.Advance(Encoding.UTF8.GetBytes(text.AsSpan(i, 1), bytes.GetSpan(4)));
            }
        }

        return Encoding.UTF8.GetString(bytes.WrittenSpan);
    }

    /// <summary>Writes <c>grpc-timeout</c>: at most eight digits and a unit, rounded up, never 0.</summary>
    public static string FormatTimeout(TimeSpan timeout)
    {
        const long Limit = 99_999_999;
        var ms = Math.Max(1, (long)Math.Ceiling(timeout.TotalMilliseconds));
        if (ms <= Limit)
        {
            return $"{ms}m";
        }

        var seconds = (ms + 999) / 1000;
        return seconds <= Limit ? $"{seconds}S" : $"{Math.Min(Limit, (seconds + 3599) / 3600)}H";
    }

    /// <summary>Reads <c>grpc-timeout</c>. False for anything that the protocol does not allow.</summary>
    public static bool TryParseTimeout(ReadOnlySpan<char> text, out TimeSpan timeout)
    {
        timeout = default;
        if (text.Length is < 2 or > 9 || !long.TryParse(text[..^1], NumberStyles.None, CultureInfo.InvariantCulture, out var count))
        {
            return false;
        }

        // Nanoseconds are rounded up to a tick of 100 ns, so that only 0 means "over already".
        long? ticks = text[^1] switch
        {
            'H' => count * TimeSpan.TicksPerHour,
            'M' => count * TimeSpan.TicksPerMinute,
            'S' => count * TimeSpan.TicksPerSecond,
            'm' => count * TimeSpan.TicksPerMillisecond,
            'u' => count * TimeSpan.TicksPerMicrosecond,
            'n' => (count + 99) / 100,
            _ => null,
        };
        timeout = new TimeSpan(ticks ?? 0);
        return ticks is not null;
    }
}
