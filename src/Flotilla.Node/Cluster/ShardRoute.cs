using Flotilla.Node.Loops;
using Flotilla.Raft;
using Flotilla.Topology;

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

/// <summary>
/// One shard as the gateway sees it: what never changes for now, and who leads it. Claims from anywhere are merged by
/// term, so their order does not matter. Thread-safe.
/// </summary>
internal sealed class ShardRoute
{
    private LeaderInfo _leader = new(default, default);

    /// <summary>A shard of which no leader is known yet.</summary>
    public ShardRoute(ShardId shard, GroupId group, IReadOnlyList<NodeId> voters, IReadOnlyList<(int First, int Last)> ranges, HostedReplica? local)
    {
        Shard = shard;
        Group = group;
        Voters = voters;
        Ranges = ranges;
        Local = local;
    }

    /// <summary>The shard.</summary>
    public ShardId Shard { get; }

    /// <summary>Its Raft group.</summary>
    public GroupId Group { get; }

    /// <summary>Its voters.</summary>
    public IReadOnlyList<NodeId> Voters { get; }

    /// <summary>The slots that it owns, as inclusive ranges, in order.</summary>
    public IReadOnlyList<(int First, int Last)> Ranges { get; }

    /// <summary>The replica on this node, or null.</summary>
    public HostedReplica? Local { get; }

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
