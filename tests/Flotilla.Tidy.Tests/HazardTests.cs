using System.Text;
using System.Text.RegularExpressions;

namespace Flotilla.Tidy.Tests;

/// <summary>
/// The hazards that systems like ours really had (hazards.txt), and which test covers which: docs/hazards.md is made from
/// the traits on the tests, the first lines of scenario files, and the names of the seeded bugs.
/// </summary>
public sealed partial class HazardTests
{
    private const string Page = "docs/hazards.md";

    [GeneratedRegex(@"^\s*\[[^\n]*?Trait\(""Hazard"",\s*""(?<n>\d+)""\)", RegexOptions.Multiline)]
    private static partial Regex Trait();

    [GeneratedRegex(@"(?:void|Task|ValueTask|class)\s+(?<name>\w+)\s*[(<:\r\n{]")]
    private static partial Regex Declaration();

    [GeneratedRegex(@"^#\s*hazards?:\s*(?<list>[\d,\s]+)$", RegexOptions.IgnoreCase)]
    private static partial Regex ScenarioTag();

    [GeneratedRegex(@"^(?<n>\d+)\. \[(?<how>\w+)\] (?<what>.*)$")]
    private static partial Regex HazardLine();

    private sealed record Hazard(int Number, string Section, string How, string What);

    private static List<Hazard> Listed()
    {
        var list = new List<Hazard>();
        var section = "";
        foreach (var line in Repository.Find("tests/Flotilla.Tidy.Tests/hazards.txt")!.Lines)
        {
            if (line.StartsWith("**", StringComparison.Ordinal))
            {
                section = line.Trim('*', ' ');
            }
            else if (HazardLine().Match(line) is { Success: true } m)
            {
                list.Add(new Hazard(int.Parse(m.Groups["n"].Value), section, m.Groups["how"].Value, m.Groups["what"].Value));
            }
        }

        return list;
    }

    /// <summary>Everything that says it covers a hazard: number, what to show, and where it is from.</summary>
    private static List<(int Number, string Name, string Path)> Covering()
    {
        var found = new List<(int, string, string)>();
        foreach (var file in Repository.Files.Where(f => f.IsUnder("tests")))
        {
            if (file.Extension == ".cs")
            {
                foreach (Match trait in Trait().Matches(file.Text))
                {
                    var declaration = Declaration().Match(file.Text, trait.Index);
                    found.Add((int.Parse(trait.Groups["n"].Value), declaration.Success ? declaration.Groups["name"].Value : "?", file.Path));
                }
            }
            else if (file.Extension == ".txt" && ScenarioTag().Match(file.Lines[0].Trim()) is { Success: true } tag)
            {
                found.AddRange(tag.Groups["list"].Value.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries)
                    .Select(n => (int.Parse(n), "scenario " + Path.GetFileNameWithoutExtension(file.Path), file.Path)));
            }
            else if (file.Extension == ".patch" && file.Path.Contains("/bugs/", StringComparison.Ordinal))
            {
                var name = Path.GetFileNameWithoutExtension(file.Path);
                found.Add((int.Parse(Regex.Match(name, @"^\d+").Value), "seeded bug " + name, file.Path));
            }
        }

        return [.. found.Distinct().OrderBy(f => f.Item1).ThenBy(f => f.Item3, StringComparer.Ordinal).ThenBy(f => f.Item2, StringComparer.Ordinal)];
    }

    private static string Render()
    {
        var covering = Covering().ToLookup(c => c.Number);
        var page = new StringBuilder();
        page.Append(
            """
            # Hazards

            Bugs that systems like this one really had, and the tests that keep them out. This page is generated: it lists every
            test with `[Trait("Hazard", "n")]`, every scenario file whose first line is `# hazard: n`, and every seeded bug
            (`tests/Flotilla.Simulation/bugs/NN-name.patch`). Write it anew with
            `FLOTILLA_UPDATE=1 dotnet run -c Release --project tests/Flotilla.Tidy.Tests`.

            **S**: the simulator can catch it; **R**: it needs real processes; **SR**: both; **F**: fuzzing or a unit test. The arrow
            leads from how it happens to what triggers it; the sources follow (`owner#n` is an issue or pull request: etcd is
            etcd-io/etcd, raft etcd-io/raft, hc hashicorp/raft, rr RedisLabs/redisraft, vk valkey-io/valkey, gar microsoft/garnet,
            dn dotnet/dotNext, crdb cockroachdb/cockroach, scy scylladb/scylladb; `J:x` is Jepsen's analysis of x).

            """);
        foreach (var section in Listed().GroupBy(h => h.Section, StringComparer.Ordinal))
        {
            page.Append($"\n## {section.Key}\n\n| | hazard | | covered by |\n|---|---|---|---|\n");
            foreach (var hazard in section)
            {
                var tests = covering[hazard.Number].Select(c => $"[{c.Name}](../{c.Path})").ToList();
                page.Append($"| {hazard.Number} | {hazard.What.Replace("|", "\\|", StringComparison.Ordinal)} | {hazard.How} | {(tests.Count > 0 ? string.Join("<br>", tests) : "owed")} |\n");
            }
        }

        return page.ToString();
    }

    [Fact]
    public void Every_hazard_tag_names_a_listed_hazard()
    {
        var numbers = Listed().Select(h => h.Number).ToHashSet();
        Findings.None(
            Covering().Where(c => !numbers.Contains(c.Number)).Select(c => $"{c.Path}: hazard {c.Number} on {c.Name}"),
            "No such hazard in tests/Flotilla.Tidy.Tests/hazards.txt: correct the number, or list the hazard:");
    }

    [Fact]
    public void The_hazard_page_is_up_to_date()
    {
        var rendered = Render();
        if (Environment.GetEnvironmentVariable("FLOTILLA_UPDATE") == "1")
        {
            Directory.CreateDirectory(Path.Combine(Repository.Root, "docs"));
            File.WriteAllText(Path.Combine(Repository.Root, Page), rendered);
            return;
        }

        Assert.True(
            Repository.Find(Page)?.Text == rendered,
            $"{Page} is not what the tests' hazard tags say. Write it anew and commit it: FLOTILLA_UPDATE=1 dotnet run -c Release --project tests/Flotilla.Tidy.Tests");
    }
}
