using System.Diagnostics;

namespace Flotilla.Cluster.Tests.Harness;

/// <summary>
/// A tmpfs of limited size over one directory, in a mount namespace of its own: no one else sees it, and it needs no rights
/// beyond those that a user has in a namespace of theirs. A process that sleeps holds the namespace, so that what stands on
/// the disk outlives the node.
/// </summary>
internal sealed class SmallDisk : IDisposable
{
    private const string Ballast = "ballast";
    private readonly Process _holder;
    private readonly string _seenFromOutside;

    /// <summary>Mounts it over a directory, which is made if need be.</summary>
    public SmallDisk(string directory, int mebibytes)
    {
        Directory.CreateDirectory(directory);
        _holder = Shell.Start("unshare", ["--map-root-user", "--mount", "sh", "-c", $"mount -t tmpfs -o size={mebibytes}m tmpfs \"$0\" && echo mounted && exec sleep infinity", directory]);
        var said = _holder.StandardOutput.ReadLine();
        if (said != "mounted")
        {
            throw new InvalidOperationException($"no tmpfs could be mounted in a namespace: {_holder.StandardError.ReadToEnd()}");
        }

        _seenFromOutside = $"/proc/{_holder.Id}/root{directory}";
    }

    /// <summary>What a program is started under so that it sees the disk.</summary>
    public string[] Under => ["nsenter", "--target", $"{_holder.Id}", "--user", "--mount", "--preserve-credentials", $"--wd={Shell.Root}"];

    /// <summary>MiB free on it.</summary>
    public int FreeMiB => (int)(new DriveInfo(_seenFromOutside).AvailableFreeSpace >> 20);

    /// <summary>Fills it with a file until so many MiB are left.</summary>
    public void Fill(int leaveMiB)
    {
        using var file = new FileStream(Path.Combine(_seenFromOutside, Ballast), FileMode.Append, FileAccess.Write);
        for (var mebibyte = new byte[1 << 20]; FreeMiB > leaveMiB;)
        {
            file.Write(mebibyte);
            file.Flush();
        }
    }

    /// <summary>Deletes that file.</summary>
    public void Free() => File.Delete(Path.Combine(_seenFromOutside, Ballast));

    /// <inheritdoc/>
    public void Dispose()
    {
        _holder.Kill();
        _holder.WaitForExit();
        _holder.Dispose();
    }
}
