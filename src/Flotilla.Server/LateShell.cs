using Flotilla.Contracts;
using Flotilla.Node;
using Flotilla.Raft;
using Flotilla.Shards;
using Flotilla.Topology;
using Flotilla.Topology.Descriptors;

namespace Flotilla.Server;

/// <summary>
/// Stands in for a node's shell at the doors of a node that waits to be added to a cluster, and passes everything on once there
/// is one. The doors let no call through before the node has entered a cluster; one that comes in the moment between waits. Thread-safe.
/// </summary>
/// <param name="before">What is to be seen until there is a shell.</param>
internal sealed class LateShell(Func<ClusterView> before) : IGateway, IClusterChanges, IBackups, IWatches
{
    private readonly TaskCompletionSource<NodeShell> _arrived = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private IGateway? _gateway;

    /// <inheritdoc/>
    public ClusterView View => Gateway?.View ?? before();

    /// <summary>The shell, once there is one.</summary>
    public Task<NodeShell> Arrived => _arrived.Task;

    /// <summary>Here it is.</summary>
    public void Arrive(NodeShell shell)
    {
        Volatile.Write(ref _gateway, shell.Gateway);
        _arrived.SetResult(shell);
    }

    // From then on a call costs one more hop and no task.
    private IGateway? Gateway => Volatile.Read(ref _gateway);

    /// <inheritdoc/>
    public ValueTask<Answer> ExecuteAsync(Command command, CallOptions options) => Gateway?.ExecuteAsync(command, options) ?? Later(gateway => gateway.ExecuteAsync(command, options));

    /// <inheritdoc/>
    public ValueTask<Answer> GetAsync(ReadOnlyMemory<byte> key, CallOptions options) => Gateway?.GetAsync(key, options) ?? Later(gateway => gateway.GetAsync(key, options));

    /// <inheritdoc/>
    public ValueTask<ScanAnswer> ScanAsync(ScanRequest request, CallOptions options) => Gateway?.ScanAsync(request, options) ?? Later(gateway => gateway.ScanAsync(request, options));

    /// <inheritdoc/>
    public ValueTask<ScanAnswer> GetManyAsync(IReadOnlyList<ReadOnlyMemory<byte>> keys, CallOptions options) => Gateway?.GetManyAsync(keys, options) ?? Later(gateway => gateway.GetManyAsync(keys, options));

    /// <inheritdoc/>
    public async Task<ChangeAnswer> AddNodeAsync(NodeId node, HostPort? address, ShardChoice shards, TimeSpan patience) =>
        await (await Arrived).Changes.AddNodeAsync(node, address, shards, patience);

    /// <inheritdoc/>
    public async Task<ChangeAnswer> RemoveNodeAsync(NodeId node, ShardChoice shards, TimeSpan patience) =>
        await (await Arrived).Changes.RemoveNodeAsync(node, shards, patience);

    /// <inheritdoc/>
    public async Task<ChangeAnswer> TransferAsync(ShardId shard, NodeId node, TimeSpan patience) =>
        await (await Arrived).Changes.TransferAsync(shard, node, patience);

    /// <inheritdoc/>
    public async Task<ChangeAnswer> SnapshotAsync(ShardChoice shards, TimeSpan patience) =>
        await (await Arrived).Changes.SnapshotAsync(shards, patience);

    /// <inheritdoc/>
    public async Task<ChangeAnswer> SetModeAsync(ShardMode mode, IReadOnlyCollection<ShardId>? shards, TimeSpan patience) =>
        await (await Arrived).Changes.SetModeAsync(mode, shards, patience);

    /// <inheritdoc/>
    public async Task<ShardAnswer> AddShardAsync(ShardId shard, HostPort? address) => await (await Arrived).Changes.AddShardAsync(shard, address);

    /// <inheritdoc/>
    public async Task<ShardAnswer> RemoveShardAsync(ShardId shard, TimeSpan patience) => await (await Arrived).Changes.RemoveShardAsync(shard, patience);

    /// <inheritdoc/>
    public async ValueTask<BackupAnswer> TakeAsync(ShardId shard) => await (await Arrived).Backups.TakeAsync(shard);

    /// <inheritdoc/>
    public async ValueTask<WatchOpening> OpenAsync(WatchRequest request, CancellationToken cancellation) =>
        await (await Arrived.WaitAsync(cancellation)).Watches.OpenAsync(request, cancellation);

    private async ValueTask<T> Later<T>(Func<IGateway, ValueTask<T>> call) => await call((await Arrived).Gateway);
}
