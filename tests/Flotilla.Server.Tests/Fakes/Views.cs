using Flotilla.Node;
using Flotilla.Raft;
using Flotilla.Topology;

namespace Flotilla.Server.Tests.Fakes;

/// <summary>Views of a small cluster.</summary>
internal static class Views
{
    private static readonly NodeId[] All = [new("n1"), new("n2"), new("n3")];

    private static readonly MoveView[] Moves =
    [
        new(new ShardId(2), IsIncoming: false, "staging", 64, 1300, 4100, 163_840, 1_763_756_000_123),
        new(new ShardId(3), IsIncoming: true, "ending", 0, 0, 0, 0, 0),
    ];

    public static ClusterView Node(bool leader = true, bool admitted = true) => new(
        new NodeId("n1"),
        IsRouter: false,
        0xABCDEF,
        [.. All.Select((n, i) => new NodeView(n, $"127.0.0.1:{8001 + i}", $"127.0.0.1:{50051 + i}", null, i != 2))],
        [Shard(1, "n1", (0, 5460)) with { Moves = Moves }, Shard(2, null, (5461, 10922)), Shard(3, "n3", (10923, 16000), (16002, 16383))],
        [
            new ReplicaView(new ShardId(1), Role.Leader, new Term(7), new NodeId("n1"), new LogIndex(41), new LogIndex(40), new LogIndex(42), new LogIndex(10), All, [], Admitted: true, Keys: 5, Bytes: 500, Slots: 5461, Moves: Moves),
            new ReplicaView(new ShardId(2), leader ? Role.Follower : Role.PreCandidate, new Term(3), leader ? new NodeId("n2") : default, new LogIndex(1), new LogIndex(1), new LogIndex(1), default, All, [], admitted, 0, 0),
        ],
        AgeMs: 1500);

    public static ClusterView Router(params string?[] leaders) => new(
        new NodeId("router"),
        IsRouter: true,
        0xABCDEF,
        [],
        [.. leaders.Select((leader, i) => Shard(i + 1, leader, (0, 16383)))],
        [],
        AgeMs: 0);

    /// <summary>A node with one shard, as a leader comes and goes.</summary>
    public static ClusterView OneShard(string leader, ulong term, ulong commit = 10) => new(
        new NodeId("n1"),
        IsRouter: false,
        0xABC,
        [.. All.Select((n, i) => new NodeView(n, $"127.0.0.1:{8001 + i}", $"127.0.0.1:{50051 + i}", null, true))],
        [new ShardView(new ShardId(1), "active", "raft", new NodeId(leader), new Term(term), All, [], All, [(0, 16383)], $"{term}.{commit}")],
        [new ReplicaView(new ShardId(1), Role.PreCandidate, new Term(term), new NodeId(leader), new LogIndex(commit), new LogIndex(commit), new LogIndex(commit), default, All, [], Admitted: true, Keys: 5, Bytes: 500)],
        AgeMs: 7);

    private static ShardView Shard(int id, string? leader, params (int First, int Last)[] ranges) =>
        new(new ShardId(id), "active", "raft", leader is null ? default : new NodeId(leader), new Term(7), All, [], All, ranges, "7.41");
}
