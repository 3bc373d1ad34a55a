using Flotilla.Storage.Disk;

namespace Flotilla.Storage.Tests;

public sealed class FileDiskTests : IDisposable
{
    private readonly string _path = Directory.CreateTempSubdirectory("flotilla-disk-").FullName;

    public void Dispose() => Directory.Delete(_path, recursive: true);

    [Fact]
    public void Files_are_written_read_renamed_listed_and_deleted()
    {
        var disk = new FileDisk(Path.Combine(_path, "made", "on", "demand"));
        using (var file = disk.Open("b"))
        {
            file.Preallocate(1 << 20);
            Assert.Equal(0, file.Length);
            file.Write(10, "hello"u8);
            file.Sync();
            Assert.Equal(15, file.Length);
            var bytes = new byte[20];
            Assert.Equal(7, file.Read(8, bytes));
            Assert.Equal([0, 0, (byte)'h'], bytes[..3]);
            Assert.Equal(0, file.Read(15, bytes));
        }

        disk.Open("a").Dispose();
        disk.Open("c").Dispose();
        disk.Rename("b", "c");
        disk.SyncDirectory();
        Assert.Equal(["a", "c"], disk.List());
        using (var renamed = disk.Open("c"))
        {
            Assert.Equal(15, renamed.Length);
        }

        disk.Delete("a");
        Assert.Equal(["c"], disk.List());
        Assert.True(disk.FreeBytes > 0);
    }

    [Fact]
    public void A_directory_that_is_gone_is_an_IOException_that_names_it()
    {
        var path = Path.Combine(_path, "gone");
        var disk = new FileDisk(path);
        Directory.Delete(path);
        Assert.Contains(path, Assert.ThrowsAny<IOException>(() => disk.Open("a")).Message, StringComparison.Ordinal);
        if (OperatingSystem.IsLinux())
        {
            var e = Assert.ThrowsAny<IOException>(disk.SyncDirectory);
            Assert.Contains(path, e.Message, StringComparison.Ordinal);
            Assert.Contains("No such file or directory (errno 2)", e.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void A_path_below_a_file_is_an_IOException()
    {
        File.WriteAllText(Path.Combine(_path, "file"), "");
        _ = Assert.ThrowsAny<IOException>(() => new FileDisk(Path.Combine(_path, "file", "below")));
    }
}
