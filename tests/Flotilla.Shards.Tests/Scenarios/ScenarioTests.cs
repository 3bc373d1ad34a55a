using System.Runtime.CompilerServices;
using System.Text;

namespace Flotilla.Shards.Tests.Scenarios;

/// <summary>
/// Stories of handoffs as text: each file of <c>scenarios/</c> is a list of commands (<c>&gt; …</c>) with everything that they led
/// to. With FLOTILLA_UPDATE=1 the files are written anew; a changed transcript is reviewed line by line.
/// </summary>
public sealed class ScenarioTests
{
    public static TheoryData<string> Files()
    {
        var files = new TheoryData<string>();
        foreach (var file in Directory.GetFiles(Folder(), "*.txt").Order(StringComparer.Ordinal))
        {
            files.Add(Path.GetFileNameWithoutExtension(file));
        }

        return files;
    }

    [Theory]
    [MemberData(nameof(Files))]
    public void The_story_goes_as_written(string scenario)
    {
        var path = Path.Combine(Folder(), scenario + ".txt");
        var expected = File.ReadAllText(path);
        var actual = Play(expected);
        if (Environment.GetEnvironmentVariable("FLOTILLA_UPDATE") == "1" && actual != expected)
        {
            File.WriteAllText(path, actual);
            return;
        }

        Assert.Equal(expected, actual);
    }

    private static string Play(string text)
    {
        var world = new ScenarioWorld();
        var played = new StringBuilder();
        foreach (var line in text.Split('\n'))
        {
            if (line.StartsWith("> ", StringComparison.Ordinal))
            {
                played.Append(line).Append('\n').Append(world.Run(line[2..]));
            }
            else if (line.StartsWith('#') || line.Length == 0)
            {
                played.Append(line).Append('\n');
            }
        }

        return played.ToString().TrimEnd('\n') + "\n";
    }

    private static string Folder([CallerFilePath] string here = "") => Path.Combine(Path.GetDirectoryName(here)!, "..", "scenarios");
}
