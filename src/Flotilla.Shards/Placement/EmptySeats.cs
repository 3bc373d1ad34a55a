using Flotilla.Raft;
using Flotilla.Raft.Membership;
using Flotilla.Topology;

namespace Flotilla.Shards.Placement;

/// <summary>Who sits in a shard, as far as known: members of any kind, and whose seats were taken away.</summary>
public sealed record ShardSeats(ShardId Shard, IReadOnlyList<NodeId> Members, IReadOnlyList<RemovedSeat> Removed);

/// <summary>A shard that this node leads, and whether its configuration can be changed at this moment.</summary>
public sealed record LedShard(ShardId Shard, Configuration Configuration, bool IsSettled);

/// <summary>A node that could host a replica: its stream stands, and it does not mind.</summary>
/// <param name="Node">The node.</param>
/// <param name="Incarnation">Its data directory.</param>
/// <param name="Address">Where its peers reach it.</param>
public sealed record LivingNode(NodeId Node, Incarnation Incarnation, string Address);

/// <summary>
/// Fills empty seats: decides to which shard led here which node is added next. Takes nobody away: a dead node may come
/// back, and only an operator knows that it will not. A pure function; each leader decides for its own shards alone, so two
/// leaders may choose the same node at the same moment, and a shard never gets more members than it wants.
/// </summary>
public static class EmptySeats
{
    /// <summary>The next addition, or null if none is due. At most one is under way at a time, so that copying a shard leaves room for its clients.</summary>
    /// <param name="led">The shards that this node leads.</param>
    /// <param name="all">Every shard.</param>
    /// <param name="living">The nodes that could host a replica.</param>
    /// <param name="target">How many members a shard is meant to have.</param>
    public static (ShardId Shard, LivingNode Node)? Next(IReadOnlyList<LedShard> led, IReadOnlyList<ShardSeats> all, IReadOnlyList<LivingNode> living, int target)
    {
        ArgumentNullException.ThrowIfNull(led);
        ArgumentNullException.ThrowIfNull(all);
        ArgumentNullException.ThrowIfNull(living);
        if (led.Any(shard => shard.Configuration.Learners.Any(learner => living.Any(node => node.Node == learner))))
        {
            return null; // The one before is on its way; a learner that is dead holds up nobody.
        }

        // Where most is missing first.
        foreach (var shard in led.Where(s => s.IsSettled && s.Configuration.Members.Count < target).OrderBy(static s => s.Configuration.Members.Count).ThenBy(static s => s.Shard))
        {
            var best = living.Where(node => MayHost(shard.Configuration, node) && !IsDrained(all, node))
                .OrderBy(node => all.Count(s => s.Members.Contains(node.Node)))
                .ThenBy(node => Shuffle(shard.Shard, node.Node)).ThenBy(static node => node.Node)
                .FirstOrDefault();
            if (best is not null)
            {
                return (shard.Shard, best);
            }
        }

        return null;
    }

    private static bool MayHost(Configuration configuration, LivingNode node) => configuration.Find(node.Node) is null && !WasRemoved(configuration.Removed, node);

    /// <summary>Removed from some shard and a member of none: an operator wants it empty.</summary>
    private static bool IsDrained(IReadOnlyList<ShardSeats> all, LivingNode node) =>
        all.Any(shard => WasRemoved(shard.Removed, node)) && !all.Any(shard => shard.Members.Contains(node.Node));

    // A seat that nobody ever met was taken from whoever would have come.
    private static bool WasRemoved(IReadOnlyList<RemovedSeat> removed, LivingNode node) =>
        removed.Any(seat => seat.Id == node.Node && (seat.Incarnation == node.Incarnation || seat.Incarnation.IsNone));

    // Among equals every shard has an order of its own, so that several leaders do not all choose the same node.
    private static ulong Shuffle(ShardId shard, NodeId node)
    {
        var hash = new StableHash((ulong)shard.Value);
        hash.Add(System.Text.Encoding.UTF8.GetBytes(node.Value));
        return hash.Value;
    }
}
