using Flotilla.Raft;
using Flotilla.Topology;

namespace Flotilla.Shards;

/// <summary>A node as <c>--initial-cluster</c> names it. The address is <c>HOST:PORT</c> of its RPC listener.</summary>
public readonly record struct ClusterMember(NodeId Node, string Rpc);

/// <summary>
/// How a cluster begins: shards, replicas and first slots as a pure function of the start flags, so that every node
/// computes the same; and their hash, the cluster id, which every message carries.
/// </summary>
/// <param name="ClusterId">Never 0.</param>
/// <param name="Members">Ordered by node id.</param>
/// <param name="Shards">Ordered by number.</param>
public sealed record Genesis(ulong ClusterId, IReadOnlyList<ClusterMember> Members, IReadOnlyList<ShardGenesis> Shards)
{
    /// <summary>Computes the genesis. Throws <see cref="ArgumentException"/> with a message for the operator when the flags make no sense.</summary>
    /// <param name="members">The initial nodes, any order, at least one, ids distinct.</param>
    /// <param name="shards">How many shards, 1 to 1000.</param>
    /// <param name="replicas">The replica target; a cluster with fewer nodes gets as many as it has.</param>
    public static Genesis Compute(IReadOnlyList<ClusterMember> members, int shards, int replicas) => throw new NotSupportedException();
}
