using Flotilla.Contracts;
using Flotilla.Raft;
using Flotilla.Topology;
using Flotilla.Topology.Descriptors;
using Flotilla.Wire.Peers;

namespace Flotilla.Node;

/// <summary>
/// What doors call for an operator: changes of who belongs to shards, and the like. Each finds the shards' leaders, asks them,
/// asks again while they move, and waits until it is done or <c>patience</c> is over; then what was begun goes on by itself.
/// All are idempotent: to learn how a change stands, ask for it again. Thread-safe; never throws for an outcome that a caller can meet.
/// </summary>
public interface IClusterChanges
{
    /// <summary>Makes a node a voter, as a learner first.</summary>
    /// <param name="node">The node; it must run, and be of this cluster, or wait to be added to one.</param>
    /// <param name="address">Its RPC address; null if the cluster knows it.</param>
    /// <param name="shards">Of which shards.</param>
    /// <param name="patience">How long to wait.</param>
    Task<ChangeAnswer> AddNodeAsync(NodeId node, HostPort? address, ShardChoice shards, TimeSpan patience);

    /// <summary>Takes a node's seats away, those of the data directory that has them now.</summary>
    /// <param name="node">The node, dead or alive.</param>
    /// <param name="shards">Of which shards; here <see cref="ShardChoice.Hosted"/> means all.</param>
    /// <param name="patience">How long to wait.</param>
    Task<ChangeAnswer> RemoveNodeAsync(NodeId node, ShardChoice shards, TimeSpan patience);

    /// <summary>Has another voter lead a shard: <paramref name="node"/>, or if none is named whoever is most caught up.</summary>
    Task<ChangeAnswer> TransferAsync(ShardId shard, NodeId node, TimeSpan patience);

    /// <summary>Has a shard born: empty, joining, with one replica. It gets its others, turns active and takes its slots by itself.</summary>
    /// <param name="shard">Its number, never used before.</param>
    /// <param name="address">The HTTP or RPC address of the node to bear it; null for whichever has the least.</param>
    Task<ShardAnswer> AddShardAsync(ShardId shard, HostPort? address);

    /// <summary>Has a shard hand its slots to the others and retire then, which goes on by itself.</summary>
    Task<ShardAnswer> RemoveShardAsync(ShardId shard, TimeSpan patience);

    /// <summary>Has shards replicate in another mode (docs/modes.md).</summary>
    /// <param name="mode">The mode.</param>
    /// <param name="shards">Of which shards; null for all.</param>
    /// <param name="patience">How long to wait.</param>
    Task<ChangeAnswer> SetModeAsync(ShardMode mode, IReadOnlyCollection<ShardId>? shards, TimeSpan patience);

    /// <summary>Has the leaders take snapshots of all that they have applied.</summary>
    Task<ChangeAnswer> SnapshotAsync(ShardChoice shards, TimeSpan patience);
}

/// <summary>Of which shards is spoken.</summary>
/// <param name="Only">This one alone, or null.</param>
/// <param name="HostedOnly">With no <paramref name="Only"/>: those of which the node asked hosts a replica, or all if it hosts none.</param>
public readonly record struct ShardChoice(ShardId? Only, bool HostedOnly)
{
    /// <summary>Every shard.</summary>
    public static ShardChoice All => default;

    /// <summary>Every shard that the node asked hosts.</summary>
    public static ShardChoice Hosted => new(null, true);

    /// <summary>One shard.</summary>
    public static ShardChoice One(ShardId shard) => new(shard, false);
}

/// <summary>How a change of one shard stands.</summary>
/// <param name="Shard">The shard.</param>
/// <param name="Code">In short.</param>
/// <param name="Detail">In words, or null.</param>
public sealed record ShardProgress(ShardId Shard, ChangeCode Code, string? Detail);

/// <summary>How the birth or the end of a shard stands.</summary>
/// <param name="Code">Done if it has begun; else why not.</param>
/// <param name="Shard">The shard.</param>
/// <param name="State">Its state now: joining, leaving or retired; null if nothing was changed.</param>
/// <param name="Node">Where it is born; none for a removal.</param>
/// <param name="Detail">In words.</param>
public sealed record ShardAnswer(ChangeCode Code, ShardId Shard, string? State, NodeId Node, string? Detail);

/// <summary>How a change stands.</summary>
/// <param name="Code">Done if it is in every shard; else the first refusal, or that it is under way.</param>
/// <param name="Shards">Shard by shard, in order.</param>
/// <param name="Detail">For a refusal: why, and what to do.</param>
public sealed record ChangeAnswer(ChangeCode Code, IReadOnlyList<ShardProgress> Shards, string? Detail);
