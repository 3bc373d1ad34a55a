using Flotilla.Node.Loops;
using Flotilla.Raft;
using Flotilla.Topology;
using Flotilla.Topology.Descriptors;

namespace Flotilla.Node.Cluster;

/// <summary>Who leads a shard, as far as known: one immutable snapshot.</summary>
/// <param name="Term">The highest term heard of.</param>
/// <param name="Leader">Its leader; none while unknown.</param>
internal sealed record LeaderInfo(Term Term, NodeId Leader)
{
    private readonly TaskCompletionSource _superseded = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Completes when something newer is known.</summary>
    public Task Superseded => _superseded.Task;

    /// <summary>Wakes whoever waits for news.</summary>
    public void Supersede() => _superseded.TrySetResult();
}

/// <summary>What a shard's newest descriptor says of it: one immutable snapshot.</summary>
/// <param name="State">Where it stands in its life.</param>
/// <param name="Mode">How it replicates.</param>
/// <param name="Version">How new this is.</param>
/// <param name="Slots">The slots that it owns.</param>
/// <param name="Moves">Its moves, as its leader told last.</param>
internal sealed record ShardFacts(ShardState State, ShardMode Mode, DescriptorVersion Version, SlotSet Slots, IReadOnlyList<MoveView> Moves)
{
    /// <summary>Who is in sync; null for all voters.</summary>
    public IReadOnlyList<NodeId>? InSync { get; init; }
}

/// <summary>
/// One shard as the gateway sees it: its slots, who belongs to it, who leads it. Claims from anywhere are merged, leaders
/// by term and members by the index of the committed configuration, so their order does not matter. Thread-safe.
/// </summary>
internal sealed class ShardRoute
{
    private LeaderInfo _leader = new(default, default);
    private ShardMembers _members;
    private ShardFacts _facts;
    private HostedReplica? _local;

    /// <summary>A shard of which no leader is known yet.</summary>
    public ShardRoute(ShardId shard, GroupId group, ShardMembers members, SlotSet slots, HostedReplica? local)
    {
        Shard = shard;
        Group = group;
        _facts = new ShardFacts(ShardState.Active, ShardMode.Raft, default, slots, []);
        _members = members;
        _local = local;
    }

    /// <summary>The shard.</summary>
    public ShardId Shard { get; }

    /// <summary>The first voter that it began with, which is meant to lead it while it votes; none if this process does not know.</summary>
    public NodeId First { get; init; }

    /// <summary>Its Raft group.</summary>
    public GroupId Group { get; }

    /// <summary>Who belongs to it, by the newest committed configuration heard of.</summary>
    public ShardMembers Members => Volatile.Read(ref _members);

    /// <summary>Its voters.</summary>
    public IReadOnlyList<NodeId> Voters => Members.Voters;

    /// <summary>What else is known of it.</summary>
    public ShardFacts Facts
    {
        get => Volatile.Read(ref _facts);
        set => Volatile.Write(ref _facts, value);
    }

    /// <summary>The slots that it owns.</summary>
    public SlotSet Slots => Facts.Slots;

    /// <summary>The replica on this node, or null. Once there is one it stays, also when it is no member any more, until the shard is retired and its replicas go.</summary>
    public HostedReplica? Local => Volatile.Read(ref _local);

    /// <summary>The replica on this node if reads may be served from it: one that votes. A learner may be far behind, and one that was removed for ever.</summary>
    public HostedReplica? Serving => Local is { View: { Admitted: true, Standing: Standing.Voter } } local ? local : null;

    /// <summary>Who leads.</summary>
    public LeaderInfo Leader => Volatile.Read(ref _leader);

    /// <summary>
    /// Merges what the local replica, or another node, knows. A higher term wins; within a term a known leader beats none,
    /// save that <paramref name="source"/> itself may say that it no longer leads. Only the local replica may say that this
    /// node leads. Returns true if something changed.
    /// </summary>
    public bool Merge(Term term, NodeId leader, NodeId source, NodeId self)
    {
        if (leader == self && source != self)
        {
            leader = default;
        }

        while (true)
        {
            var seen = Leader;
            var newer = term > seen.Term
                || (term == seen.Term && seen.Leader.IsNone && !leader.IsNone)
                || (term == seen.Term && seen.Leader == source && leader.IsNone && !seen.Leader.IsNone);
            if (!newer)
            {
                return false;
            }

            if (Interlocked.CompareExchange(ref _leader, new LeaderInfo(term, leader), seen) == seen)
            {
                seen.Supersede();
                return true;
            }
        }
    }

    /// <summary>Merges a committed configuration. True if it is newer than what was known.</summary>
    public bool Merge(ShardMembers members)
    {
        while (true)
        {
            var seen = Members;
            if (members.Index <= seen.Index || members.Voters.Count == 0)
            {
                return false;
            }

            if (Interlocked.CompareExchange(ref _members, members, seen) == seen)
            {
                return true;
            }
        }
    }

    /// <summary>This node begins to host a replica, or hosts one no more.</summary>
    public void Host(HostedReplica? local) => Volatile.Write(ref _local, local);

    /// <summary>Wakes those who wait for a change of leader though the leader is the same: its stream is up again.</summary>
    public void WakeWaiters()
    {
        var seen = Leader;
        if (Interlocked.CompareExchange(ref _leader, new LeaderInfo(seen.Term, seen.Leader), seen) == seen)
        {
            seen.Supersede();
        }
    }
}
