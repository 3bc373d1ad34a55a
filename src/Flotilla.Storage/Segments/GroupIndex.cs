using Flotilla.Raft;
using Flotilla.Storage.Disk;
using Flotilla.Wire.Log;

namespace Flotilla.Storage.Segments;

/// <summary>Entries, or (<paramref name="Count"/> 0) a release, to be published once the batch is durable. <paramref name="Offset"/> counts from the start of the batch.</summary>
internal readonly record struct PendingChange(GroupLog Log, LogIndex Index, int Count, Term Term, int Offset);

/// <summary>
/// All groups of the log. One lock guards their durable state, which readers on any thread use while the appending thread
/// changes it; it is held for look-ups and for publishing, never while the disk is at work.
/// </summary>
internal sealed class GroupIndex
{
    private readonly IDisk _disk;
    private readonly Lock _lock = new();
    private readonly Dictionary<GroupId, GroupLog> _groups;

    internal GroupIndex(IDisk disk, Dictionary<GroupId, GroupLog> recovered)
    {
        _disk = disk;
        _groups = recovered;
        foreach (var log in recovered.Values)
        {
            log.Pending.Last = log.Last;
            log.Pending.Released = log.Released;
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
                ? new RaftRecovery(log.HardState, log.Identity, log.Last, [.. log.Terms])
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
                if (change.Count == 0)
                {
                    change.Log.Release(change.Index);
                }
                else
                {
                    change.Log.Publish(change.Index, change.Count, change.Term, segment, offset + change.Offset);
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

    /// <summary>Adds what is durable of every group, but its entries, to the head of a new segment.</summary>
    public void AddSmallStates(BatchWriter head)
    {
        lock (_lock)
        {
            foreach (var log in _groups.Values)
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
                    head.AddReleased(log.Id, log.Released);
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
