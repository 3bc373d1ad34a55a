using Flotilla.Node.Cluster;
using Flotilla.Node.Loops;
using Flotilla.Raft;
using Flotilla.Shards.Placement;
using Flotilla.Topology;
using Microsoft.Extensions.Logging;

namespace Flotilla.Node.Leading;

/// <summary>Asks <see cref="LeaderSpread"/> once a second, and hands over what it names.</summary>
internal sealed class LeaderSpreader(ClusterState cluster, ILogger log, Action<Exception> fatal) : Looker("What spreads leadership over the nodes", fatal)
{
    private static readonly TimeSpan Period = TimeSpan.FromSeconds(1);

    /// <summary>Entries that the other one may lack: under load some are always on their way.</summary>
    private const ulong MaxLag = 128;

    private readonly LeaderSpread _spread = new();

    /// <inheritdoc/>
    protected override ValueTask<TimeSpan?> LookAsync(CancellationToken stop)
    {
        var meant = LeadershipPlan.Of(cluster.Table.Shards.Where(static r => r.Voters.Count > 0).Select(static r => (r.Shard, r.First, r.Voters)));
        if (_spread.Next(Led(meant), NodeClock.Now) is { } shard && cluster.Table.Of(shard) is { Local: { } local })
        {
            log.SpreadsLeaders(shard, meant[shard]);
            local.Loop.Inbox.Post(LoopInput.ForTransfer(local, meant[shard]));
        }

        return new(Period);
    }

    private List<(ShardId Shard, bool IsFit)> Led(IReadOnlyDictionary<ShardId, NodeId> meant)
    {
        var led = new List<(ShardId Shard, bool IsFit)>();
        foreach (var route in cluster.Table.Shards)
        {
            if (route.Local is { View.Role: Role.Leader } local && meant.TryGetValue(route.Shard, out var first) && first != cluster.Self)
            {
                led.Add((route.Shard, cluster.IsAlive(first) && !cluster.IsReluctant(first) && local.LagOf(first) <= MaxLag));
            }
        }

        return led;
    }
}
