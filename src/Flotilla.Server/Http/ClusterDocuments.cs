using Flotilla.Contracts.Http;
using Flotilla.Node;
using Flotilla.Raft;

namespace Flotilla.Server.Http;

/// <summary>What a process knows of the cluster, as documents.</summary>
internal static class ClusterDocuments
{
    /// <summary>Answer to <c>/status</c>.</summary>
    public static StatusDocument Status(ClusterView view) =>
        new(view.Node.ToString(), view.IsRouter, view.ClusterId.ToString("x16"), Nodes(view), Shards(view), view.AgeMs, Warnings(view));

    /// <summary>Answer to <c>/config</c>.</summary>
    public static ConfigDocument Config(ClusterView view) => new(Nodes(view), Shards(view));

    /// <summary>Answer to <c>/raft/status</c>.</summary>
    public static RaftStatusDocument RaftStatus(ClusterView view) => new(view.Node.ToString(), Map(view.Local, Replica), Warnings(view));

    /// <summary>A role as clients see it. One who asks whether it would be elected is a candidate to them.</summary>
    public static string RoleName(ReplicaView replica) => replica.Role switch
    {
        _ when replica.Standing == Standing.Removed => "removed",
        Role.Leader => "leader",
        Role.Follower => "follower",
        Role.Learner => "learner",
        _ => "candidate",
    };

    private static IReadOnlyList<string>? Warnings(ClusterView view) => view.Warnings is { Count: > 0 } warnings ? warnings : null;

    private static NodeDocument[] Nodes(ClusterView view) => Map(view.Nodes, node => new NodeDocument(node.Node.ToString(), node.Http, node.Rpc, node.Resp, node.Alive));

    private static ShardDocument[] Shards(ClusterView view) => Map(view.Shards, shard => new ShardDocument(
        shard.Shard.Value,
        shard.State,
        shard.Mode,
        shard.Leader.Value,
        shard.Term.Value,
        Ids(shard.Voters),
        Ids(shard.Learners),
        Ids(shard.InSync),
        shard.Ranges.Sum(range => range.Last - range.First + 1),
        Map(shard.Ranges, range => new[] { range.First, range.Last }),
        shard.Version,
        shard.Moves is { Count: > 0 } moves ? Map(moves, Move) : null));

    private static MoveDocument Move(MoveView move) => new(
        move.Other.Value,
        move.IsIncoming ? "in" : "out",
        move.Stage,
        move.Slots,
        move.Records,
        Known(move.RecordsTotal),
        move.IsIncoming ? null : move.Bytes,
        Known(move.BeganMs));

    private static long? Known(long number) => number == 0 ? null : number;

    private static ReplicaDocument Replica(ReplicaView replica) => new(
        replica.Shard.Value,
        RoleName(replica),
        replica.Term.Value,
        replica.Leader.Value,
        replica.CommitIndex.Value,
        replica.LastApplied.Value,
        replica.LastLogIndex.Value,
        replica.SnapshotIndex.Value,
        Ids(replica.Voters),
        Ids(replica.Learners),
        replica.Admitted,
        replica.Keys,
        replica.Bytes);

    private static string[] Ids(IReadOnlyList<NodeId> nodes) => Map(nodes, node => node.ToString());

    private static TTo[] Map<TFrom, TTo>(IReadOnlyList<TFrom> from, Func<TFrom, TTo> map)
    {
        var to = new TTo[from.Count];
        for (var i = 0; i < to.Length; i++)
        {
            to[i] = map(from[i]);
        }

        return to;
    }
}
