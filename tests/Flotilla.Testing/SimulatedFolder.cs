using Flotilla.Storage.Disk;

namespace Flotilla.Testing;

/// <summary>One folder of a <see cref="SimulatedDisk"/>: its own names, and the disk's room, power and faults.</summary>
internal sealed class SimulatedFolder(SimulatedDisk disk, string folder) : IDisk
{
    public long FreeBytes => disk.FreeBytes;

    public IReadOnlyList<string> List() => disk.ListIn(folder);

    public IDiskFile Open(string name) => disk.Open(PathOf(name));

    public void Rename(string from, string to) => disk.Rename(PathOf(from), PathOf(to));

    public void Delete(string name) => disk.Delete(PathOf(name));

    public void SyncDirectory() => disk.SyncDirectory(folder);

    public string PathOf(string name) => $"{folder}/{name}";
}
