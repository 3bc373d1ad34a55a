using Flotilla.Raft;
using Flotilla.Storage.Disk;

namespace Flotilla.Storage.Snapshots;

/// <summary>Finds the snapshots in a directory at a start, and clears it of what was not finished.</summary>
internal static class SnapshotCatalog
{
    /// <summary>Ends the name of a snapshot that is being written.</summary>
    internal const string UnfinishedExtension = ".tmp";

    /// <summary>Ends the name of a snapshot that is being received.</summary>
    internal const string ReceivedExtension = ".part";

    /// <summary>Fills <paramref name="files"/> by group, each group's by index, and deletes those of <paramref name="retired"/>. Throws as <see cref="SnapshotStore.Open"/> does.</summary>
    public static void Load(IDisk disk, SortedDictionary<ulong, List<SnapshotFile>> files, IReadOnlySet<GroupId> retired)
    {
        var byGroup = new SortedDictionary<ulong, List<SnapshotInfo>>();
        foreach (var name in disk.List())
        {
            if (IsUnfinished(name))
            {
                disk.Delete(name);
            }
            else if (SnapshotInfo.TryParse(name, out var info))
            {
                if (retired.Contains(info.Group))
                {
                    disk.Delete(name);
                    continue;
                }

                if (!byGroup.TryGetValue(info.Group.Value, out var found))
                {
                    byGroup.Add(info.Group.Value, found = []);
                }

                found.Add(info);
            }
        }

        // What was listed may be in the page cache only, if the process died between a rename and the sync of the directory.
        // The files themselves are durable: none is renamed before it is synced.
        disk.SyncDirectory();
        foreach (var (group, found) in byGroup)
        {
            // Files are listed by name, so a group's come by index.
            var kept = new List<SnapshotFile>(found.Count);
            for (var i = 0; i < found.Count; i++)
            {
                var isNewest = i == found.Count - 1;
                var (bytes, damage) = Look(disk, found[i]);
                if (damage is not null && isNewest)
                {
                    throw damage;
                }

                kept.Add(new SnapshotFile(found[i] with { Bytes = bytes }) { IsRetired = damage is not null });
            }

            files.Add(group, kept);
        }
    }

    private static bool IsUnfinished(string name) =>
        (name.EndsWith(UnfinishedExtension, StringComparison.Ordinal) && SnapshotInfo.TryParse(name[..^UnfinishedExtension.Length], out _))
        || (name.EndsWith(ReceivedExtension, StringComparison.Ordinal) && SnapshotInfo.TryParse(name[..^ReceivedExtension.Length], out _));

    private static (long Bytes, IOException? Damage) Look(IDisk disk, SnapshotInfo named)
    {
        using var file = disk.Open(named.FileName);
        var bytes = file.Length;
        Span<byte> header = stackalloc byte[SnapshotFormat.HeaderBytes];
        header = header[..file.Read(0, header)];
        if (!SnapshotFormat.TryReadHeader(header, bytes, out var info, out _))
        {
            if (SnapshotFormat.TryReadVersion(header, out var version) && version != SnapshotFormat.Version && SnapshotFormat.IsSealed(header))
            {
                return (bytes, new SnapshotFormatException(
                    $"{disk.PathOf(named.FileName)} is of snapshot format {version}; this program reads format {SnapshotFormat.Version}. Nothing was changed. Start the node with the version that wrote it."));
            }

            return (bytes, SnapshotFit.Corrupt(disk, named.FileName, 0, "its header is damaged"));
        }

        if (info != named with { Bytes = bytes })
        {
            return (bytes, SnapshotFit.Corrupt(disk, named.FileName, 0, $"it says that it is {info}, which is not what its name says"));
        }

        Span<byte> footer = stackalloc byte[SnapshotFormat.FooterBytes];
        var at = bytes - SnapshotFormat.FooterBytes;
        if (at < SnapshotFormat.HeaderBytes || file.Read(at, footer) < footer.Length || !SnapshotFormat.TryReadFooter(footer, bytes, out _, out _))
        {
            return (bytes, SnapshotFit.Corrupt(disk, named.FileName, Math.Max(0, at), "it does not end in a sound footer: it was cut, or grew"));
        }

        return (bytes, null);
    }
}
