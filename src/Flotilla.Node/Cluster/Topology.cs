using Flotilla.Node.Loops;
using Flotilla.Raft;
using Flotilla.Topology;
using Flotilla.Topology.Descriptors;
using Flotilla.Topology.Gossip;
using Flotilla.Topology.Ownership;

namespace Flotilla.Node.Cluster;

/// <summary>
/// Makes the routing table of what gossip knows and of what is applied here. For a shard that this node hosts its own applied state
/// counts unless gossip has something newer; how the cluster began is what every node knows without having heard it. One thread at
/// a time; what it publishes is for any.
/// </summary>
/// <param name="cluster">Where the table is published.</param>
/// <param name="replicaOf">The replica on this node of a group, or null.</param>
internal sealed class Topology(ClusterState cluster, Func<GroupId, HostedReplica?> replicaOf)
{
    private readonly Dictionary<ShardKey, ShardItem> _own = [];
    private readonly Dictionary<ShardKey, IReadOnlyList<NodeId>> _first = [];
    private readonly Dictionary<ShardKey, ShardRoute> _routes = [];
    private Dictionary<ShardKey, SlotSet> _slots = [];

    /// <summary>Who owns and who should own each slot, by all that is known.</summary>
    public OwnershipView View { get; private set; } = OwnershipView.Of(GossipTable.Empty);

    /// <summary>Of the ring of <see cref="View"/>.</summary>
    public ulong RingDigest => View.Ring.Digest;

    /// <summary>Whether what a shard says now changes where calls go or what the ring is. How far its moves have come does not.</summary>
    public bool IsNews(ShardDescriptor next) =>
        View.Find(next.Key) is not { } old
        || (old.State, old.Mode, old.Weight, old.Leader, old.RingDigest, old.ConfigurationIndex) != (next.State, next.Mode, next.Weight, next.Leader, next.RingDigest, next.ConfigurationIndex)
        || !old.Slots.Equals(next.Slots)
        || !old.InSync.SequenceEqual(next.InSync);

    /// <summary>What this node knows of a shard without gossip; an older word of it stands no more.</summary>
    public void Know(ShardDescriptor descriptor)
    {
        var item = ShardItem.Of(descriptor);
        if (!_own.TryGetValue(descriptor.Key, out var old) || ShardItem.Compare(item, old) > 0)
        {
            _own[descriptor.Key] = item;
        }
    }

    /// <summary>Which nodes a shard began at; the first of them is meant to lead it while it votes.</summary>
    public void KnowFirst(ShardKey key, IReadOnlyList<NodeId> voters) => _first[key] = voters;

    /// <summary>Makes everything anew.</summary>
    /// <param name="table">What gossip knows.</param>
    /// <param name="clusterId">The cluster.</param>
    public void Rebuild(GossipTable table, ulong clusterId)
    {
        View = OwnershipView.Of(table.Merge([.. _own.Values], out _), View);
        var slots = SlotsByShard(View);
        var shards = new List<ShardRoute>();
        var past = new List<ShardRoute>();
        foreach (var descriptor in View.Shards)
        {
            if (descriptor.State == ShardState.Retired)
            {
                // One that this process never met alive is of no interest to anybody here.
                if (_routes.TryGetValue(descriptor.Key, out var known) || replicaOf(new GroupId(descriptor.Key.Group)) is not null)
                {
                    past.Add(known ?? RouteOf(descriptor, SlotSet.Empty));
                }

                continue;
            }

            var route = RouteOf(descriptor, slots.GetValueOrDefault(descriptor.Key) ?? SlotSet.Empty);

            // Of two groups under one number the one that owns something is the shard, or else the lower one: on every node the same.
            if (shards.Count > 0 && shards[^1].Shard == route.Shard)
            {
                if (shards[^1].Slots.IsEmpty && !route.Slots.IsEmpty)
                {
                    shards[^1] = route;
                }
            }
            else
            {
                shards.Add(route);
            }
        }

        cluster.LearnRetired([.. View.Shards.Where(static d => d.State == ShardState.Retired).Select(static d => d.Key)]);
        var next = new RoutingTable(clusterId, shards, past);
        if (!next.HoldsSameAs(cluster.Table))
        {
            cluster.Publish(next);
        }

        // A replica may have told who leads before its route could be found.
        foreach (var route in shards)
        {
            if (route.Local is { View: var own })
            {
                route.Merge(own.Term, own.Leader, cluster.Self, cluster.Self);
            }
        }
    }

    private ShardRoute RouteOf(ShardDescriptor descriptor, SlotSet slots)
    {
        var group = new GroupId(descriptor.Key.Group);
        var members = ShardMembers.Of(descriptor);
        if (!_routes.TryGetValue(descriptor.Key, out var route))
        {
            var first = _first.GetValueOrDefault(descriptor.Key) ?? [];
            route = new ShardRoute(descriptor.Shard, group, first.Count > 0 ? ShardMembers.First(first) : members, slots, replicaOf(group)) { First = first.Count > 0 ? first[0] : default };
            _routes.Add(descriptor.Key, route);
        }

        route.Merge(members);
        if (descriptor.Leader is { } leader)
        {
            route.Merge(new Term(descriptor.Version.Term), new NodeId(leader), source: default, cluster.Self);
        }

        route.Facts = new ShardFacts(descriptor.State, descriptor.Mode, descriptor.Version, slots, MoveView.Of(descriptor.Outgoing, descriptor.Incoming))
        {
            InSync = descriptor.InSync.Length == descriptor.Voters.Length ? null : [.. descriptor.InSync.Select(static id => new NodeId(id))],
        };
        return route;
    }

    /// <summary>
    /// The slots that each shard owns, with those that nobody does and that it owned last: a shard may be heard to have given a slot
    /// away before the other is heard to have it, and knows where it went. Only one that is retired tells nobody.
    /// </summary>
    private Dictionary<ShardKey, SlotSet> SlotsByShard(OwnershipView view)
    {
        var unowned = view.Unowned;
        var slots = new Dictionary<ShardKey, SlotSet>();
        foreach (var shard in view.Shards.Where(static d => d.State != ShardState.Retired))
        {
            var owned = view.OwnedBy(shard);
            slots.Add(shard.Key, unowned.IsEmpty || !_slots.TryGetValue(shard.Key, out var before) ? owned : owned.Union(before.Intersect(unowned)));
        }

        return _slots = slots;
    }
}
