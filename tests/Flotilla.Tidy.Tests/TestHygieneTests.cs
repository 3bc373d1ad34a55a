using System.Text.RegularExpressions;

namespace Flotilla.Tidy.Tests;

/// <summary>Rules on tests, and on traces that one machine leaves behind.</summary>
public sealed partial class TestHygieneTests
{
    [GeneratedRegex(@"\bThread\.Sleep\s*\(|\bTask\.Delay\s*\(\s*(TimeSpan\.From\w+\s*\(\s*)?[\d_]", RegexOptions.CultureInvariant)]
    private static partial Regex SleepForLuck();

    /// <summary>Folders of one machine; put together here so that this file does not accuse itself.</summary>
    private static readonly Regex MachinePath = new($@"(?<![\w/.$}}~-])/(wo{""}rk|ro{""}ot|ho{""}me|Us{""}ers)/|\b[A-Za-z]:\\(?![nrt0""]\b|[nrt0]["" ])", RegexOptions.CultureInvariant);

    [Fact]
    public void No_test_sleeps_for_luck() =>
        Findings.None(
            Repository.CSharp.Where(f => f.IsUnder("tests") && !f.IsUnder("tests/Flotilla.Testing")).SelectMany(f => Repository.Matches(f, SleepForLuck())),
            "Wait for the condition with a deadline instead (a poll belongs in one helper in tests/Flotilla.Testing; real pauses under load take a named duration):");

    [Fact]
    public void No_file_names_a_path_of_one_machine() =>
        Findings.None(
            Repository.Files.SelectMany(f => Repository.Matches(f, MachinePath)),
            "Make the path relative to the repository, or take it from an argument:");

    [Fact]
    public void Every_project_is_in_the_solution()
    {
        var solution = Repository.Find("Flotilla.slnx")!.Text;
        Findings.None(
            Repository.Projects.Select(p => p.Path).Where(path => !solution.Contains($"Path=\"{path}\"", StringComparison.Ordinal)),
            "Add to Flotilla.slnx, or scripts/test.sh and the checks never see it:");
    }

    [Fact]
    public void The_solution_lists_no_project_that_is_gone() =>
        Findings.None(
            Regex.Matches(Repository.Find("Flotilla.slnx")!.Text, "Project Path=\"([^\"]+)\"").Select(m => m.Groups[1].Value).Where(path => Repository.Find(path) is null),
            "Take out of Flotilla.slnx:");
}
