using System.Collections.Immutable;
using Flotilla.Raft;
using Flotilla.Raft.Membership;
using Flotilla.Topology.Descriptors;

namespace Flotilla.Node.Cluster;

/// <summary>Who belongs to a shard, as one committed configuration says; the one with the highest index is the newest.</summary>
/// <param name="Index">The entry that made it; 0 for the first members.</param>
/// <param name="Voters">In a joint configuration those of its new half. Empty: nothing is said.</param>
/// <param name="Learners">Those without a vote.</param>
/// <param name="Removed">The seats that were taken away on purpose.</param>
internal sealed record ShardMembers(LogIndex Index, IReadOnlyList<NodeId> Voters, IReadOnlyList<NodeId> Learners, IReadOnlyList<RemovedSeat> Removed)
{
    /// <summary>The first members of a shard.</summary>
    public static ShardMembers First(IReadOnlyList<NodeId> voters) => new(default, voters, [], []);

    /// <summary>What a committed configuration says.</summary>
    public static ShardMembers Of(LogIndex index, Configuration configuration) =>
        new(index, configuration.Voters, configuration.Learners, configuration.Removed);

    /// <summary>What a descriptor says.</summary>
    public static ShardMembers Of(ShardDescriptor descriptor) => new(
        new LogIndex(descriptor.ConfigurationIndex), Nodes(descriptor.Voters), Nodes(descriptor.Learners),
        [.. descriptor.Former.Select(static seat => new RemovedSeat(new NodeId(seat.Node), new Incarnation(seat.Incarnation)))]);

    /// <summary>It votes, or will.</summary>
    public bool Contains(NodeId node) => Voters.Contains(node) || Learners.Contains(node);

    private static NodeId[] Nodes(ImmutableArray<ShardMember> members) => [.. members.Select(static m => new NodeId(m.Node))];
}
