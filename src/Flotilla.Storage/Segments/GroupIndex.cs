using Flotilla.Raft;
using Flotilla.Storage.Disk;
using Flotilla.Wire.Log;

namespace Flotilla.Storage.Segments;

/// <summary>What a <see cref="PendingChange"/> does.</summary>
internal enum PendingKind
{
    /// <summary>Adds entries.</summary>
    Entries,

    /// <summary>Releases entries.</summary>
    Release,

    /// <summary>Forgets all entries.</summary>
    Reset,

    /// <summary>Forgets the group.</summary>
    Forget,
}

/// <summary>A change to be published once the batch is durable. For entries: how many, and where in the batch their record begins and how long it is.</summary>
internal readonly record struct PendingChange(PendingKind Kind, GroupLog Log, LogIndex Index, Term Term, int Count = 0, int Offset = 0, int Bytes = 0);

/// <summary>
/// All groups of the log. One lock guards their durable state, which readers on any thread use while the appending thread
/// changes it; it is held for look-ups and for publishing, never while the disk is at work.
/// </summary>
internal sealed class GroupIndex
{
    private readonly IDisk _disk;
    private readonly Lock _lock = new();
    private readonly Dictionary<GroupId, GroupLog> _groups;
    private readonly List<GroupLog> _leaving = []; // Forgotten by a batch that is not durable yet.
    private ulong _newest;

    internal GroupIndex(IDisk disk, Dictionary<GroupId, GroupLog> recovered)
    {
        _disk = disk;
        _groups = recovered;
        foreach (var log in recovered.Values)
        {
            log.Pending.Last = log.Last;
            log.Pending.Released = log.Released;
            log.Noted?.Finish(log.HardState.Commit);
        }
    }

    /// <summary>The groups. For the appending thread.</summary>
    public IEnumerable<GroupId> Groups => _groups.Keys;

    /// <summary>What is durable of a group.</summary>
    public RaftRecovery Recovered(GroupId group)
    {
        lock (_lock)
        {
            return _groups.TryGetValue(group, out var log)
                ? new RaftRecovery(log.HardState, log.Identity, log.Last, [.. log.Terms], log.Base, log.Noted?.CostAboveCommit ?? 0, log.Noted?.Configurations)
                : RaftRecovery.Empty;
        }
    }

    /// <summary>The first entry of a group that can be read.</summary>
    public LogIndex FirstIndex(GroupId group)
    {
        lock (_lock)
        {
            return _groups.TryGetValue(group, out var log) ? log.FirstReadable : new LogIndex(1);
        }
    }

    /// <summary>The group's log, which is made if there is none. For the appending thread, which alone adds groups and so may look without the lock.</summary>
    public GroupLog GetOrAdd(GroupId group)
    {
        if (_groups.TryGetValue(group, out var log))
        {
            return log;
        }

        log = new GroupLog(group);
        lock (_lock)
        {
            _groups.Add(group, log);
        }

        return log;
    }

    /// <summary>Takes a group away, to be forgotten once that is durable; null if there is none. For the appending thread.</summary>
    public GroupLog? Take(GroupId group)
    {
        lock (_lock)
        {
            if (_groups.Remove(group, out var log))
            {
                _leaving.Add(log);
            }

            return log;
        }
    }

    /// <summary>Reads durable entries back: see <see cref="Wal.TryRead"/>.</summary>
    public bool TryRead(GroupId group, LogIndex from, LogIndex through, int maxBytes, List<Entry> into)
    {
        var next = from;
        long budget = Math.Max(1, maxBytes);
        var none = into.Count;
        var changes = -1;
        while (next <= through && budget > 0)
        {
            Run run;
            lock (_lock)
            {
                if (!_groups.TryGetValue(group, out var log) || (changes >= 0 && changes != log.Changes) || !log.TryFind(next, out run))
                {
                    break;
                }

                changes = log.Changes;
                run.Segment.Pin();
            }

            try
            {
                using var reader = new RunReader(_disk, group, run);
                next = reader.Read(next, through, ref budget, into, none);
            }
            finally
            {
                run.Segment.Unpin();
            }
        }

        return next > from;
    }

