using Flotilla.Node.Cluster;
using Flotilla.Raft;
using Flotilla.Topology;
using Flotilla.Topology.Descriptors;
using Flotilla.Wire.Peers;
using Microsoft.Extensions.Logging;

namespace Flotilla.Node.Members;

/// <summary>What is looked at to give a node its shards.</summary>
/// <param name="BeganHere">The shards that began at this data directory, by genesis or by birth; those that are retired, too.</param>
/// <param name="KnowsAll">Another node has confirmed that this one knows what that one knows.</param>
/// <param name="Bear">Has a shard born here.</param>
internal sealed record NodeShardsView(Func<IReadOnlyList<(ShardId Shard, GroupId Group)>> BeganHere, Func<bool> KnowsAll, Func<ShardId, (ChangeReply Reply, string? Detail)> Bear);

/// <summary>
/// Has as many shards begin at this node as <c>--shards-per-node</c> says, so that a node which is added appears on the ring. What began here stays
/// counted, also when people have removed it; and while the cluster has as many shards as its nodes are meant to bring,
/// nothing is born: a node that comes in the place of another one, or comes back with an empty disk, finds the shards that were brought before.
/// </summary>
/// <remarks>
/// Each takes the next number that nobody has used, as far as is known here. Two nodes that are added at one moment may take the same: then one
/// of the two shards retires (<see cref="SecondBirths"/>), which is heard of late, and another one is born in its place. So this never ends.
/// </remarks>
internal sealed class NodeShards(int target, ClusterState cluster, NodeShardsView around, ILogger log, Action<Exception> fatal) : Looker("What has a node's shards born", fatal)
{
    private static readonly TimeSpan Period = TimeSpan.FromMilliseconds(500);

    private string? _said;

    /// <inheritdoc/>
    protected override ValueTask<TimeSpan?> LookAsync(CancellationToken stop)
    {
        Look();
        return new(Period);
    }

    private void Look()
    {
        if (!around.KnowsAll() || around.BeganHere().Count(shard => !IsReplaced(shard.Shard, shard.Group)) >= target)
        {
            return;
        }

        var view = cluster.View();
        if (view.Shards.Count >= target * view.Nodes.Count)
        {
            return;
        }

        var (reply, detail) = around.Bear(new ShardId(cluster.HighestShard.Value + 1));
        if (reply.Code != ChangeCode.Done && !string.Equals(_said, detail, StringComparison.Ordinal))
        {
            _said = detail;
            log.NodeGetsNoShard(detail ?? reply.Code.ToString());
        }
    }

    /// <summary>It retired since another group has its number.</summary>
    private bool IsReplaced(ShardId shard, GroupId group) =>
        cluster.Table.Of(shard) is { } standing && standing.Group != group && cluster.IsRetired(new ShardKey(shard, group.Value));
}
