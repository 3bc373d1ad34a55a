using System.Text.RegularExpressions;
using System.Xml.Linq;

namespace Flotilla.Tidy.Tests;

/// <summary>Rules on C# files: length, namespaces, docstrings, unfinished work, silenced warnings.</summary>
public sealed partial class SourceTests
{
    private const int MaxLines = 500;

    /// <summary>Words that mark unfinished work; put together here so that this file does not accuse itself.</summary>
    private static readonly Regex Unfinished = new($@"\b(TO{""}DO|FIX{""}ME|NotImplemented{""}Exception)\b", RegexOptions.CultureInvariant);

    [GeneratedRegex(@"^\s*namespace\s+([\w.]+)\s*(;|\{|$)", RegexOptions.Multiline)]
    private static partial Regex Namespace();

    [GeneratedRegex(@"^[ \t]*#pragma warning disable[^\n]*", RegexOptions.Multiline)]
    private static partial Regex PragmaDisable();

    [Fact]
    public void No_file_is_longer_than_500_lines() =>
        Findings.None(
            Repository.CSharp.Where(f => f.LineCount > MaxLines).Select(f => $"{f.Path}: {f.LineCount} lines"),
            $"Split these by idea, one main type per file; {MaxLines} lines are the limit for src and tests alike:");

    [Fact]
    public void Namespaces_are_file_scoped_and_match_folders()
    {
        var wrong = new List<string>();
        foreach (var file in Repository.CSharp.Where(f => f.IsUnder("src") || f.IsUnder("tests") || f.IsUnder("bench")))
        {
            var match = Namespace().Match(file.Text);
            if (!match.Success)
            {
                continue; // A file of top-level statements or assembly attributes has none.
            }

            var folders = file.Path.Split('/')[1..^1];
            var expected = string.Join('.', folders);
            if (match.Groups[1].Value != expected || match.Groups[2].Value != ";")
            {
                wrong.Add($"{file.Path}: namespace {match.Groups[1].Value}, expected \"namespace {expected};\"");
            }
        }

        Findings.None(wrong, "Make the namespace the path, file-scoped:");
    }

    [Fact]
    public void The_compiler_demands_docstrings_on_public_members()
    {
        var wrong = new List<string>();
        var props = XDocument.Parse(Repository.Find("Directory.Build.props")!.Text);
        if (props.Descendants("GenerateDocumentationFile").SingleOrDefault()?.Value != "true" || props.Descendants("TreatWarningsAsErrors").SingleOrDefault()?.Value != "true")
        {
            wrong.Add("Directory.Build.props: GenerateDocumentationFile and TreatWarningsAsErrors must be true");
        }

        foreach (var project in Repository.Projects.Where(p => p.IsUnder("src")).Append(Repository.Find("src/Directory.Build.props")!))
        {
            if (project.Text.Contains("GenerateDocumentationFile", StringComparison.Ordinal) || project.Text.Contains("CS1591", StringComparison.Ordinal) || project.Text.Contains("TreatWarningsAsErrors", StringComparison.Ordinal))
            {
                wrong.Add($"{project.Path}: overrides GenerateDocumentationFile, TreatWarningsAsErrors or CS1591");
            }
        }

        if (Regex.IsMatch(Repository.Find(".editorconfig")!.Text, @"CS1591\.severity\s*=\s*(none|silent|suggestion)"))
        {
            wrong.Add(".editorconfig: silences CS1591");
        }

        Findings.None(wrong, "Public members of src need docstrings, and the compiler must go on to say so (CS1591):");
    }

    [Fact]
    public void Nothing_is_left_unfinished() =>
        Findings.None(
            Repository.Files.Where(f => f.Extension is ".cs" or ".sh" or ".py" or ".csproj" or ".props" or ".proto").SelectMany(f => Repository.Matches(f, Unfinished)),
            "Finish it, or open an issue and take the mark out of the code:");

    [Fact]
    public void A_silenced_warning_says_why_on_its_line() =>
        Findings.None(
            Repository.CSharp.SelectMany(f => Repository.Matches(f, PragmaDisable())).Where(line => !Regex.IsMatch(line, @"#pragma warning disable [^/]*//\s*\S+")),
            "Mend the cause; if the warning is truly wrong here, add \"// reason\" on the #pragma line:");
}
