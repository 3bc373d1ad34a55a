using Flotilla.Testing;

namespace Flotilla.Registers.Tests.Scenarios;

/// <summary>Stories of registers: see <see cref="Story"/>.</summary>
public sealed class ScenarioTests
{
    private static readonly string Folder = Story.FolderOf();

    public static TheoryData<string> Names() => [.. Story.NamesIn(Folder)];

    [Theory]
    [MemberData(nameof(Names))]
    public void The_story_goes_as_written(string scenario)
    {
        var (expected, actual) = Story.Play(Folder, scenario, new ScenarioWorld().Run);
        Assert.Equal(expected, actual);
    }
}
