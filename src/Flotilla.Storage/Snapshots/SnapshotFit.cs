using Flotilla.Raft;
using Flotilla.Storage.Disk;

namespace Flotilla.Storage.Snapshots;

/// <summary>Decides at a start whether a group's log and its newest snapshot fit together, and words what to do if they don't.</summary>
internal static class SnapshotFit
{
    public static SnapshotCorruptException Corrupt(IDisk disk, string name, long offset, string what) =>
        new($"The snapshot is damaged: {disk.PathOf(name)}, offset {offset}: {what}. No crash explains this. {Rebuilding.Advice}");

    /// <summary>Throws unless the newest snapshot reaches up to where the log begins: see <see cref="SnapshotStore.Recover"/>.</summary>
    public static void Check(IDisk disk, GroupId group, SnapshotInfo? latest, LogBase begin)
    {
        if ((latest?.Index ?? LogIndex.Zero) < begin.Index)
        {
            throw Missing(disk, group, latest, begin);
        }

        if (latest?.Index == begin.Index && begin.Term != Term.Zero && begin.Term != latest.Term)
        {
            throw Corrupt(disk, latest.FileName, 0, $"it says that the term of entry {latest.Index} is {latest.Term}, but group {group}'s log begins behind it with {begin}");
        }
    }

    private static SnapshotMissingException Missing(IDisk disk, GroupId group, SnapshotInfo? latest, LogBase begin)
    {
        // The id is not known, so the name is given up to it.
        var expected = $"{group.Value:x16}-{begin.Index.Value:D20}-*";
        var found = latest is null ? "there is none of this group" : $"the newest of this group, {disk.PathOf(latest.FileName)}, includes entries up to {latest.Index} only";
        return new SnapshotMissingException(
            $"A snapshot is missing: the log of group {group} begins behind entry {begin.Index}, so {disk.PathOf(expected)} or a later one must be there, but {found}. "
            + $"Put the file back if it was moved. Otherwise: {Rebuilding.Advice}");
    }
}
