using System.Collections.Concurrent;
using Flotilla.Contracts;
using Flotilla.Node;
using Flotilla.Raft;
using Flotilla.Topology;
using Flotilla.Topology.Descriptors;
using Flotilla.Wire.Peers;

namespace Flotilla.Server.Tests.Fakes;

/// <summary>Answers every change alike, and remembers what was asked.</summary>
internal sealed class FakeChanges : IClusterChanges
{
    public ConcurrentQueue<string> Asked { get; } = new();

    public ChangeAnswer Answer { get; set; } = new(ChangeCode.Done, [new ShardProgress(new ShardId(1), ChangeCode.Done, "n4 votes")], null);

    public Task<ChangeAnswer> AddNodeAsync(NodeId node, HostPort? address, ShardChoice shards, TimeSpan patience) => Note($"add {node} at {address?.ToString() ?? "?"} {Show(shards)} {patience.TotalSeconds:0.#}");

    public Task<ChangeAnswer> RemoveNodeAsync(NodeId node, ShardChoice shards, TimeSpan patience) => Note($"remove {node} {Show(shards)} {patience.TotalSeconds:0.#}");

    public Task<ChangeAnswer> TransferAsync(ShardId shard, NodeId node, TimeSpan patience) => Note($"transfer {shard} to {(node.IsNone ? "anyone" : node)} {patience.TotalSeconds:0.#}");

    public Task<ChangeAnswer> SetModeAsync(ShardMode mode, IReadOnlyCollection<ShardId>? shards, TimeSpan patience) => Note($"mode {mode} of {(shards is null ? "all" : string.Join(',', shards))} {patience.TotalSeconds:0.#}");

    public Task<ChangeAnswer> SnapshotAsync(ShardChoice shards, TimeSpan patience) => Note($"snapshot {Show(shards)} {patience.TotalSeconds:0.#}");

    public ShardAnswer Life { get; set; } = new(ChangeCode.Done, new ShardId(4), "joining", new NodeId("n2"), "shard 4 is born at n2");

    public Task<ShardAnswer> AddShardAsync(ShardId shard, HostPort? address)
    {
        Asked.Enqueue($"add shard {shard} at {address?.ToString() ?? "?"}");
        return Task.FromResult(Life);
    }

    public Task<ShardAnswer> RemoveShardAsync(ShardId shard, TimeSpan patience)
    {
        Asked.Enqueue($"remove shard {shard}");
        return Task.FromResult(Life);
    }

    private static string Show(ShardChoice shards) => shards.Only is { } one ? $"shard {one}" : shards.HostedOnly ? "hosted" : "all";

    private Task<ChangeAnswer> Note(string what)
    {
        Asked.Enqueue(what);
        return Task.FromResult(Answer);
    }
}
