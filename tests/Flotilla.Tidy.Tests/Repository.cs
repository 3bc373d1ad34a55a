using System.Text.RegularExpressions;

namespace Flotilla.Tidy.Tests;

/// <summary>One text file of the work tree: its path from the root, with forward slashes, and its lines.</summary>
internal sealed record SourceFile(string Path, string Text)
{
    public IReadOnlyList<string> Lines => field ??= Text.Split('\n');

    public int LineCount => Text.AsSpan().TrimEnd('\n').Count('\n') + 1;

    public string Extension => System.IO.Path.GetExtension(Path);

    public bool IsUnder(string folder) => Path.StartsWith(folder + "/", StringComparison.Ordinal);

    /// <summary>The number of the line, from 1, that holds the character at <paramref name="offset"/>.</summary>
    public int LineAt(int offset) => Text.AsSpan(0, offset).Count('\n') + 1;
}

/// <summary>The work tree that these tests were built from, read once.</summary>
internal static class Repository
{
    private static readonly string[] SkippedFolders = [".git", ".vs", ".idea", "bin", "obj", "artifacts", "data", "logs", "node_modules", "TestResults", "BenchmarkDotNet.Artifacts"];

    private static readonly string[] TextExtensions =
    [
        ".cs", ".csproj", ".props", ".targets", ".slnx", ".json", ".md", ".txt", ".sh", ".py", ".proto", ".patch", ".html", ".css", ".js", ".editorconfig", ".yml", "",
    ];

    public static string Root { get; } = FindRoot();

    public static IReadOnlyList<SourceFile> Files { get; } = ReadAll();

    public static IEnumerable<SourceFile> CSharp => Files.Where(f => f.Extension == ".cs");

    public static IEnumerable<SourceFile> Projects => Files.Where(f => f.Extension == ".csproj");

    public static SourceFile? Find(string path) => Files.FirstOrDefault(f => string.Equals(f.Path, path, StringComparison.Ordinal));

    /// <summary>Every match of a pattern in a file, as <c>path:line: text</c>.</summary>
    public static IEnumerable<string> Matches(SourceFile file, Regex pattern) =>
        pattern.Matches(file.Text).Select(m => file.LineAt(m.Index)).Distinct().Select(line => $"{file.Path}:{line}: {file.Lines[line - 1].Trim()}");

    private static string FindRoot()
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(Path.Combine(folder.FullName, "Flotilla.slnx")))
            {
                return folder.FullName;
            }
        }

        throw new InvalidOperationException($"No Flotilla.slnx above {AppContext.BaseDirectory}: run these tests from a work tree.");
    }

    private static List<SourceFile> ReadAll()
    {
        var files = new List<SourceFile>();
        var folders = new Stack<string>([Root]);
        while (folders.TryPop(out var folder))
        {
            foreach (var inner in Directory.EnumerateDirectories(folder))
            {
                if (!SkippedFolders.Contains(Path.GetFileName(inner), StringComparer.Ordinal))
                {
                    folders.Push(inner);
                }
            }

            foreach (var file in Directory.EnumerateFiles(folder))
            {
                if (TextExtensions.Contains(Path.GetExtension(file), StringComparer.Ordinal) && new FileInfo(file).Length < 4 << 20)
                {
                    files.Add(new SourceFile(Path.GetRelativePath(Root, file).Replace('\\', '/'), File.ReadAllText(file)));
                }
            }
        }

        files.Sort((a, b) => string.CompareOrdinal(a.Path, b.Path));
        return files;
    }
}

/// <summary>Asserts on lists of findings, with a message that says what to do.</summary>
internal static class Findings
{
    public static void None(IEnumerable<string> findings, string whatToDo)
    {
        var list = findings.ToList();
        if (list.Count > 0)
        {
            Assert.Fail($"{whatToDo}\n  {string.Join("\n  ", list)}");
        }
    }
}
