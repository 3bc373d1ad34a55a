using Flotilla.Contracts;
using Flotilla.Raft;
using Flotilla.Topology;

namespace Flotilla.Node;

/// <summary>
/// A process of one shard, as <c>flotilla shard</c> starts it. It is a node like any other, but gets no seat in another shard,
/// and nobody gives seats of its shard, or takes them, but people.
/// </summary>
/// <param name="Shard">The shard.</param>
/// <param name="Number">Which of the shard's nodes this is, from 1. The first begins the shard; others get a seat in it.</param>
/// <param name="Peers">
/// HTTP addresses of nodes of other shards. The first node asks them for their cluster before it begins anything, so that shards which are
/// started one by one come to be one cluster. May be empty.
/// </param>
public sealed record SingleShard(ShardId Shard, int Number, IReadOnlyList<HostPort> Peers)
{
    /// <summary>The shard in which a cluster begins: it is born owning every slot.</summary>
    public static ShardId First { get; } = new(1);

    /// <summary>The node begins its shard, rather than get a seat in it.</summary>
    public bool IsFirst => Number == 1;

    /// <summary>What the node is called: its shard's number and its own, such as <c>2-1</c>.</summary>
    public NodeId Name => NameOf(Shard, Number);

    /// <summary>What a node of a shard is called.</summary>
    public static NodeId NameOf(ShardId shard, int number) => new($"{shard.Value}-{number}");
}
