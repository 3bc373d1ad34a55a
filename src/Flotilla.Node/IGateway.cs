using Flotilla.Raft;
using Flotilla.Shards;
using Flotilla.Topology;
using Flotilla.Topology.Descriptors;

namespace Flotilla.Node;

/// <summary>
/// What every door calls: takes a client's command, finds the shard and its leader, forwards, tries again such that a write
/// takes effect once, and answers definitely or with <see cref="ResultCode.Indeterminate"/>. Thread-safe; never throws for an
/// outcome that a client can meet, cancellation included: a write whose caller went away goes on.
/// </summary>
public interface IGateway
{
    /// <summary>Executes a write: a plain one, or one under an idempotency key (<see cref="Once.ByKey"/>, of whose terms only a shorter life counts).</summary>
    ValueTask<Answer> ExecuteAsync(Command command, CallOptions options);

    /// <summary>Reads one record.</summary>
    ValueTask<Answer> GetAsync(ReadOnlyMemory<byte> key, CallOptions options);

    /// <summary>An ordered page over all shards: records in key order and, if there may be more, the key to go on from (inclusive).</summary>
    ValueTask<ScanAnswer> ScanAsync(ScanRequest request, CallOptions options);

    /// <summary>
    /// Reads several records at one moment, in the order of their keys here; one that is not there is left out. All must be of one shard
    /// (<see cref="ResultCode.CrossShard"/>); those with one hash tag are. Next is never set.
    /// </summary>
    /// <param name="keys">1 to <see cref="ScanRequest.MaxKeys"/>.</param>
    /// <param name="options">As for a get.</param>
    ValueTask<ScanAnswer> GetManyAsync(IReadOnlyList<ReadOnlyMemory<byte>> keys, CallOptions options);

    /// <summary>What this process knows of the cluster, at this moment.</summary>
    ClusterView View { get; }
}

/// <summary>How to carry out one call.</summary>
/// <param name="Forward">False: if this node does not lead the shard, answer NotLeader with the hint instead of forwarding.</param>
/// <param name="Stale">Reads only: serve what a local replica has applied (any replica's, if none is here).</param>
/// <param name="TimeoutMs">The whole call's time; afterwards NoQuorum if certainly nothing was written, else Indeterminate. 0: the node's default (5000).</param>
/// <param name="IsRetry">Only for writes under an idempotency key: the client has sent it before and does not know what became of it. So no refusal is answered, which could only speak of this time: the result, or Indeterminate.</param>
public readonly record struct CallOptions(bool Forward, bool Stale, int TimeoutMs, bool IsRetry = false)
{
    /// <summary>Forward, linearizable, default time.</summary>
    public static CallOptions Default => new(true, false, 0);
}

/// <summary>The answer to a write or a get.</summary>
/// <param name="Result">The result.</param>
/// <param name="Shard">The shard asked.</param>
/// <param name="Leader">Who leads it, as far as known: the hint for NotLeader. None if unknown.</param>
/// <param name="LeaderHttp">The leader's HTTP address (<c>HOST:PORT</c>), or null.</param>
/// <param name="Detail">For an error: what happened in words a user understands, or null.</param>
public readonly record struct Answer(CommandResult Result, ShardId Shard, NodeId Leader, string? LeaderHttp, string? Detail)
{
    /// <summary>How the shard replicates, as far as this process knows at this moment; null while it knows no such shard.</summary>
    public ShardMode? Mode { get; init; }

    /// <summary>It comes from what some replica had applied, however old; else it is linearizable.</summary>
    public bool IsStale { get; init; }
}

/// <summary>The answer to a scan. For a code other than Ok the rest is as in <see cref="Answer"/>.</summary>
public sealed record ScanAnswer(ResultCode Code, IReadOnlyList<Data.Record> Records, ReadOnlyMemory<byte>? Next, ShardId Shard, NodeId Leader, string? LeaderHttp, string? Detail);

