using System.Runtime.CompilerServices;
using Flotilla.Node.Cluster;
using Flotilla.Node.Loops;
using Flotilla.Node.Peers;
using Flotilla.Raft;
using Flotilla.Shards;
using Flotilla.Wire.Peers;

namespace Flotilla.Node.Gateways;

/// <summary>One attempt at an <see cref="Ask"/>: at the replica here, or at another node. No retries.</summary>
internal static class Attempts
{
    /// <summary>How often a call may be forwarded from node to node.</summary>
    public const int HopLimit = 3;

    /// <summary>Asks the replica of this node.</summary>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public static async ValueTask<Outcome> LocalAsync(HostedReplica local, Ask ask, NodeId leader)
    {
        if (ask.Kind == CallKind.Scan)
        {
            var scan = new LocalScan(ask.Page, ask.Stale, ask.Deadline);
            var taken = local.Loop.TrySubmit(local, scan);
            return taken == Posted.Taken ? new Outcome(default, await scan.Task, leader, null) : NotTaken(taken, leader);
        }

        var call = ask.IsWrite ? LocalCall.RentExecute(ask.Command, ask.Deadline) : LocalCall.RentGet(ask.Command.Key, ask.Stale, ask.Deadline);
        var posted = local.Loop.TrySubmit(local, call);
        if (posted != Posted.Taken)
        {
            call.ReturnUnused();
            return NotTaken(posted, leader);
        }

        var (result, detail) = await call.AsValueTask();
        return new Outcome(result, null, leader, detail ?? result.Code switch
        {
            ResultCode.Overloaded => "too many calls wait for this shard; nothing was written, try again a little later",
            ResultCode.Indeterminate => "the write is in the leader's log, but leadership was lost or time ran out before it was known to be committed; it may still take effect",
            _ => null,
        });
    }

    /// <summary>Asks another node.</summary>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public static async ValueTask<Outcome> RemoteAsync(PeerSession session, ShardRoute route, Ask ask, int hops, bool anyReplica)
    {
        var timeoutMs = (int)Math.Clamp(ask.Deadline.MsSince(NodeClock.Now), 1, 600_000);
        var request = ask.Kind switch
        {
            CallKind.Command => CallRequest.Write(0, route.Shard, hops, timeoutMs, ask.Command),
            CallKind.Get => CallRequest.Get(0, route.Shard, hops, timeoutMs, ask.Command.Key, ask.Stale),
            _ => CallRequest.ScanPage(0, route.Shard, hops, timeoutMs, ask.Page, ask.Stale),
        };
        var call = ForwardCall.Rent(route, anyReplica, ask.Deadline);
        var answer = call.AsValueTask();
        session.Forward(call, request);
        var (outcome, reply) = await answer;
        var leader = route.Leader.Leader;
        return outcome switch
        {
            ForwardOutcome.Answered => new Outcome(reply.Result, reply.Page, reply.Leader.IsNone ? leader : reply.Leader, reply.Detail),
            ForwardOutcome.NotSent => Outcome.Of(ResultCode.NotLeader, $"the connection to node {session.Remote.Node} was not there to send the call on", leader),
            _ => Outcome.Of(
                ResultCode.Indeterminate,
                $"the call was sent to node {session.Remote.Node}, which did not answer: its connection broke, it lost leadership or time ran out",
                leader),
        };
    }

    private static Outcome NotTaken(Posted posted, NodeId leader) => posted == Posted.Full
        ? Outcome.Of(ResultCode.Overloaded, "too many calls wait at this node; nothing was written, try again a little later", leader)
        : Outcome.Of(ResultCode.NotLeader, "this node is stopping", leader);
}
