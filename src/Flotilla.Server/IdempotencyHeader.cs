using System.Buffers;
using System.Globalization;
using System.Text;
using Flotilla.Shards;

namespace Flotilla.Server;

/// <summary>
/// The header <c>Idempotency-Key</c> (draft-ietf-httpapi-idempotency-key-header), and the metadata of that name in gRPC: a
/// string in quotes, as the draft has it, or, as most clients send it, a bare token; both name the same key. Beside it the
/// parameters <c>life</c> and <c>until</c>, and the header by which a client says that it has sent the request before.
/// </summary>
internal static class IdempotencyHeader
{
    /// <summary>The key.</summary>
    public const string Name = "Idempotency-Key";

    /// <summary><c>true</c>: the request was sent before, and the client does not know what became of it.</summary>
    public const string RetryName = "Idempotency-Retry";

    // RFC 9110, section 5.6.2, and the two that tokens of structured fields have besides.
    private static readonly SearchValues<char> TokenChars = SearchValues.Create("!#$%&'*+-.^_`|~:/0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");

    /// <summary>Reads both headers; null for one that is not there. Null if they make sense, else words for the client.</summary>
    /// <param name="key">What the first header says; more than one are joined by a comma.</param>
    /// <param name="retry">What the second one says.</param>
    /// <param name="once">What the command is to carry; null without a key.</param>
    /// <param name="isRetry">Whether the client has sent it before.</param>
    public static string? TryParse(string? key, string? retry, out Once? once, out bool isRetry)
    {
        once = null;
        isRetry = retry is not null;
        if (key is null)
        {
            return isRetry ? $"{RetryName} goes with the {Name} of the first request." : null;
        }

        if (isRetry && !retry.AsSpan().Trim().Equals("true", StringComparison.OrdinalIgnoreCase))
        {
            return $"{RetryName} must be true, or be left out.";
        }

        var rest = key.AsSpan().Trim();
        if (TakeKey(ref rest) is not { Length: > 0 and <= Once.ByKey.MaxKeyBytes } bytes)
        {
            return $"{Name} must be one key of 1 to {Once.ByKey.MaxKeyBytes} characters: in quotes, {Name}: \"8e03978e-40d5\" (ASCII, with \\\" and \\\\ for a quote and a backslash), or bare, of letters, digits and !#$%&'*+-.^_`|~:/.";
        }

        if (!TryTake(ref rest, "life", MaxLifeSeconds, out var lifeSeconds) || !TryTake(ref rest, "until", MaxUntilMs, out var untilMs) || !rest.IsEmpty)
        {
            return $"{Name} may be followed by ;life=SECONDS, a whole number from 1 to {MaxLifeSeconds}, then by ;until=MILLISECONDS since 1970, and by nothing else.";
        }

        once = new Once.ByKey(bytes, new KeyTerms(lifeSeconds * 1000, 0), untilMs);
        return null;
    }

    private const long MaxLifeSeconds = 3_153_600_000;
    private const long MaxUntilMs = long.MaxValue / 2;

    private static byte[]? TakeKey(ref ReadOnlySpan<char> rest)
    {
        if (!rest.StartsWith("\""))
        {
            var end = rest.IndexOfAnyExcept(TokenChars);
            var token = end < 0 ? rest : rest[..end];
            rest = rest[token.Length..];
            return Encoding.ASCII.GetBytes(token.ToArray());
        }

        var key = new List<byte>();
        for (var i = 1; i < rest.Length; i++)
        {
            var c = rest[i];
            switch (c)
            {
                case '"':
                    rest = rest[(i + 1)..];
                    return [.. key];
                case '\\' when i + 1 < rest.Length && rest[i + 1] is '"' or '\\':
                    c = rest[++i];
                    break;
                case '\\' or < ' ' or > '~':
                    return null;
                default:
                    break;
            }

            key.Add((byte)c);
        }

        return null;
    }

    /// <summary>Takes <c>;name=NUMBER</c> off the front, a whole number from 1; 0 if something else, or nothing, stands there. False for one that is no such number.</summary>
    private static bool TryTake(ref ReadOnlySpan<char> rest, string name, long max, out long number)
    {
        number = 0;
        rest = rest.TrimStart();
        if (rest.IsEmpty || rest[0] != ';' || rest[1..].TrimStart() is var named && !(named.StartsWith(name, StringComparison.Ordinal) && named[name.Length..].StartsWith("=")))
        {
            return true;
        }

        var digits = named[(name.Length + 1)..];
        var end = digits.IndexOfAnyExceptInRange('0', '9');
        end = end < 0 ? digits.Length : end;
        rest = digits[end..].TrimStart();
        return long.TryParse(digits[..end], NumberStyles.None, CultureInfo.InvariantCulture, out number) && number > 0 && number <= max;
    }
}