/// <summary>What a process knows of the cluster: an immutable snapshot.</summary>
/// <param name="Node">This node's id; for a router its name.</param>
/// <param name="IsRouter">The process has no replicas.</param>
/// <param name="ClusterId">The cluster.</param>
/// <param name="Nodes">All nodes, ordered by id.</param>
/// <param name="Shards">All shards, ordered by number.</param>
/// <param name="Local">The replicas hosted here, ordered by shard.</param>
/// <param name="AgeMs">Milliseconds since the oldest part was learned; 0 for a node that hosts everything it knows.</param>
/// <param name="Warnings">What is amiss at this process although it serves, each in words for an operator; null or empty if nothing is.</param>
public sealed record ClusterView(NodeId Node, bool IsRouter, ulong ClusterId, IReadOnlyList<NodeView> Nodes, IReadOnlyList<ShardView> Shards, IReadOnlyList<ReplicaView> Local, long AgeMs, IReadOnlyList<string>? Warnings = null);

/// <summary>A node. Addresses are <c>HOST:PORT</c>; null if not known yet, or off.</summary>
public sealed record NodeView(NodeId Node, string? Http, string Rpc, string? Resp, bool Alive);

/// <summary>A shard, as far as known here.</summary>
/// <param name="Shard">Its number.</param>
/// <param name="State">joining, active, leaving or retired.</param>
/// <param name="Mode">The replication mode.</param>
/// <param name="Leader">None while unknown.</param>
/// <param name="Term">The highest term heard of.</param>
/// <param name="Voters">Node ids.</param>
/// <param name="Learners">Node ids.</param>
/// <param name="InSync">Node ids.</param>
/// <param name="Ranges">The slots owned, as inclusive ranges, in order.</param>
/// <param name="Version">The descriptor's version, as text.</param>
/// <param name="Moves">Slots on their way from it and to it; null or empty for none. Of this moment at its leader, some seconds old elsewhere.</param>
public sealed record ShardView(ShardId Shard, string State, string Mode, NodeId Leader, Term Term, IReadOnlyList<NodeId> Voters, IReadOnlyList<NodeId> Learners, IReadOnlyList<NodeId> InSync, IReadOnlyList<(int First, int Last)> Ranges, string Version, IReadOnlyList<MoveView>? Moves = null);

/// <summary>What a replica is to its group.</summary>
public enum Standing
{
    /// <summary>It votes.</summary>
    Voter = 0,

    /// <summary>It receives the log, or is about to, and does not vote yet.</summary>
    Learner = 1,

    /// <summary>It was removed: it stays as it is, and takes part again if it is given a seat.</summary>
    Removed = 2,
}

/// <summary>
/// A replica hosted here. Not <paramref name="Admitted"/>: it may not vote yet; with <paramref name="SeatIsTaken"/> because another data
/// directory holds its seat, else because a first contact with the nodes in <paramref name="Awaited"/> (null for none) is still to come.
/// <paramref name="Voters"/> and <paramref name="Learners"/> are those of the newest configuration that it knows to be committed.
/// <paramref name="Slots"/> is how many it owns by what is applied here; <paramref name="Moves"/> are the shard's, null unless this replica leads.
/// </summary>
public sealed record ReplicaView(ShardId Shard, Role Role, Term Term, NodeId Leader, LogIndex CommitIndex, LogIndex LastApplied, LogIndex LastLogIndex, LogIndex SnapshotIndex, IReadOnlyList<NodeId> Voters, IReadOnlyList<NodeId> Learners, bool Admitted, long Keys, long Bytes, bool SeatIsTaken = false, LogIndex LogBase = default, IReadOnlyList<NodeId>? Awaited = null, Standing Standing = Standing.Voter, int Slots = 0, IReadOnlyList<MoveView>? Moves = null)
{
    /// <summary>Its group has nothing to do: heartbeats of nodes stand in for its own.</summary>
    public bool IsQuiet { get; init; }
}
