using System.Security.Cryptography;
using Flotilla.Raft;
using Flotilla.Storage.Disk;

namespace Flotilla.Storage.Snapshots;

/// <summary>
/// The snapshots of all groups of a node, one file each, in a directory of their own. What stands in a file means nothing
/// here. All methods may be used on any thread; none holds its lock while the disk is at work, save for the names of files.
/// Format, and why nothing is lost: <c>docs/snapshots.md</c>.
/// </summary>
/// <remarks>
/// The order that callers owe: a snapshot is complete (durable) before the log is released or reset behind it, and that is why
/// a start always finds one that reaches up to where the log begins. <see cref="Recover"/> checks it.
/// </remarks>
public sealed class SnapshotStore
{
    /// <summary>The largest block, 4 MiB: what a reader may have to hold at once.</summary>
    public const int MaxBlockBytes = 4 << 20;

    private readonly IDisk _disk;
    private readonly Lock _lock = new();
    private readonly SortedDictionary<ulong, List<SnapshotFile>> _files = [];
    private readonly Dictionary<GroupId, PartialSnapshot> _partials = [];
    private readonly HashSet<string> _abandoned = new(StringComparer.Ordinal);
    private SplitMix64 _ids;

    private SnapshotStore(IDisk disk, ulong idSeed)
    {
        _disk = disk;
        _ids = new SplitMix64(idSeed);
    }

    /// <summary>The groups that have a snapshot, in order of their ids.</summary>
    public IReadOnlyList<GroupId> Groups
    {
        get
        {
            lock (_lock)
            {
                return [.. _files.Where(static f => f.Value.Exists(static s => !s.IsRetired)).Select(static f => new GroupId(f.Key))];
            }
        }
    }

    /// <summary>Bytes of all complete snapshots, superseded ones that are not deleted yet among them.</summary>
    public long DiskBytes
    {
        get
        {
            lock (_lock)
            {
                return _files.Values.Sum(static files => files.Sum(static f => f.Info.Bytes));
            }
        }
    }

    /// <summary>
    /// Opens the directory: deletes what unfinished writes and transfers left behind, and finds the snapshots. Header, length
    /// and footer are verified here; the rest is when it is read.
    /// </summary>
    /// <exception cref="SnapshotCorruptException">The newest snapshot of a group is damaged.</exception>
    /// <exception cref="SnapshotFormatException">The newest snapshot of a group is of another format version.</exception>
    /// <exception cref="IOException">The disk failed.</exception>
    public static SnapshotStore Open(IDisk disk, SnapshotOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(disk);
        var seed = options?.IdSeed ?? BitConverter.ToUInt64(RandomNumberGenerator.GetBytes(sizeof(ulong)));
        var store = new SnapshotStore(disk, seed);
        SnapshotCatalog.Load(disk, store._files, options?.Retired ?? new HashSet<GroupId>());
        return store;
    }

    /// <summary>The newest snapshot of a group (the highest index), or null.</summary>
    public SnapshotInfo? Latest(GroupId group)
    {
        lock (_lock)
        {
            return LatestFile(group)?.Info;
        }
    }

    /// <summary>A snapshot that is here, by its id; null if it isn't. Says whether one that a peer offers need not be sent at all.</summary>
    public SnapshotInfo? Find(GroupId group, ulong id)
    {
        lock (_lock)
        {
            return FilesOf(group).Find(f => f.Info.Id == id && !f.IsRetired)?.Info;
        }
    }

    /// <summary>Begins to write a snapshot of a group's state, which includes everything up to <paramref name="index"/> (at least 1), whose term is <paramref name="term"/>.</summary>
    public SnapshotWriter Create(GroupId group, LogIndex index, Term term)
    {
        ArgumentOutOfRangeException.ThrowIfZero(index.Value, nameof(index));
        var draft = new SnapshotInfo(group, index, term, NextId(), 0);
        var name = draft.FileName + SnapshotCatalog.UnfinishedExtension;
        return new SnapshotWriter(this, draft, name, OpenNew(name, roomBytes: 0));
    }

    /// <summary>Begins to read a snapshot back. The file is there until the reader is disposed of. Throws <see cref="IOException"/> if it was retired meanwhile.</summary>
    public SnapshotReader OpenRead(SnapshotInfo info)
    {
        ArgumentNullException.ThrowIfNull(info);
        var file = Pin(info);
        return new SnapshotReader(OpenPinned(file), file.Info, Damaged(file.Info), () => Unpin(file));
    }

    /// <summary>Begins to send a snapshot. The file is there until the source is disposed of. Throws <see cref="IOException"/> if it was retired meanwhile.</summary>
    public SnapshotSource OpenSource(SnapshotInfo info)
    {
        ArgumentNullException.ThrowIfNull(info);
        var file = Pin(info);
        return new SnapshotSource(OpenPinned(file), file.Info, () => Unpin(file));
    }

