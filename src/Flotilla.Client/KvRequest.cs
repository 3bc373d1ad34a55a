using System.Buffers;
using System.Buffers.Text;
using System.Globalization;
using System.Text;
using Flotilla.Contracts;

namespace Flotilla.Client;

/// <summary>One request as the client thinks of it; <see cref="Encode"/> writes it as HTTP/1.1.</summary>
internal sealed record KvRequest
{
    /// <summary>GET, PUT, POST or DELETE.</summary>
    public required string Method { get; init; }

    /// <summary>The key of a <c>/kv/{key}</c> request; default for a request of a fixed <see cref="Path"/>.</summary>
    public ReadOnlyMemory<byte> Key { get; init; }

    /// <summary>Path and query of a request that is not about one key; null for one that is.</summary>
    public string? Path { get; init; }

    /// <summary>It may change something: once it may have been carried out it must not be sent again without an <see cref="IdempotencyKey"/>.</summary>
    public bool IsWrite => !IsRepeatable && !string.Equals(Method, "GET", StringComparison.Ordinal);

    /// <summary>Doing it twice is the same as doing it once, whatever its method.</summary>
    public bool IsRepeatable { get; init; }

    /// <summary>Asks for a read of what is applied at the node asked.</summary>
    public bool Stale { get; init; }

    /// <summary>Asks for the value's bytes instead of JSON.</summary>
    public bool RawAnswer { get; init; }

    /// <summary>The body, or empty.</summary>
    public ReadOnlyMemory<byte> Body { get; init; }

    /// <summary>What the body is.</summary>
    public string ContentType { get; init; } = Bytes;

    /// <summary>A body that is a value.</summary>
    public const string Bytes = "application/octet-stream";

    /// <summary>A body that is a document.</summary>
    public const string Json = "application/json";

    /// <summary>Only if this is the record's version.</summary>
    public string? IfMatch { get; init; }

    /// <summary>Only if there is no record.</summary>
    public bool IfAbsent { get; init; }

    /// <summary>Names a write for all its attempts, with its parameters as the header has them; null for a plain one.</summary>
    public string? IdempotencyKey { get; init; }

    /// <summary>An earlier attempt under the same key may have been carried out.</summary>
    public bool IsRetry { get; init; }

    private static readonly SearchValues<byte> Plain = SearchValues.Create("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_~.:@!$'()*,;"u8);

    /// <summary>
    /// Writes the request, body included. With <paramref name="noForward"/> a node that doesn't lead the shard says so instead
    /// of forwarding; not for a retry, whose answer must be the result.
    /// </summary>
    public void Encode(ArrayBufferWriter<byte> to, string host, bool noForward)
    {
        Ascii(to, Method);
        Ascii(to, " ");
        var separator = '?';
        if (Path is not null)
        {
            Ascii(to, Path);
            separator = Path.Contains('?', StringComparison.Ordinal) ? '&' : '?';
        }
        else if (Key.Span.Contains((byte)0))
        {
            // Servers refuse %00 in a path, so such a key goes into the query (DESIGN section 9).
            Ascii(to, "/kv?keyBase64=");
            Ascii(to, Uri.EscapeDataString(Convert.ToBase64String(Key.Span)));
            separator = '&';
        }
        else
        {
            Ascii(to, "/kv/");
            Escape(to, Key.Span);
        }

        if (Stale)
        {
            Ascii(to, $"{separator}consistency=stale");
            separator = '&';
        }

        if (noForward || IsRetry)
        {
            Ascii(to, $"{separator}forward={(IsRetry ? "true" : "false")}");
        }

        Ascii(to, " HTTP/1.1\r\nHost: ");
        Ascii(to, host);
        if (RawAnswer)
        {
            Ascii(to, "\r\nAccept: application/octet-stream");
        }

        if (IfMatch is not null)
        {
            Ascii(to, "\r\nIf-Match: \"");
            Ascii(to, IfMatch);
            Ascii(to, "\"");
        }

        if (IfAbsent)
        {
            Ascii(to, "\r\nIf-None-Match: *");
        }

        if (IdempotencyKey is not null)
        {
            Ascii(to, "\r\nIdempotency-Key: ");
            Ascii(to, IdempotencyKey);
            if (IsRetry)
            {
                Ascii(to, "\r\nIdempotency-Retry: true");
            }
        }

        if (Method is "PUT" or "POST")
        {
            Ascii(to, "\r\nContent-Type: ");
            Ascii(to, ContentType);
            Ascii(to, "\r\nContent-Length: ");
            _ = Utf8Formatter.TryFormat(Body.Length, to.GetSpan(11), out var digits);
            to.Advance(digits);
        }

        Ascii(to, "\r\n\r\n");
        to.Write(Body.Span);
    }

    /// <summary>Percent-encodes bytes for a query value.</summary>
    public static string EscapeQuery(ReadOnlySpan<byte> bytes)
    {
        var escaped = new StringBuilder(bytes.Length);
        foreach (var b in bytes)
        {
            _ = Plain.Contains(b) && b != '\'' ? escaped.Append((char)b) : escaped.Append(CultureInfo.InvariantCulture, $"%{b:X2}");
        }

        return escaped.ToString();
    }

    private static void Escape(ArrayBufferWriter<byte> to, ReadOnlySpan<byte> key)
    {
        // A path of dots would be folded by anything that thinks of directories.
        var dots = key is [(byte)'.'] or [(byte)'.', (byte)'.'];
        if (!dots && key.IndexOfAnyExcept(Plain) < 0)
        {
            to.Write(key);
            return;
        }

        var span = to.GetSpan(key.Length * 3);
        var length = 0;
        foreach (var b in key)
        {
            if (Plain.Contains(b) && !dots)
            {
                span[length++] = b;
                continue;
            }

            span[length++] = (byte)'%';
            span[length++] = Hex(b >> 4);
            span[length++] = Hex(b & 15);
        }

        to.Advance(length);
    }

    private static byte Hex(int nibble) => (byte)(nibble < 10 ? '0' + nibble : 'A' + nibble - 10);

    private static void Ascii(ArrayBufferWriter<byte> to, string text) => to.Advance(Encoding.ASCII.GetBytes(text, to.GetSpan(text.Length)));
}
