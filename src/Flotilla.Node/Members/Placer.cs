using Flotilla.Node.Cluster;
using Flotilla.Node.Loops;
using Flotilla.Node.Peers;
using Flotilla.Raft;
using Flotilla.Shards.Placement;
using Microsoft.Extensions.Logging;

namespace Flotilla.Node.Members;

/// <summary>Asks <see cref="EmptySeats"/> once a second, and gives the seat that it names.</summary>
internal sealed class Placer(ClusterState cluster, PeerTransport transport, int target, ILogger log, Action<Exception> fatal) : Looker("What fills empty seats", fatal)
{
    private static readonly TimeSpan Period = TimeSpan.FromSeconds(1);

    /// <inheritdoc/>
    protected override ValueTask<TimeSpan?> LookAsync(CancellationToken stop)
    {
        Look();
        return new(Period);
    }

    private void Look()
    {
        var shards = cluster.Table.Shards;
        var led = new List<LedShard>();
        foreach (var route in shards)
        {
            if (route.Local is { View.Role: Role.Leader } local)
            {
                var (configuration, isCommitted) = local.Configuration;
                led.Add(new LedShard(route.Shard, configuration, isCommitted && !configuration.IsJoint));
            }
        }

        if (led.Count == 0)
        {
            return;
        }

        ShardSeats[] seats = [.. shards.Select(static r => new ShardSeats(r.Shard, [.. r.Members.Voters, .. r.Members.Learners], r.Members.Removed))];
        var living = transport.Links
            .Where(link => !link.IsRouter && transport.IsAlive(link.Peer) && !cluster.IsReluctant(link.Peer))
            .Select(static link => link.Session?.Remote).OfType<Wire.Peers.Hello>()
            .Where(static hello => hello.Rpc is not null && hello.OnlyShard is null)
            .Select(static hello => new LivingNode(hello.Node, hello.Incarnation, hello.Rpc!)).ToArray();
        if (EmptySeats.Next(led, seats, living, target) is var (shard, node) && cluster.Table.Of(shard) is { Local: { } replica })
        {
            replica.Loop.Inbox.Post(LoopInput.ForAct(replica, (leader, clock) =>
            {
                if (leader.AddMember(node.Node, node.Incarnation, node.Address, clock) == ChangeOutcome.Accepted)
                {
                    log.FillsSeat(shard, node.Node, target);
                }
            }));
        }
    }
}