    /// <summary>
    /// Begins to receive a snapshot, or goes on with the bytes that an interrupted transfer of the very same one left in this
    /// process (<see cref="SnapshotReceiver.NextOffset"/>). What was received of another one for the group is deleted.
    /// </summary>
    /// <exception cref="SnapshotRefusedException">No snapshot has the announced length.</exception>
    /// <exception cref="InvalidOperationException">Another receiver of the group is not disposed of.</exception>
    public SnapshotReceiver BeginReceive(GroupId group, LogIndex index, Term term, ulong id, long totalBytes)
    {
        var info = new SnapshotInfo(group, index, term, id, totalBytes);
        if (totalBytes < SnapshotFormat.MinFileBytes || index == LogIndex.Zero)
        {
            throw new SnapshotRefusedException($"No snapshot can be {info}: a file has at least {SnapshotFormat.MinFileBytes} bytes, and includes one entry at least.");
        }

        var (partial, other) = Claim(info);
        if (other is not null)
        {
            Abandon(other.Name);
        }

        try
        {
            var file = partial.NextOffset == 0 ? OpenNew(partial.Name, totalBytes) : _disk.Open(partial.Name);
            return new SnapshotReceiver(this, partial, file);
        }
        catch (IOException)
        {
            Abandon(partial.Name);
            Forget(partial);
            throw;
        }
    }

    /// <summary>
    /// Deletes what is superseded: all complete snapshots of a group but <see cref="Latest"/>. One that is being read or sent
    /// goes when that ends; one whose deletion fails goes at a later call, or at the next start.
    /// </summary>
    public void Retire(GroupId group)
    {
        var latest = default(SnapshotFile);
        lock (_lock)
        {
            latest = LatestFile(group);
            foreach (var file in FilesOf(group))
            {
                file.IsRetired |= file != latest;
            }
        }

        DeleteRetired(group);
        RetryAbandoned();
    }

    /// <summary>
    /// Deletes one snapshot that nobody needs any more, or what was received of it, as <see cref="Retire"/> does. Does nothing if
    /// it isn't here. The newest one of a group is never dropped: the log may begin behind it.
    /// </summary>
    public void Drop(SnapshotInfo info)
    {
        ArgumentNullException.ThrowIfNull(info);
        PartialSnapshot? parked;
        lock (_lock)
        {
            var files = FilesOf(info.Group);
            if (files.Find(f => f.Info == info) is { } file && files.Exists(f => f != file && !f.IsRetired && f.Info.Index >= info.Index))
            {
                file.IsRetired = true;
            }

            parked = _partials.GetValueOrDefault(info.Group);
            parked = parked is { IsInUse: false } && parked.Info == info ? parked : null;
        }

        if (parked is not null)
        {
            Forget(parked);
            Abandon(parked.Name);
        }

        DeleteRetired(info.Group);
    }

    /// <summary>
    /// Deletes all snapshots of a group that is hosted here no more, and what was received of one. One that is being read or sent goes when that
    /// ends; one whose deletion fails goes at the next start, given <see cref="SnapshotOptions.Retired"/>.
    /// </summary>
    public void Remove(GroupId group)
    {
        PartialSnapshot? parked;
        lock (_lock)
        {
            foreach (var file in FilesOf(group))
            {
                file.IsRetired = true;
            }

            parked = _partials.GetValueOrDefault(group);
            parked = parked is { IsInUse: false } ? parked : null;
        }

        if (parked is not null)
        {
            Forget(parked);
            Abandon(parked.Name);
        }

        DeleteRetired(group);
    }

    /// <summary>
    /// What is recovered of a group, its newest snapshot included: the state is that snapshot (or empty without one) and the
    /// log goes on behind it. If a crash came between a snapshot that was installed and the reset of the log, the log ends
    /// before the snapshot's last entry or holds another one there: Raft then resets it, as it would have (hazards 24 and 27).
    /// </summary>
    /// <param name="group">The group.</param>
    /// <param name="recovered">What its log holds: <see cref="Wal.Recovered"/>.</param>
    /// <exception cref="SnapshotMissingException">The log begins behind what any snapshot holds.</exception>
    /// <exception cref="SnapshotCorruptException">Snapshot and log contradict each other.</exception>
    public RaftRecovery Recover(GroupId group, RaftRecovery recovered)
    {
        ArgumentNullException.ThrowIfNull(recovered);
        var latest = Latest(group);
        SnapshotFit.Check(_disk, group, latest, recovered.Base);
        return recovered with { Snapshot = latest?.Meta };
    }

    /// <summary>Puts a file that is whole and synced in its place. When this returns, that is durable; if it throws, the file is gone.</summary>
    internal SnapshotInfo Publish(string name, SnapshotInfo info)
    {
        if (FindAgain(info) is { } same)
        {
            Abandon(name);
            return same;
        }

        try
        {
            _disk.Rename(name, info.FileName);
        }
        catch (IOException)
        {
            Abandon(name);
            throw;
        }

        try
        {
            _disk.SyncDirectory();
        }
        catch (IOException)
        {
            // The name may be durable or not, so nothing may rely on the file.
            Abandon(info.FileName);
            throw;
        }

        lock (_lock)
        {
            if (!_files.TryGetValue(info.Group.Value, out var files))
            {
                _files.Add(info.Group.Value, files = []);
            }

            files.Add(new SnapshotFile(info));
        }

        return info;
    }

