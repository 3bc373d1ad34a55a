using Flotilla.Node.Cluster;
using Flotilla.Node.Gateways;
using Flotilla.Node.Loops;
using Flotilla.Raft;
using Flotilla.Shards;
using Flotilla.Shards.Image;
using Flotilla.Topology;
using Flotilla.Wire.Peers;

namespace Flotilla.Node.Backups;

/// <summary>
/// Takes the state of shards from the replicas here. A linearizable read comes first: once it is answered, this replica has
/// applied every write that was acknowledged, by whichever leader, before the read began; and what it has applied it shows.
/// So a follower's state is as good as the leader's.
/// </summary>
internal sealed class BackupServer(ClusterState cluster, TimeSpan timeout) : IBackups
{
    /// <inheritdoc/>
    public async ValueTask<BackupAnswer> TakeAsync(ShardId shard)
    {
        var table = cluster.Table;
        if (table.Shards.FirstOrDefault(r => r.Shard == shard) is not { } route)
        {
            return new BackupAnswer(ResultCode.BadRequest, table.ClusterId, null, default, null, $"There is no shard {shard}; there are {string.Join(", ", table.Shards.Select(static r => r.Shard))}.");
        }

        if (route.Serving is not { } local)
        {
            return Refused(ResultCode.NotLeader, $"this node has no replica of shard {shard} that votes");
        }

        var deadline = NodeClock.Now.PlusMs(timeout.TotalMilliseconds);
        var read = new Ask(CallKind.Scan, default, new ScanRequest(default, default, Limit: 1, MaxBytes: 1), shard, Stale: false, Forward: false, deadline);
        var outcome = await Attempts.LocalAsync(local, read, route.Leader.Leader);
        if (outcome.Code != ResultCode.Ok)
        {
            return Refused(outcome.Code, outcome.Detail ?? $"shard {shard} has no leader that confirms what the replica here has");
        }

        var taken = new TaskCompletionSource<StateImage>(TaskCreationOptions.RunContinuationsAsynchronously);
        if (!local.Loop.Inbox.Post(LoopInput.ForAct(local, (replica, _) => taken.TrySetResult(replica.TakeImage()))))
        {
            return Refused(ResultCode.NotLeader, "this node is stopping");
        }

        try
        {
            // A loop that ends meanwhile never comes to it.
            var image = await taken.Task.WaitAsync(TimeSpan.FromMilliseconds(Math.Max(1, deadline.MsSince(NodeClock.Now))));
            return new BackupAnswer(ResultCode.Ok, table.ClusterId, image, route.Leader.Leader, null, null);
        }
        catch (TimeoutException)
        {
            return Refused(ResultCode.NoQuorum, "time ran out");
        }

        BackupAnswer Refused(ResultCode code, string detail) => new(code, table.ClusterId, null, route.Leader.Leader, cluster.HttpOf(route.Leader.Leader), detail);
    }
}
