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
/// a start always finds one that reaches up to where the log begins. <see cref="Reconcile"/> checks it.
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
        SnapshotCatalog.Load(disk, store._files);
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

    /// <summary>
    /// The lowest index of a group's snapshots that are being sent, or null. Whoever gets one needs the log from there on: as
    /// long as the log is not released beyond, the transfer was not in vain (hazard 28).
    /// </summary>
    public LogIndex? OldestSent(GroupId group)
    {
        lock (_lock)
        {
            var sent = FilesOf(group).FindAll(static f => f.Senders > 0);
            return sent.Count == 0 ? null : sent.Min(static f => f.Info.Index);
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
        var file = Pin(info, static f => f.Readers++);
        return new SnapshotReader(OpenPinned(file, static f => f.Readers--), file.Info, Damaged(file.Info), () => Unpin(file, static f => f.Readers--));
    }

    /// <summary>Begins to send a snapshot. The file is there until the source is disposed of. Throws <see cref="IOException"/> if it was retired meanwhile.</summary>
    public SnapshotSource OpenSource(SnapshotInfo info)
    {
        ArgumentNullException.ThrowIfNull(info);
        var file = Pin(info, static f => f.Senders++);
        return new SnapshotSource(OpenPinned(file, static f => f.Senders--), file.Info, () => Unpin(file, static f => f.Senders--));
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
    /// Whether a group's log and its newest snapshot fit together, at a start. Null: the state is the snapshot, or empty if
    /// there is none, and the log goes on behind it. Otherwise a crash came between a snapshot that was installed and the reset
    /// of the log: the log must be reset to the answer before anything else (hazard 27).
    /// </summary>
    /// <exception cref="SnapshotMissingException">The log begins behind what any snapshot holds.</exception>
    public LogBase? Reconcile(GroupId group, RaftRecovery recovered)
    {
        ArgumentNullException.ThrowIfNull(recovered);
        return SnapshotFit.Check(_disk, group, Latest(group), recovered);
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

    private SnapshotFile Pin(SnapshotInfo info, Action<SnapshotFile> pin)
    {
        lock (_lock)
        {
            // One that is superseded may still be read as long as it is there.
            var file = FilesOf(info.Group).Find(f => f.Info == info)
                ?? throw new IOException($"The snapshot {info} is not here: it was superseded by a newer one.");
            pin(file);
            return file;
        }
    }

    private IDiskFile OpenPinned(SnapshotFile file, Action<SnapshotFile> unpin)
    {
        try
        {
            return _disk.Open(file.Info.FileName);
        }
        catch (IOException)
        {
            Unpin(file, unpin);
            throw;
        }
    }

    private void Unpin(SnapshotFile file, Action<SnapshotFile> unpin)
    {
        lock (_lock)
        {
            unpin(file);
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
                if (!file.IsRetired || file.IsPinned)
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