    /// <summary>Deletes a file that is no snapshot. If the disk refuses, it is tried again with the next <see cref="Retire"/>, and at the next start.</summary>
    internal void Abandon(string name)
    {
        try
        {
            _disk.Delete(name);
        }
        catch (IOException)
        {
            lock (_lock)
            {
                _ = _abandoned.Add(name);
            }
        }
    }

    /// <summary>Nothing is left of a partial snapshot.</summary>
    internal void Forget(PartialSnapshot partial)
    {
        lock (_lock)
        {
            if (_partials.GetValueOrDefault(partial.Info.Group) == partial)
            {
                _ = _partials.Remove(partial.Info.Group);
            }
        }
    }

    /// <summary>A partial snapshot waits for another receiver to go on with it.</summary>
    internal void Park(PartialSnapshot partial)
    {
        lock (_lock)
        {
            partial.IsInUse = false;
        }
    }

    private ulong NextId()
    {
        lock (_lock)
        {
            return _ids.Next();
        }
    }

    private IDiskFile OpenNew(string name, long roomBytes)
    {
        lock (_lock)
        {
            _ = _abandoned.Remove(name);
        }

        var file = _disk.Open(name);
        try
        {
            if (roomBytes > _disk.FreeBytes)
            {
                throw new IOException($"No room for {roomBytes} bytes at {_disk.PathOf(name)}: {_disk.FreeBytes} are free.");
            }

            file.Preallocate(roomBytes);
            return file;
        }
        catch (IOException)
        {
            file.Dispose();
            Abandon(name);
            throw;
        }
    }

    // Either the parked bytes of this very snapshot, or a new beginning, and what that displaces.
    private (PartialSnapshot Partial, PartialSnapshot? Displaced) Claim(SnapshotInfo info)
    {
        lock (_lock)
        {
            var parked = _partials.GetValueOrDefault(info.Group);
            if (parked is { IsInUse: true })
            {
                throw new InvalidOperationException($"The snapshot {parked.Info} is being received; dispose of that receiver first.");
            }

            if (parked is not null && parked.Info == info)
            {
                parked.IsInUse = true;
                return (parked, null);
            }

            var partial = new PartialSnapshot(info, info.FileName + SnapshotCatalog.ReceivedExtension);
            _partials[info.Group] = partial;
            return (partial, parked);
        }
    }

    // Received once more: what is here already is as good, and a file of the same name must not take its place.
    private SnapshotInfo? FindAgain(SnapshotInfo info)
    {
        lock (_lock)
        {
            var same = FilesOf(info.Group).Find(f => f.Info == info);
            if (same is not null)
            {
                same.IsRetired = false;
            }

            return same?.Info;
        }
    }

    private SnapshotFile Pin(SnapshotInfo info)
    {
        lock (_lock)
        {
            // One that is superseded may still be read as long as it is there.
            var file = FilesOf(info.Group).Find(f => f.Info == info)
                ?? throw new IOException($"The snapshot {info} is not here: it was superseded by a newer one.");
            file.Pins++;
            return file;
        }
    }

    private IDiskFile OpenPinned(SnapshotFile file)
    {
        try
        {
            return _disk.Open(file.Info.FileName);
        }
        catch (IOException)
        {
            Unpin(file);
            throw;
        }
    }

    private void Unpin(SnapshotFile file)
    {
        lock (_lock)
        {
            file.Pins--;
        }

        DeleteRetired(file.Info.Group);
    }

    // Under the lock, so that none is pinned between the look and the deletion.
    private void DeleteRetired(GroupId group)
    {
        lock (_lock)
        {
            _ = FilesOf(group).RemoveAll(file =>
            {
                if (!file.IsRetired || file.Pins > 0)
                {
                    return false;
                }

                try
                {
                    _disk.Delete(file.Info.FileName);
                    return true;
                }
                catch (IOException)
                {
                    return false;
                }
            });
        }
    }

    private void RetryAbandoned()
    {
        string[] names;
        lock (_lock)
        {
            names = [.. _abandoned];
            _abandoned.Clear();
        }

        foreach (var name in names)
        {
            Abandon(name);
        }
    }

    private List<SnapshotFile> FilesOf(GroupId group) => _files.TryGetValue(group.Value, out var files) ? files : [];

    // Of two with the same index the later one: they hold the same state.
    private SnapshotFile? LatestFile(GroupId group)
    {
        SnapshotFile? latest = null;
        foreach (var file in FilesOf(group))
        {
            if (!file.IsRetired && (latest is null || file.Info.Index >= latest.Info.Index))
            {
                latest = file;
            }
        }

        return latest;
    }

    private Func<long, string, IOException> Damaged(SnapshotInfo info) => (offset, what) => SnapshotFit.Corrupt(_disk, info.FileName, offset, what);
}
