namespace Flotilla.Server.Http;

/// <summary>
/// The raw request target as it came over the wire (RFC 9112, section 3.2), cut into path and query but not decoded:
/// routing by the server would fold dot segments and leave <c>%2F</c> encoded, and a key is any bytes.
/// </summary>
internal readonly ref struct RequestTarget
{
    private RequestTarget(ReadOnlySpan<char> path, ReadOnlySpan<char> query)
    {
        Path = path;
        Query = query;
    }

    /// <summary>From the first slash up to the first question mark, still encoded. <c>*</c> stays itself.</summary>
    public ReadOnlySpan<char> Path { get; }

    /// <summary>Behind the first question mark, still encoded; empty if there is none.</summary>
    public ReadOnlySpan<char> Query { get; }

    /// <summary>Cuts a raw target; of the absolute form (<c>http://host/path</c>) scheme and host are left out.</summary>
    public static RequestTarget Parse(string rawTarget)
    {
        var rest = rawTarget.AsSpan();
        if (rest.IsEmpty || rest[0] != '/')
        {
            var scheme = rest.IndexOf("://", StringComparison.Ordinal);
            if (scheme >= 0)
            {
                rest = rest[(scheme + 3)..];
                var end = rest.IndexOfAny('/', '?');
                rest = end < 0 ? "/" : rest[end..];
            }
        }

        var question = rest.IndexOf('?');
        return question < 0
            ? new RequestTarget(rest, default)
            : new RequestTarget(question == 0 ? "/" : rest[..question], rest[(question + 1)..]);
    }
}
