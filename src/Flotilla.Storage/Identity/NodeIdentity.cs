using Flotilla.Raft;
using Flotilla.Shards;
using Flotilla.Topology;
using Flotilla.Topology.Descriptors;

namespace Flotilla.Storage.Identity;

/// <summary>The start flags that make a cluster. They count at a node's first start only, and are kept from then on.</summary>
/// <param name="Members">The initial nodes (<c>--initial-cluster</c>), ordered by node id; empty if none were given.</param>
/// <param name="Shards">How many shards (<c>--shards</c>).</param>
/// <param name="Replicas">The replica target (<c>--replicas</c>).</param>
public sealed record GenesisFlags(IReadOnlyList<ClusterMember> Members, int Shards, int Replicas)
{
    /// <summary>Those of a node that has no cluster yet.</summary>
    public static GenesisFlags Unknown { get; } = new([], 0, 0);

    /// <summary>What a node that begins a cluster by itself drew at its first start, so that a directory made anew begins another one; else 0.</summary>
    public ulong Nonce { get; init; }

    /// <summary>How the cluster's shards replicate at first (<c>--mode</c>).</summary>
    public ShardMode Mode { get; init; } = ShardMode.Raft;

    /// <summary>The genesis that follows from these flags.</summary>
    /// <exception cref="GenesisException">They make no sense.</exception>
    public Genesis Compute() => Genesis.Compute(Members, Shards, Replicas, Nonce, Mode);

    /// <summary>The flags of a first start: a single initial node draws its nonce, at random.</summary>
    public GenesisFlags Begin() => Members.Count == 1 ? this with { Nonce = DataDirectory.Draw() } : this;

    /// <summary>Says in words, one sentence per flag, where <paramref name="later"/> differs from these flags, and that it has no effect.</summary>
    public IReadOnlyList<string> Differences(GenesisFlags later)
    {
        ArgumentNullException.ThrowIfNull(later);
        var differences = new List<string>();
        var before = Describe(Members);
        var now = Describe(later.Members);
        if (!string.Equals(before, now, StringComparison.Ordinal))
        {
            differences.Add($"--initial-cluster was \"{before}\" at the first start and counts; \"{now}\" has no effect.");
        }

        if (Shards != later.Shards)
        {
            differences.Add($"--shards was {Shards} at the first start and counts; {later.Shards} has no effect.");
        }

        if (Replicas != later.Replicas)
        {
            differences.Add($"--replicas was {Replicas} at the first start and counts; {later.Replicas} has no effect.");
        }

        if (Mode != later.Mode)
        {
            differences.Add($"--mode was {ShardModes.NameOf(Mode)} at the first start and counts; {ShardModes.NameOf(later.Mode)} has no effect. A running cluster is switched with: flotilla mode {ShardModes.NameOf(later.Mode)}.");
        }

        return differences;
    }

    private static string Describe(IReadOnlyList<ClusterMember> members) =>
        string.Join(',', members.OrderBy(static m => m.Node).Select(static m => $"{m.Node}={m.Rpc}"));
}

/// <summary>What makes a data directory this node's and no other's.</summary>
/// <param name="Node">The node.</param>
/// <param name="Incarnation">Drawn at random when the directory was made; never none.</param>
/// <param name="ClusterId">The cluster, or 0 while that is not known (a node that waits to be adopted).</param>
/// <param name="BootNumber">Raised durably at each start: 1 at the first. Tells restarts of one incarnation apart.</param>
/// <param name="HasLog">A log was opened here once: from then on a missing one is damage.</param>
/// <param name="Genesis">The start flags of the first start, or those of the cluster that it joined.</param>
public sealed record NodeIdentity(NodeId Node, Incarnation Incarnation, ulong ClusterId, ulong BootNumber, bool HasLog, GenesisFlags Genesis)
{
    /// <summary>Other nodes of the cluster with their addresses, as the node was told when it joined.</summary>
    public IReadOnlyList<ClusterMember> Known { get; init; } = [];

    /// <summary>The directory entered a cluster that others had begun. Then it begins no group by itself, whatever its node's name is.</summary>
    public bool HasEntered { get; init; }

    /// <summary>Shards that genesis does not know and that this directory hosts, or hosted once. None is ever taken away, but by <see cref="Retired"/>.</summary>
    public IReadOnlyList<LateShard> LateShards { get; init; } = [];

    /// <summary>Shards that were retired and that this directory hosted. It never hosts them again, whatever else is in it; the list only grows.</summary>
    public IReadOnlyList<RetiredShard> Retired { get; init; } = [];
}

/// <summary>A shard that was born after genesis.</summary>
/// <param name="Shard">Its number.</param>
/// <param name="Group">Its Raft group.</param>
/// <param name="BornHere">This directory's node was its first voter, alone; else a leader gave it a seat.</param>
public sealed record LateShard(ShardId Shard, GroupId Group, bool BornHere);

/// <summary>A shard that is retired for ever.</summary>
/// <param name="Shard">Its number.</param>
/// <param name="Group">Its Raft group.</param>
public sealed record RetiredShard(ShardId Shard, GroupId Group);

/// <summary>A data directory can't be used. The message is for the operator: what is wrong, and what to do.</summary>
public sealed class DataDirectoryException : IOException
{
    /// <summary>With a message for the operator.</summary>
    public DataDirectoryException(string message)
        : base(message)
    {
    }

    /// <summary>With a message for the operator, and the failure that led to it.</summary>
    public DataDirectoryException(string message, Exception inner)
        : base(message, inner)
    {
    }
}
