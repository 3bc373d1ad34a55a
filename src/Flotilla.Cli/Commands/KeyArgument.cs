using System.CommandLine;
using Flotilla.Cli.Flags;

namespace Flotilla.Cli.Commands;

/// <summary>Keys on the command line.</summary>
internal static class KeyArgument
{
    /// <summary>Reads the key. One that begins with a dash is far more often a flag with a typing error, so it needs <c>--</c>.</summary>
    public static string Read(Invocation invocation, Argument<string> argument) => Checked(invocation, invocation.Argument(argument) ?? "");

    /// <summary>Reads several keys, each under the same rule.</summary>
    public static string[] Read(Invocation invocation, Argument<string[]> argument) => [.. (invocation.Argument(argument) ?? []).Select(key => Checked(invocation, key))];

    private static string Checked(Invocation invocation, string key)
    {
        if (key.Length == 0)
        {
            throw new UsageException("an empty key is not allowed");
        }

        return key[0] == '-' && key.Length > 1 && !invocation.EndsFlags
            ? throw new UsageException($"there is no flag '{key}'; to use it as a key write -- before it")
            : key;
    }
}

/// <summary>Versions on the command line.</summary>
internal static class VersionText
{
    /// <summary>Refuses what can't be a version, since it could not travel in a header.</summary>
    public static string Check(string version)
    {
        var plain = version.Trim('"');
        return plain.Length > 0 && plain.All(c => c is > ' ' and < (char)127 and not '"')
            ? plain
            : throw new UsageException($"'{version}' is not a version; `flotilla get KEY --output json` shows a record's");
    }
}
