using System.Runtime.CompilerServices;
using System.Text;

namespace Flotilla.Testing;

/// <summary>
/// Protocol stories as text: each file of a <c>scenarios/</c> folder is a list of commands (<c>&gt; …</c>) with everything that they led
/// to. With FLOTILLA_UPDATE=1 the files are written anew; a changed transcript is reviewed line by line.
/// </summary>
public static class Story
{
    /// <summary>The folder of stories beside the folder of a test's source.</summary>
    /// <param name="here">Filled in by the compiler.</param>
    public static string FolderOf([CallerFilePath] string here = "") => Path.Combine(Path.GetDirectoryName(here)!, "..", "scenarios");

    /// <summary>The names of a folder's stories, in order.</summary>
    public static IEnumerable<string> NamesIn(string folder) =>
        Directory.GetFiles(folder, "*.txt").Select(file => Path.GetFileNameWithoutExtension(file)).Order(StringComparer.Ordinal);

    /// <summary>Plays a story: what is written, and what it came to. Equal if it goes as written, or was written anew.</summary>
    /// <param name="folder">Where it lies.</param>
    /// <param name="name">Its name.</param>
    /// <param name="run">Carries out one command in the story's own world and returns the lines that it led to, each with its end.</param>
    public static (string Expected, string Actual) Play(string folder, string name, Func<string, string> run)
    {
        var path = Path.Combine(folder, name + ".txt");
        var expected = File.ReadAllText(path);
        var played = new StringBuilder();
        foreach (var line in expected.Split('\n'))
        {
            if (line.StartsWith("> ", StringComparison.Ordinal))
            {
                played.Append(line).Append('\n').Append(run(line[2..]));
            }
            else if (line.StartsWith('#') || line.Length == 0)
            {
                played.Append(line).Append('\n');
            }
        }

        var actual = played.ToString().TrimEnd('\n') + "\n";
        if (Environment.GetEnvironmentVariable("FLOTILLA_UPDATE") == "1" && actual != expected)
        {
            File.WriteAllText(path, actual);
            return (actual, actual);
        }

        return (expected, actual);
    }
}
