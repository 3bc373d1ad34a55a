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
internal sealed class RetiredShards(ClusterState cluster, ReplicaHost host, TimeSpan patience, Action<Exception> fatal) : Looker("What removes retired shards", fatal)
{
    private static readonly TimeSpan Period = TimeSpan.FromSeconds(1);

    private readonly Dictionary<ShardKey, Instant> _since = [];

    /// <inheritdoc/>
    protected override ValueTask<TimeSpan?> LookAsync(CancellationToken stop)
    {
        var now = NodeClock.Now;
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

        return new(Period);
    }
}
