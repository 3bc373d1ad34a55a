using Flotilla.Raft;
using Flotilla.Raft.Quorum;
using Flotilla.Shards.Handoff;
using Flotilla.Topology.Descriptors;

namespace Flotilla.Shards.Modes;

/// <summary>
/// What a leader asks for beyond a majority in the modes sync and chain (DESIGN section 5; docs/modes.md): a write is admitted only while
/// every member of the in-sync set answers, and acknowledged only once every one of them holds it on disk. Reads Raft's
/// progress and the applied state; decides nothing about commit. Not thread-safe.
/// </summary>
/// <remarks>
/// <para>Why an acknowledged write is on every in-sync member. It is answered when <see cref="HeldByAll"/> has reached its entry, which counts
/// durable entries of this leader's own term and log, by the set that this leader has applied at that moment. A set that is
/// about to shrink is still the larger one until the entry that shrinks it is committed, and one that grows counts the new
/// member from the entry on that puts it back. A new leader knows no more than that; it acknowledges what it proposed itself, and a
/// retry's recorded result at the retry's own entry, under the same rule (hazard 47).</para>
/// <para>Why the set never decides what is committed. Voters, elections and commit stay Raft's. A set of which a minority is left out
/// holds less often, never more: an acknowledged write was committed by a majority besides (hazards 46, 48).</para>
/// <para>What was proposed before a member fell silent may still commit. It is answered by its deadline with "indeterminate", never with a false
/// failure; what comes afterwards is refused before it is in any log.</para>
/// </remarks>
internal sealed class InSyncGate(ReplicaOptions options, NodeId self)
{
    /// <summary>A wish that had no effect is proposed again after this.</summary>
    private const double ProposeAgainMs = 500;

    /// <summary>A member that was out has caught up when it holds what was committed so long ago: under load even the healthy are some entries behind.</summary>
    private const double CaughtUpMs = 100;

    private readonly Dictionary<NodeId, Watch> _watches = [];
    private readonly List<NodeId> _members = [];
    private Term _term;
    private Instant _proposeAt = new(long.MinValue);
    private (LogIndex Before, LogIndex Newer, Instant At) _committed;
    private Instant _lookedAt = new(long.MinValue / 2);
    private Instant _patientUntil = new(long.MinValue / 2);

    /// <summary>Whether entries that are applied now are acknowledged by the in-sync set.</summary>
    public static bool Holds(Ownership ownership) => ownership.Mode is ShardMode.Sync or ShardMode.Chain;

    /// <summary>Who must hold a write before it is acknowledged: the voters, of both halves of a joint configuration, without those that were taken out.</summary>
    public IReadOnlyList<NodeId> Members(Raft.Raft raft, Ownership ownership, LogIndex applied)
    {
        _members.Clear();
        var configuration = raft.ConfigurationAt(applied);
        foreach (var voter in configuration.Voters)
        {
            AddMember(voter, ownership);
        }

        foreach (var voter in configuration.OldVoters)
        {
            AddMember(voter, ownership);
        }

        return _members;
    }

    /// <summary>A member of the set that holds up writes at this moment; none if nobody does. For a leader.</summary>
    public NodeId HeldUpBy(Raft.Raft raft, Ownership ownership, LogIndex applied, Instant now)
    {
        // Whoever was not run itself for a while has not read yet what the others answered meanwhile.
        if (now < _patientUntil || IsPause(now))
        {
            return default;
        }

        foreach (var member in Members(raft, ownership, applied))
        {
            if (member != self && !Answers(raft, member, now))
            {
                return member;
            }
        }

        return default;
    }

    /// <summary>The last entry of this leader's log that every member of the set holds on disk.</summary>
    public LogIndex HeldByAll(Raft.Raft raft, Ownership ownership, LogIndex applied)
    {
        var least = raft.DurableOn(self);
        foreach (var member in Members(raft, ownership, applied))
        {
            least = LogIndex.Min(least, raft.DurableOn(member));
        }

        return least;
    }

