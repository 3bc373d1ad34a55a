using Flotilla.Raft;
using Flotilla.Topology;
using Flotilla.Topology.Descriptors;

namespace Flotilla.Shards;

/// <summary>One shard as genesis made it.</summary>
/// <param name="Shard">Its number.</param>
/// <param name="Group">Its Raft group.</param>
/// <param name="Voters">Its first voters; the first one is meant to lead first.</param>
/// <param name="Slots">The slots that it owns at first, under slot epoch 1; in order.</param>
public sealed record ShardGenesis(ShardId Shard, GroupId Group, IReadOnlyList<NodeId> Voters, IReadOnlyList<Slot> Slots)
{
    /// <summary>How it replicates until its log says otherwise: the same at every replica, since a state begins with it.</summary>
    public ShardMode Mode { get; init; } = ShardMode.Raft;
}
