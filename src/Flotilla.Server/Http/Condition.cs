using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Primitives;
using Version = Flotilla.Data.Version;

namespace Flotilla.Server.Http;

/// <summary>What a write asks of the record that is there.</summary>
internal enum ConditionKind
{
    /// <summary>Nothing.</summary>
    None = 0,

    /// <summary><c>If-Match: "version"</c>: this version.</summary>
    VersionIs,

    /// <summary><c>If-None-Match: *</c>: no record.</summary>
    Absent,
}

/// <summary>The condition of a write, from its headers (RFC 9110, section 13.1).</summary>
internal readonly record struct Condition(ConditionKind Kind, Version Version)
{
    /// <summary>Reads the condition of a write. False, with words for the client, for one that no command can carry.</summary>
    public static bool TryParse(IHeaderDictionary headers, out Condition condition, out string? problem)
    {
        condition = default;
        problem = null;
        var match = headers.IfMatch;
        var noneMatch = headers.IfNoneMatch;
        if (match.Count == 0 && noneMatch.Count == 0)
        {
            return true;
        }

        if (match.Count != 0 && noneMatch.Count != 0)
        {
            problem = "If-Match and If-None-Match exclude each other.";
            return false;
        }

        if (noneMatch.Count != 0)
        {
            if (noneMatch.Count == 1 && noneMatch[0].AsSpan().Trim() is "*")
            {
                condition = new Condition(ConditionKind.Absent, default);
                return true;
            }

            problem = "A write takes If-None-Match only as \"If-None-Match: *\" (create only).";
            return false;
        }

        if (match.Count != 1 || !TryVersion(match[0].AsSpan().Trim(), out var version))
        {
            problem = "If-Match must be one version in quotes, as an ETag gave it: If-Match: \"1.0.42.3\".";
            return false;
        }

        condition = new Condition(ConditionKind.VersionIs, version);
        return true;
    }

    /// <summary>True if <paramref name="etag"/>, a quoted version, is in a list of entity tags or the list is <c>*</c>. Weak tags match too where <paramref name="weak"/>.</summary>
    public static bool Lists(StringValues header, string etag, bool weak)
    {
        foreach (var line in header)
        {
            foreach (var part in line.AsSpan().Split(','))
            {
                var tag = line.AsSpan()[part].Trim();
                if (weak && tag.StartsWith("W/", StringComparison.Ordinal))
                {
                    tag = tag[2..];
                }

                if (tag is "*" || tag.SequenceEqual(etag))
                {
                    return true;
                }
            }
        }

        return false;
    }

    private static bool TryVersion(ReadOnlySpan<char> tag, out Version version)
    {
        if (tag.Length > 2 && tag[0] == '"' && tag[^1] == '"')
        {
            return Version.TryParse(tag[1..^1], out version);
        }

        version = default;
        return false;
    }
}