    /// <summary>Watches the members' progress, and says which of them is to be taken out of the set, or put back. After each batch of inputs, on a leader in a mode that <see cref="Holds"/>.</summary>
    public HandoffStep? Look(Raft.Raft raft, Ownership ownership, LogIndex applied, Instant now)
    {
        if (raft.Term != _term)
        {
            (_term, _proposeAt) = (raft.Term, now);
            _committed = (raft.CommitIndex, raft.CommitIndex, now);
            _watches.Clear();
        }

        _patientUntil = IsPause(now) ? now.PlusMs(options.SyncSilenceMs) : _patientUntil;
        _lookedAt = now;
        _committed = now.MsSince(_committed.At) >= CaughtUpMs ? (_committed.Newer, raft.CommitIndex, now) : _committed;
        var members = Members(raft, ownership, applied);
        NodeId silent = default;
        foreach (var member in members)
        {
            if (member != self && Follow(raft, member, now) && silent.IsNone)
            {
                silent = member;
            }
        }

        if (now < _proposeAt)
        {
            return null;
        }

        var step = PutBack(raft, ownership, applied, now) ?? TakeOut(raft, silent, applied, members.Count);
        _proposeAt = step is null ? _proposeAt : now.PlusMs(ProposeAgainMs);
        return step;
    }

    // Not below a majority of the voters: then the shard waits for its members, as raft itself would.
    private static HandoffStep.SetInSync? TakeOut(Raft.Raft raft, NodeId silent, LogIndex applied, int members)
    {
        var configuration = raft.ConfigurationAt(applied);
        return !silent.IsNone && !configuration.IsJoint && members > Majority.Of(configuration.Voters.Count) ? new HandoffStep.SetInSync(silent, IsIn: false) : null;
    }

    // One that is no voter any more is forgotten the same way: should it vote again some day, it begins in the set.
    private HandoffStep.SetInSync? PutBack(Raft.Raft raft, Ownership ownership, LogIndex applied, Instant now)
    {
        var configuration = raft.ConfigurationAt(applied);
        foreach (var node in ownership.OutOfSync)
        {
            var isVoter = configuration.Voters.Contains(node) || configuration.OldVoters.Contains(node);
            if (!isVoter || (raft.DurableOn(node) >= _committed.Before && IsHeard(raft, node, now)))
            {
                return new HandoffStep.SetInSync(node, IsIn: true);
            }
        }

        return null;
    }

    /// <summary>True once a member has not answered for so long that it is to be taken out.</summary>
    private bool Follow(Raft.Raft raft, NodeId member, Instant now)
    {
        var durable = raft.DurableOn(member);
        var watch = _watches.TryGetValue(member, out var before) ? before : new Watch(durable, now, null);
        if (durable > watch.Durable || durable >= raft.Log.LastIndex)
        {
            watch = watch with { Durable = durable, Moved = now };
        }

        var answers = IsHeard(raft, member, now) && now.MsSince(watch.Moved) < options.Raft.DiskStallMs;
        watch = watch with { SilentSince = answers ? null : watch.SilentSince ?? now };
        _watches[member] = watch;
        return options.HealAfterMs > 0 && watch.SilentSince is { } since && now.MsSince(since) >= options.HealAfterMs;
    }

    private bool Answers(Raft.Raft raft, NodeId member, Instant now) =>
        IsHeard(raft, member, now) && (!_watches.TryGetValue(member, out var watch) || watch.SilentSince is null);

    private bool IsPause(Instant now) => now.MsSince(_lookedAt) > 0.75 * options.SyncSilenceMs;

    private bool IsHeard(Raft.Raft raft, NodeId member, Instant now) => now.MsSince(raft.LastHeardOf(member)) < options.SyncSilenceMs;

    private void AddMember(NodeId voter, Ownership ownership)
    {
        if (!ownership.OutOfSync.Contains(voter) && !_members.Contains(voter))
        {
            _members.Add(voter);
        }
    }

    private readonly record struct Watch(LogIndex Durable, Instant Moved, Instant? SilentSince);
}
