using Flotilla.Storage.Disk;

namespace Flotilla.Storage;

/// <summary>
/// The file <c>topology</c>: what gossip told this node last, as sealed bytes. A hint, so that a node finds its peers after a restart:
/// a file that is missing or damaged costs nothing but the first exchange. One thread at a time.
/// </summary>
/// <param name="disk">The data directory.</param>
public sealed class TopologyFile(IDisk disk)
{
    private const string Name = "topology";
    private const string TemporaryName = Name + ".tmp";
    private const int MaxBytes = 64 << 20;

    /// <summary>All of it; empty if there is none.</summary>
    /// <exception cref="IOException">It can't be read.</exception>
    public byte[] Read()
    {
        if (!disk.List().Contains(Name, StringComparer.Ordinal))
        {
            return [];
        }

        using var file = disk.Open(Name);
        var bytes = new byte[Math.Min(file.Length, MaxBytes)];
        return bytes.AsSpan(0, file.Read(0, bytes)).ToArray();
    }

    /// <summary>Replaces it: written beside, synced and renamed, so that a crash leaves the old or the new one.</summary>
    /// <exception cref="IOException">It can't be written; the old one stands.</exception>
    public void Write(ReadOnlySpan<byte> bytes)
    {
        if (disk.List().Contains(TemporaryName, StringComparer.Ordinal))
        {
            disk.Delete(TemporaryName);
        }

        using (var file = disk.Open(TemporaryName))
        {
            file.Write(0, bytes);
            file.Sync();
        }

        disk.Rename(TemporaryName, Name);
        disk.SyncDirectory();
    }
}
