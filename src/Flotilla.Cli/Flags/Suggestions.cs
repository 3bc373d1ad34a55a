namespace Flotilla.Cli.Flags;

/// <summary>Finds what somebody may have meant.</summary>
internal static class Suggestions
{
    /// <summary>The nearest of the names, if it is near enough to be a slip of the fingers.</summary>
    public static string? Nearest(string word, IEnumerable<string> names) =>
        names.Select(name => (name, distance: Distance(word, name)))
            .Where(c => c.distance <= Math.Max(1, Math.Min(word.Length, c.name.Length) / 3))
            .OrderBy(c => c.distance).ThenBy(c => c.name, StringComparer.Ordinal)
            .Select(c => c.name).FirstOrDefault();

    /// <summary>"; did you mean …?", or nothing.</summary>
    public static string Clause(string word, IEnumerable<string> names) => Nearest(word, names) is { } name ? $"; did you mean '{name}'?" : "";

    /// <summary>Insertions, deletions, replacements and swaps of neighbours that lead from one to the other.</summary>
    public static int Distance(string a, string b)
    {
        var table = new int[a.Length + 1, b.Length + 1];
        for (var i = 0; i <= a.Length; i++)
        {
            for (var j = 0; j <= b.Length; j++)
            {
                if (i == 0 || j == 0)
                {
                    table[i, j] = i + j;
                    continue;
                }

                var cost = a[i - 1] == b[j - 1] ? 0 : 1;
                table[i, j] = Math.Min(Math.Min(table[i - 1, j], table[i, j - 1]) + 1, table[i - 1, j - 1] + cost);
                if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                {
                    table[i, j] = Math.Min(table[i, j], table[i - 2, j - 2] + 1);
                }
            }
        }

        return table[a.Length, b.Length];
    }
}
