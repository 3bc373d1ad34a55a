using Flotilla.Contracts;
using Flotilla.Node.Cluster;
using Flotilla.Raft;
using Flotilla.Topology;
using Flotilla.Wire.Peers;
using Microsoft.Extensions.Logging;

namespace Flotilla.Node.Members;

/// <summary>What a process of one shard looks at.</summary>
/// <param name="IsHosted">A replica of the shard is here, whatever became of its seat.</param>
/// <param name="KnowsAll">Another node has confirmed that this one knows what that one knows.</param>
/// <param name="Bear">Has a shard born here.</param>
/// <param name="Changes">Asks for a seat.</param>
internal sealed record OwnShardView(Func<bool> IsHosted, Func<bool> KnowsAll, Func<ShardId, (ChangeReply Reply, string? Detail)> Bear, IClusterChanges Changes);

/// <summary>
/// Brings a process of one shard to its shard, once the process belongs to a cluster: its first node has the shard born, another one that
/// was started with <c>--join</c> asks for a seat in it. Looks at what is durable alone, so that it goes on after a crash wherever that was: until
/// there is a replica here. Done then for ever: a replica that was removed stays, so that nobody who was sent away comes back by himself.
/// </summary>
/// <remarks>
/// The first node asks a cluster that it has just entered whether the shard is there already before it has it born: a directory that was begun
/// anew is no second beginning of the shard. What it does not hear of in time would be another group under the same number, which
/// owns nothing and which everybody reports.
/// </remarks>
/// <param name="single">The process.</param>
/// <param name="rpc">Where others reach it.</param>
/// <param name="asked">It was told to enter a cluster, by <c>--join</c>.</param>
/// <param name="cluster">What is known here.</param>
/// <param name="around">The rest.</param>
/// <param name="log">Where to say what it waits for.</param>
/// <param name="fatal">The node can't go on.</param>
internal sealed class OwnShard(SingleShard single, HostPort rpc, bool asked, ClusterState cluster, OwnShardView around, ILogger log, Action<Exception> fatal) : Looker("What brings a process to its shard", fatal)
{
    private static readonly TimeSpan Period = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan SeatPatience = TimeSpan.FromSeconds(5);

    private string? _said;

    /// <inheritdoc/>
    protected override async ValueTask<TimeSpan?> LookAsync(CancellationToken stop)
    {
        if (around.IsHosted())
        {
            return null;
        }

        if (around.KnowsAll())
        {
            await StepAsync(stop);
        }

        return Period;
    }

    private async Task StepAsync(CancellationToken stop)
    {
        var isKnown = cluster.Table.Of(single.Shard) is not null;
        if (!isKnown && cluster.IsRetired(single.Shard))
        {
            Say("the shard was removed, and a number is not used twice: start the process as one of a shard with another number");
        }
        else if (isKnown && asked)
        {
            var answer = await around.Changes.AddNodeAsync(single.Name, rpc, ShardChoice.One(single.Shard), SeatPatience).WaitAsync(stop);
            if (answer.Code is not (ChangeCode.Done or ChangeCode.UnderWay))
            {
                Say(answer.Detail ?? answer.Code.ToString());
            }
        }
        else if (isKnown)
        {
            Say(single.IsFirst
                ? $"the shard exists already, and this data directory is new, so it can't begin it. Take the old seat away and give this node one: flotilla remove-node {single.Name}, then curl -d 'nodeid={single.Number}&addr={rpc}' http://HOST:PORT/raft/join at another node of the shard"
                : $"it waits for a seat: curl -d 'nodeid={single.Number}&addr={rpc}' http://HOST:PORT/raft/join at another node of the shard");
        }
        else if (single.IsFirst && (asked || single.Peers.Count > 0))
        {
            var (reply, detail) = around.Bear(single.Shard);
            if (reply.Code != ChangeCode.Done)
            {
                Say(detail ?? reply.Code.ToString());
            }
        }
        else
        {
            Say("nobody knows the shard: start its first node, or add it with /addshard");
        }
    }

    private void Say(string reason)
    {
        if (!string.Equals(_said, reason, StringComparison.Ordinal))
        {
            _said = reason;
            log.OwnShardWaits(single.Shard, single.Name, reason);
        }
    }
}
