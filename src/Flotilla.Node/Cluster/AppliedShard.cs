using System.Collections.Immutable;
using Flotilla.Raft;
using Flotilla.Raft.Membership;
using Flotilla.Shards;
using Flotilla.Topology;
using Flotilla.Topology.Descriptors;
using Addresses = Flotilla.Topology.Descriptors.NodeAddresses;

namespace Flotilla.Node.Cluster;

/// <summary>
/// What the log of a shard says of the shard, as far as a replica on this node has applied it. Never wrong, perhaps old: so here it
/// stands beside what gossip knows, and the newer of the two counts. Only the leader's is published. Immutable.
/// </summary>
/// <param name="Key">The shard.</param>
/// <param name="Version">The last entry applied and its term.</param>
/// <param name="Leads">The replica leads, and has applied an entry of its own term.</param>
/// <param name="State">Where the shard stands in its life.</param>
/// <param name="Weight">Its weight on the ring.</param>
/// <param name="ConfigurationIndex">The entry that made the configuration.</param>
/// <param name="Configuration">The newest one that is known to be committed.</param>
/// <param name="Slots">What it owns.</param>
/// <param name="Outgoing">Moves from it.</param>
/// <param name="Incoming">Moves to it.</param>
internal sealed record AppliedShard(
    ShardKey Key, DescriptorVersion Version, bool Leads, ShardState State, int Weight, LogIndex ConfigurationIndex, Configuration Configuration, SlotEpochs Slots,
    ImmutableArray<MoveProgress> Outgoing, ImmutableArray<MoveProgress> Incoming)
{
    /// <summary>How it replicates.</summary>
    public ShardMode Mode { get; init; } = ShardMode.Raft;

    /// <summary>The in-sync set; null where it means nothing, since a majority is enough.</summary>
    public IReadOnlyList<NodeId>? InSync { get; init; }

    /// <summary>To be told to everybody at once; else exchanges carry it in their own time.</summary>
    public bool IsUrgent { get; init; } = true;

    /// <summary>The descriptor that it makes.</summary>
    /// <param name="self">This node.</param>
    /// <param name="nodes">Where nodes are.</param>
    /// <param name="ringDigest">Of the ring that this node sees.</param>
    public ShardDescriptor Describe(NodeId self, IReadOnlyDictionary<NodeId, NodeAddresses> nodes, ulong ringDigest)
    {
        var voters = Members(Configuration.Voters, nodes);
        return new ShardDescriptor
        {
            Key = Key,
            Version = Version,
            State = State,
            Weight = Weight,
            Leader = Leads ? self.Value : null,
            ConfigurationIndex = ConfigurationIndex.Value,
            Voters = voters,
            Learners = Members(Configuration.Learners, nodes),
            Mode = Mode,
            InSync = [.. voters.Select(static m => m.Node).Where(node => InSync is null || InSync.Contains(new NodeId(node)))],
            Former = [.. Configuration.Removed.Where(static s => !s.Incarnation.IsNone).TakeLast(DescriptorCodec.MaxFormer).Select(static s => new FormerMember(s.Id.Value, s.Incarnation.Value))],
            Slots = Slots,
            RingDigest = ringDigest,
            Outgoing = Outgoing,
            Incoming = Incoming,
        };
    }

    /// <summary>The descriptor of a shard of which no more is known than how it began.</summary>
    public static ShardDescriptor DescribeFirst(ShardGenesis genesis, IReadOnlyDictionary<NodeId, NodeAddresses> nodes) => new()
    {
        Key = new ShardKey(genesis.Shard, genesis.Group.Value),
        Version = default,
        State = genesis.Slots.Count > 0 ? ShardState.Active : ShardState.Joining,
        Mode = genesis.Mode,
        Voters = Members(genesis.Voters, nodes),
        InSync = [.. genesis.Voters.Order().Select(static id => id.Value)],
        Slots = SlotEpochs.Of(SlotSet.Of(genesis.Slots), SlotEpoch.First),
    };

    /// <summary>What is left to be said of a shard that is retired, by a node that knows no more of it.</summary>
    public static ShardItem RetiredItem(ShardId shard, GroupId group) => ShardItem.Of(new ShardDescriptor { Key = new ShardKey(shard, group.Value), Version = default, State = ShardState.Retired });

    private static ImmutableArray<ShardMember> Members(IReadOnlyList<NodeId> ids, IReadOnlyDictionary<NodeId, NodeAddresses> nodes) =>
        [.. ids.Order().Select(id => new ShardMember(id.Value, nodes.TryGetValue(id, out var at) ? new Addresses(at.Http, at.Rpc, at.Resp, null) : default))];
}
