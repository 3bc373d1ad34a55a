using System.Diagnostics;
using Flotilla.Cli.Backup;
using Flotilla.Cli.Tests.Fakes;
using Flotilla.Wire.Backups;

namespace Flotilla.Cli.Tests.Backups;

/// <summary>What a backup may take the place of.</summary>
public sealed class Destinations
{
    [Fact]
    public void What_is_no_regular_file_is_refused_and_stays()
    {
        var folder = Terminal.TempDir();
        var pipe = Path.Combine(folder, "pipe");
        MakePipe(pipe);
        Refuses(pipe, "is no regular file");
        var link = Path.Combine(folder, "link");
        File.CreateSymbolicLink(link, pipe);
        Refuses(link, "is no regular file");

        // Its folder is asked for after its kind, so that this is safe even where the test might write there.
        Refuses("/dev/full", "is no regular file");
        Refuses(folder, "is a directory");
        Assert.Equal(["link", "pipe"], Directory.GetFileSystemEntries(folder).Select(Path.GetFileName).Order(StringComparer.Ordinal));
        Assert.Equal(pipe, new FileInfo(link).LinkTarget);
    }

    [Fact]
    public void A_missing_folder_and_a_name_that_is_taken_are_told_in_words()
    {
        var folder = Terminal.TempDir();
        Refuses(Path.Combine(folder, "none", "b"), $"there is no folder {folder}/none: make it first");
        var circle = Path.Combine(folder, "circle");
        File.CreateSymbolicLink(circle, circle);
        Refuses(circle, "leads nowhere");
        var file = Path.Combine(folder, "b");
        using (BackupFile.Create(file, Head()))
        {
            Refuses(file, "is being written by another backup");
        }

        File.CreateSymbolicLink(file + ".partial", "/dev/null");
        Refuses(file, "b.partial is in the way");
    }

    [Fact]
    public void The_file_that_a_symbolic_link_leads_to_is_written_and_the_link_stays()
    {
        var folder = Terminal.TempDir();
        var elsewhere = Terminal.TempDir();
        foreach (var isThere in new[] { true, false })
        {
            var target = Path.Combine(elsewhere, $"target-{isThere}");
            var link = Path.Combine(folder, $"link-{isThere}");
            if (isThere)
            {
                File.WriteAllText(target, "an older one");
            }

            File.CreateSymbolicLink(link, target);
            using (var backup = BackupFile.Create(link, Head()))
            {
                backup.Complete();
            }

            Assert.Equal(target, new FileInfo(link).LinkTarget);
            Assert.True(File.ReadAllBytes(target).AsSpan().StartsWith(BackupFormat.Magic));
        }
    }

    private static BackupHead Head() => new(1, 1_700_000_000_000, 0);

    private static void Refuses(string path, string why)
    {
        var refused = Assert.Throws<IOException>(() => BackupFile.Create(path, Head()));
        Assert.Contains(why, refused.Message, StringComparison.Ordinal);
    }

    private static void MakePipe(string path)
    {
        using var made = Process.Start("mkfifo", path);
        made.WaitForExit();
        Assert.Equal(0, made.ExitCode);
    }
}
