using Flotilla.Node.Cluster;
using Flotilla.Raft;
using Flotilla.Topology.Descriptors;

namespace Flotilla.Node.Hosting;

/// <summary>
/// Has the replicas of retired shards taken away, some time after this node has learned that they are retired: by its own log, or by
/// gossip, as a node does that was down meanwhile. Until then they answer what was asked before: where slots have gone, and what those who watch lack.
/// </summary>
/// <remarks>
/// Why nothing is lost. A shard retires by an entry of its own log that has an effect only if it owns no slot and owes nobody an
/// outcome, and its leader tells of it once that is applied, so it is committed. Nothing can change a retired shard. So a replica may
/// go whatever it has applied itself, and whether or not the others know yet: those that are left and do not know have no majority, or they
/// elect one that has the entry, which tells of it again.
/// </remarks>
/// <param name="cluster">What is retired.</param>
/// <param name="host">The replicas.</param>
/// <param name="patience">How long they stay.</param>
/// <param name="fatal">The node can't go on.</param>
internal sealed class RetiredShards(ClusterState cluster, ReplicaHost host, TimeSpan patience, Action<Exception> fatal) : IAsyncDisposable
{
    private static readonly TimeSpan Period = TimeSpan.FromSeconds(1);

    private readonly Dictionary<ShardKey, Instant> _since = [];
    private readonly CancellationTokenSource _stop = new();
    private Task _looking = Task.CompletedTask;

    /// <summary>Starts to look.</summary>
    public void Start() => _looking = Task.Run(LookAsync);

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _looking;
        _stop.Dispose();
    }

    private async Task LookAsync()
    {
        using var timer = new PeriodicTimer(Period);
        try
        {
            while (await timer.WaitForNextTickAsync(_stop.Token))
            {
                Look(NodeClock.Now);
            }
        }
        catch (OperationCanceledException)
        {
            // The node is stopping: what is left goes after its next start.
        }
        catch (Exception e)
        {
            fatal(new NodeFailedException($"What removes retired shards met a state that must not be ({e.GetType().Name}: {e.Message}). The node stops. Start it again, and report this with the log.", e));
        }
    }

    private void Look(Instant now)
    {
        foreach (var hosted in host.Replicas)
        {
            var key = new ShardKey(hosted.Genesis.Shard, hosted.Genesis.Group.Value);
            if (!cluster.IsRetired(key))
            {
                continue;
            }

            if (!_since.TryGetValue(key, out var since))
            {
                _since.Add(key, since = now);
            }

            if (now.MsSince(since) >= patience.TotalMilliseconds)
            {
                host.TakeAway(hosted);
            }
        }
    }
}
