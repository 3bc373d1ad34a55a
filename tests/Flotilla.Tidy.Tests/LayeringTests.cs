using System.Xml.Linq;

namespace Flotilla.Tidy.Tests;

/// <summary>References point down only, so that the compiler keeps the layering (docs/architecture.md).</summary>
public sealed class LayeringTests
{
    /// <summary>From the top of the house to its ground; a project may reference only what stands below it.</summary>
    private static readonly string[] TopToBottom = ["Cli", "Client", "Server", "Node", "Storage", "Wire", "Contracts", "Shards", "Raft", "Registers", "Topology", "Data"];

    /// <summary>Projects that may reference less than all that stands below them.</summary>
    private static readonly Dictionary<string, string[]> Only = new(StringComparer.Ordinal)
    {
        ["Client"] = ["Contracts"],
        ["Contracts"] = [],
        ["Shards"] = ["Raft", "Registers", "Topology", "Data"],
        ["Raft"] = [],
        ["Registers"] = ["Topology", "Data"],
        ["Topology"] = [],
        ["Data"] = [],
    };

    private static readonly string[] SansIO = ["Raft", "Registers", "Topology", "Data", "Shards"];

    private static IEnumerable<(string Name, SourceFile File, XDocument Xml)> SourceProjects() =>
        Repository.Projects.Where(p => p.IsUnder("src")).Select(p => (Path.GetFileNameWithoutExtension(p.Path)["Flotilla.".Length..], p, XDocument.Parse(p.Text)));

    private static IEnumerable<string> References(XDocument project) =>
        project.Descendants("ProjectReference").Select(r => Path.GetFileNameWithoutExtension((string)r.Attribute("Include")!.Value.Replace('\\', '/'))["Flotilla.".Length..]);

    [Fact]
    public void Every_project_in_src_has_a_place_in_the_house() =>
        Findings.None(
            SourceProjects().Where(p => !TopToBottom.Contains(p.Name, StringComparer.Ordinal)).Select(p => p.File.Path),
            "Give the new assembly its place in LayeringTests.TopToBottom and in docs/architecture.md:");

    [Fact]
    public void References_point_down_only()
    {
        var wrong = new List<string>();
        foreach (var (name, file, xml) in SourceProjects())
        {
            var place = Array.IndexOf(TopToBottom, name);
            foreach (var target in References(xml))
            {
                var allowed = Only.TryGetValue(name, out var only)
                    ? only.Contains(target, StringComparer.Ordinal)
                    : Array.IndexOf(TopToBottom, target) > place && (target != "Client" || name == "Cli");
                if (!allowed)
                {
                    wrong.Add($"{file.Path} references Flotilla.{target}");
                }
            }
        }

        Findings.None(wrong, "Move the shared type down to the lower assembly, or turn the call into a value that the upper one hands in:");
    }

    [Fact]
    public void The_deciding_assemblies_are_sans_io()
    {
        var props = Repository.Find("Directory.Build.props")!.Text;
        var wrong = new List<string>();
        foreach (var (name, file, xml) in SourceProjects().Where(p => SansIO.Contains(p.Name, StringComparer.Ordinal)))
        {
            if (!props.Contains($"'Flotilla.{name}'", StringComparison.Ordinal))
            {
                wrong.Add($"Directory.Build.props does not set SansIO for Flotilla.{name}");
            }

            wrong.AddRange(xml.Descendants().Where(e => e.Name.LocalName is "FrameworkReference" or "SansIO" or "PackageReference").Select(e => $"{file.Path} has {e.Name.LocalName} {(string?)e.Attribute("Include")}"));
        }

        if (!props.Contains("BannedSymbols.SansIO.txt", StringComparison.Ordinal) || !props.Contains("Microsoft.CodeAnalysis.BannedApiAnalyzers", StringComparison.Ordinal))
        {
            wrong.Add("Directory.Build.props no longer hands BannedSymbols.SansIO.txt to the analyzer");
        }

        Findings.None(wrong, "A deciding assembly is a pure state machine: no frameworks, no packages, banned APIs on. Return an effect and let the shell act:");
    }

    [Fact]
    public void Clocks_chance_threads_and_io_stay_banned_in_the_deciding_assemblies()
    {
        string[] owed =
        [
            "N:System.IO;", "N:System.Threading;", "N:System.Threading.Tasks;", "N:System.Net.Sockets;", "T:System.Random;", "T:System.HashCode;", "T:System.TimeProvider;",
            "P:System.DateTime.UtcNow;", "P:System.DateTimeOffset.UtcNow;", "M:System.Guid.NewGuid;", "M:System.String.GetHashCode;", "P:System.Environment.TickCount64;",
        ];
        var banned = Repository.Find("src/BannedSymbols.SansIO.txt")!.Text;
        Findings.None(owed.Where(o => !banned.Contains(o, StringComparison.Ordinal)), "Put these back into src/BannedSymbols.SansIO.txt: the simulator's replay depends on them:");
    }
}
