namespace Flotilla.Server.Http;

/// <summary>The query parameters that some route knows.</summary>
[Flags]
internal enum Parameters
{
    /// <summary>None.</summary>
    None = 0,

    /// <summary><c>key</c>: a key, percent-encoded.</summary>
    Key = 1,

    /// <summary><c>val</c> or <c>value</c>: a value, percent-encoded.</summary>
    Value = 2,

    /// <summary><c>keyBase64</c>: a key as base64, either alphabet.</summary>
    KeyBase64 = 4,

    /// <summary><c>prefix</c>: what listed keys begin with.</summary>
    Prefix = 8,

    /// <summary><c>limit</c>: records on a page.</summary>
    Limit = 16,

    /// <summary><c>cursor</c>: where a listing goes on.</summary>
    Cursor = 32,

    /// <summary><c>consistency</c>: <c>linearizable</c> or <c>stale</c>.</summary>
    Consistency = 64,

    /// <summary><c>forward</c>: <c>true</c> or <c>false</c>.</summary>
    Forward = 128,

    /// <summary><c>ttlSeconds</c>: the record's life.</summary>
    TtlSeconds = 256,

    /// <summary><c>verbose</c>: list every check.</summary>
    Verbose = 512,

    /// <summary><c>shard</c>: a shard's number.</summary>
    Shard = 1024,

    /// <summary><c>from</c>: where a watch goes on.</summary>
    From = 2048,

    /// <summary><c>keys</c>: several keys, each percent-encoded, with commas between them.</summary>
    Keys = 4096,
}

/// <summary>The query of one request, cut but not decoded.</summary>
internal ref struct QueryParameters
{
    private Parameters _present;

    /// <summary>Raw <c>key</c>.</summary>
    public ReadOnlySpan<char> Key { get; private set; }

    /// <summary>Raw <c>val</c> or <c>value</c>.</summary>
    public ReadOnlySpan<char> Value { get; private set; }

    /// <summary>Raw <c>keyBase64</c>.</summary>
    public ReadOnlySpan<char> KeyBase64 { get; private set; }

    /// <summary>Raw <c>prefix</c>.</summary>
    public ReadOnlySpan<char> Prefix { get; private set; }

    /// <summary>Raw <c>limit</c>.</summary>
    public ReadOnlySpan<char> Limit { get; private set; }

    /// <summary>Raw <c>cursor</c>.</summary>
    public ReadOnlySpan<char> Cursor { get; private set; }

    /// <summary>Raw <c>consistency</c>.</summary>
    public ReadOnlySpan<char> Consistency { get; private set; }

    /// <summary>Raw <c>forward</c>.</summary>
    public ReadOnlySpan<char> Forward { get; private set; }

    /// <summary>Raw <c>ttlSeconds</c>.</summary>
    public ReadOnlySpan<char> TtlSeconds { get; private set; }

    /// <summary>Raw <c>verbose</c>.</summary>
    public ReadOnlySpan<char> Verbose { get; private set; }

    /// <summary>Raw <c>shard</c>.</summary>
    public ReadOnlySpan<char> Shard { get; private set; }

    /// <summary>Raw <c>from</c>.</summary>
    public ReadOnlySpan<char> From { get; private set; }

    /// <summary>Raw <c>keys</c>.</summary>
    public ReadOnlySpan<char> Keys { get; private set; }

    /// <summary>True if the parameter was given, even with an empty value.</summary>
    public readonly bool Has(Parameters parameter) => (_present & parameter) != Parameters.None;

    /// <summary>
    /// Reads a query. A parameter given twice is refused. So is one that the route does not know: a misspelt
    /// <c>ttlSecond</c> must not store a record for ever. Routes of the ancestors ignore those instead
    /// (<paramref name="strict"/> false), since their clients may send more.
    /// </summary>
    public static bool TryParse(ReadOnlySpan<char> query, Parameters allowed, bool strict, out QueryParameters result, out string? problem)
    {
        result = default;
        problem = null;
        while (!query.IsEmpty)
        {
            var ampersand = query.IndexOf('&');
            var pair = ampersand < 0 ? query : query[..ampersand];
            query = ampersand < 0 ? default : query[(ampersand + 1)..];
            if (pair.IsEmpty)
            {
                continue;
            }

            var equals = pair.IndexOf('=');
            var name = equals < 0 ? pair : pair[..equals];
            var value = equals < 0 ? default : pair[(equals + 1)..];
            var parameter = Named(name) & allowed;
            if (parameter == Parameters.None)
            {
                if (strict)
                {
                    problem = $"The query parameter \"{name}\" means nothing here. Known here: {Names(allowed)}.";
                    return false;
                }

                continue;
            }

            if (result.Has(parameter))
            {
                problem = $"The query parameter \"{name}\" is given twice.";
                return false;
            }

            result.Set(parameter, value);
        }

        return true;
    }

    private static Parameters Named(ReadOnlySpan<char> name) => name switch
    {
        "key" => Parameters.Key,
        "val" or "value" => Parameters.Value,
        "keyBase64" => Parameters.KeyBase64,
        "prefix" => Parameters.Prefix,
        "limit" => Parameters.Limit,
        "cursor" => Parameters.Cursor,
        "consistency" => Parameters.Consistency,
        "forward" => Parameters.Forward,
        "ttlSeconds" => Parameters.TtlSeconds,
        "verbose" => Parameters.Verbose,
        "shard" => Parameters.Shard,
        "from" => Parameters.From,
        "keys" => Parameters.Keys,
        _ => Parameters.None,
    };

    private static string Names(Parameters allowed)
    {
        var names = new List<string>();
        foreach (var name in (ReadOnlySpan<string>)["key", "val", "keyBase64", "prefix", "limit", "cursor", "consistency", "forward", "ttlSeconds", "verbose", "shard", "from", "keys"])
        {
            if ((Named(name) & allowed) != Parameters.None)
            {
                names.Add(name);
            }
        }

        return names.Count == 0 ? "none" : string.Join(", ", names);
    }

    private void Set(Parameters parameter, ReadOnlySpan<char> value)
    {
        _present |= parameter;
        switch (parameter)
        {
            case Parameters.Key:
                Key = value;
                break;
            case Parameters.Value:
                Value = value;
                break;
            case Parameters.KeyBase64:
                KeyBase64 = value;
                break;
            case Parameters.Prefix:
                Prefix = value;
                break;
            case Parameters.Limit:
                Limit = value;
                break;
            case Parameters.Cursor:
                Cursor = value;
                break;
            case Parameters.Consistency:
                Consistency = value;
                break;
            case Parameters.Forward:
                Forward = value;
                break;
            case Parameters.TtlSeconds:
                TtlSeconds = value;
                break;
            case Parameters.Verbose:
                Verbose = value;
                break;
            case Parameters.Shard:
                Shard = value;
                break;
            case Parameters.From:
                From = value;
                break;
            case Parameters.Keys:
                Keys = value;
                break;
            default:
                break;
        }
    }
}