    /// <summary>Lets readers see what has become durable: the changes of a batch that begins at <paramref name="offset"/>, and the small states of the groups that it holds.</summary>
    public void Publish(List<PendingChange> changes, List<GroupLog> dirty, Segment segment, long offset)
    {
        lock (_lock)
        {
            foreach (var change in changes)
            {
                change.Log.Noted = null;
                switch (change.Kind)
                {
                    case PendingKind.Release:
                        change.Log.Release(new LogBase(change.Index, change.Term));
                        break;
                    case PendingKind.Reset:
                        change.Log.Reset(new LogBase(change.Index, change.Term));
                        break;
                    case PendingKind.Forget:
                        change.Log.Reset(default);
                        _leaving.Remove(change.Log);
                        break;
                    default:
                        change.Log.Publish(change.Index, change.Count, change.Term, segment, offset + change.Offset, change.Bytes);
                        break;
                }
            }

            foreach (var log in dirty)
            {
                log.HardState = log.Pending.HardState ?? log.HardState;
                log.Identity = log.Pending.Identity ?? log.Identity;
                log.Pending.HardState = null;
                log.Pending.Identity = null;
                log.Pending.IsListed = false;
            }
        }
    }

    /// <summary>About how many bytes of log a group keeps behind an entry: see <see cref="Wal.LogBytes"/>.</summary>
    public long BytesAfter(GroupId group, LogIndex after)
    {
        lock (_lock)
        {
            return _groups.TryGetValue(group, out var log) ? log.BytesAfter(after) : 0;
        }
    }

    /// <summary>A segment is the current one from now on.</summary>
    public void Begun(ulong sequence)
    {
        lock (_lock)
        {
            _newest = sequence;
        }
    }

    /// <summary>Which groups hold back the oldest segment: see <see cref="Wal.OldestPins"/>.</summary>
    public IReadOnlyList<SegmentPin> OldestPins()
    {
        lock (_lock)
        {
            var pins = new List<SegmentPin>();
            var oldest = ulong.MaxValue;
            foreach (var log in _groups.Values)
            {
                if (log.FirstRun is not { } run || run.Segment.Sequence > oldest || run.Segment.Sequence == _newest)
                {
                    continue;
                }

                if (run.Segment.Sequence < oldest)
                {
                    oldest = run.Segment.Sequence;
                    pins.Clear();
                }

                pins.Add(new SegmentPin(log.Id, log.LastIn(run.Segment), (int)(_newest - oldest)));
            }

            pins.Sort(static (a, b) => a.Group.Value.CompareTo(b.Group.Value));
            return pins;
        }
    }

    /// <summary>Adds what is durable of every group, but its entries, to the head of a new segment.</summary>
    public void AddSmallStates(BatchWriter head)
    {
        lock (_lock)
        {
            // What is durable of one that is to be forgotten still is, also if it has begun anew behind that.
            foreach (var log in _groups.Values.Where(log => !_leaving.Exists(l => l.Id == log.Id)).Concat(_leaving))
            {
                head.AddHardState(log.Id, log.HardState);
                if (log.Identity != IdentityState.Empty)
                {
                    head.AddIdentity(log.Id, log.Identity);
                }

                if (log.Last > LogIndex.Zero)
                {
                    head.AddLast(log.Id, log.Last, log.LastTerm);
                }

                if (log.Released > LogIndex.Zero)
                {
                    head.AddReleased(log.Id, log.Base);
                }
            }
        }
    }

    /// <summary>The oldest of the segments, which come oldest first, that holds entries still needed; null if none does.</summary>
    public ulong? OldestLive(IReadOnlyList<Segment> segments)
    {
        lock (_lock)
        {
            foreach (var segment in segments)
            {
                if (segment.LiveRuns > 0)
                {
                    return segment.Sequence;
                }
            }
        }

        return null;
    }
}
