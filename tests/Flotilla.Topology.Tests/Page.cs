namespace Flotilla.Topology.Tests;

/// <summary>docs/topology.md, whose tables tests compute anew.</summary>
internal static class Page
{
    public static string Text { get; } = File.ReadAllText(Path.Combine(RepositoryRoot(), "docs", "topology.md"));

    private static string RepositoryRoot()
    {
        var folder = AppContext.BaseDirectory;
        while (!File.Exists(Path.Combine(folder, "Flotilla.slnx")))
        {
            folder = Path.GetDirectoryName(folder) ?? throw new InvalidOperationException("Flotilla.slnx is in no folder above the tests.");
        }

        return folder;
    }
}
