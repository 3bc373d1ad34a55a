namespace Flotilla.Cli.Tests.Fakes;

/// <summary>The work tree that these tests were built from.</summary>
public static class Repository
{
    public static string Root { get; } = Find();

    private static string Find()
    {
        for (var folder = AppContext.BaseDirectory; folder is not null; folder = Path.GetDirectoryName(folder))
        {
            if (File.Exists(Path.Combine(folder, "Flotilla.slnx")))
            {
                return folder;
            }
        }

        throw new InvalidOperationException("the tests are not inside a work tree");
    }
}
