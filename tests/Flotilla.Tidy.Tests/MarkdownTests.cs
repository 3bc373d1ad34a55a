using System.Text.RegularExpressions;

namespace Flotilla.Tidy.Tests;

/// <summary>Documentation that a reader can find, with links that lead somewhere.</summary>
public sealed partial class MarkdownTests
{
    [GeneratedRegex(@"\[[^\]]*\]\(([^)\s]+)(?:\s+""[^""]*"")?\)", RegexOptions.CultureInvariant)]
    private static partial Regex Link();

    [GeneratedRegex(@"^(```|~~~).*?^\1", RegexOptions.Multiline | RegexOptions.Singleline)]
    private static partial Regex CodeBlock();

    /// <summary>Relative links of a page, as paths from the root of the repository, without their anchors.</summary>
    private static IEnumerable<(string Link, string Target)> LinksOf(SourceFile page)
    {
        var folder = Path.GetDirectoryName(page.Path) ?? "";
        foreach (Match match in Link().Matches(CodeBlock().Replace(page.Text, "")))
        {
            var link = match.Groups[1].Value;
            if (link.StartsWith('#') || Regex.IsMatch(link, "^[a-z]+:"))
            {
                continue;
            }

            var path = Uri.UnescapeDataString(link.Split('#')[0]);
            yield return (link, Path.GetRelativePath(Repository.Root, Path.GetFullPath(Path.Combine(Repository.Root, folder, path))).Replace('\\', '/'));
        }
    }

    private static IEnumerable<SourceFile> Pages() => Repository.Files.Where(f => f.Extension == ".md");

    [Fact]
    public void Every_relative_link_leads_somewhere() =>
        Findings.None(
            Pages().SelectMany(page => LinksOf(page).Where(l => !Path.Exists(Path.Combine(Repository.Root, l.Target))).Select(l => $"{page.Path}: {l.Link}")),
            "Mend or remove these links:");

    [Fact]
    public void Every_page_of_docs_is_linked_from_the_readme_or_the_architecture()
    {
        var roots = Pages().Where(p => p.Path is "README.md" or "docs/architecture.md").ToList();
        if (roots.Count == 0)
        {
            return;
        }

        var linked = roots.SelectMany(LinksOf).Select(l => l.Target).Concat(roots.Select(r => r.Path)).ToHashSet(StringComparer.Ordinal);
        Findings.None(
            Pages().Select(p => p.Path).Where(p => p.StartsWith("docs/", StringComparison.Ordinal) && !linked.Contains(p)),
            "Link these from README.md or docs/architecture.md, or nobody will find them:");
    }
}
