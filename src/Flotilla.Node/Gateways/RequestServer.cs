using Flotilla.Node.Cluster;
using Flotilla.Node.Loops;
using Flotilla.Node.Members;
using Flotilla.Node.Peers;
using Flotilla.Node.Watching;
using Flotilla.Raft;
using Flotilla.Shards;
using Flotilla.Topology;
using Flotilla.Wire.Peers;

namespace Flotilla.Node.Gateways;

/// <summary>
/// Serves calls that other nodes forwarded: at the replica here, or, within the hop limit, at the leader that this node
/// can reach and the asker perhaps cannot. Never waits and never retries: that is the part of the gateway that the client
/// spoke to, which alone knows how long.
/// </summary>
internal sealed class RequestServer(ClusterState cluster, PeerTransport transport, ChangeServer changes, WatchServer watches)
{
    /// <summary>Serves one call.</summary>
    public void Serve(PeerSession session, in CallRequest request)
    {
        if (request.Change is { Kind: ChangeKind.BearShard } birth)
        {
            // Its first disk write takes milliseconds, and the stream has others to serve.
            var (id, shard) = (request.Id, request.Shard);
            _ = Task.Run(() => Bear(session, id, shard, birth));
            return;
        }

        if (cluster.Table.OfAny(request.Shard) is not { } route)
        {
            Refuse(session, request, ResultCode.NotLeader, default, $"node {cluster.Self} knows no shard {request.Shard}");
            return;
        }

        var deadline = NodeClock.Now.PlusMs(request.TimeoutMs);
        var leader = route.Leader.Leader;
        if (request.Change is { } change)
        {
            _ = ChangeAsync(session, route, request, change);
        }
        else if (request.Watch is { } watch)
        {
            _ = WatchAsync(session, route, request, watch);
        }
        else if ((leader == cluster.Self ? route.Local : request.IsWrite ? null : route.Serving) is { } local)
        {
            var call = ForwardedCall.Rent(session, route, cluster, request, deadline);
            var posted = local.Loop.TrySubmit(local, call);
            if (posted != Posted.Taken)
            {
                // A loop that has ended has a leader elsewhere, or will have: the asker finds it.
                call.Fail(posted == Posted.Full ? ResultCode.Overloaded : ResultCode.NotLeader);
            }
        }
        else if (request.Hops + 1 < Attempts.HopLimit && leader != cluster.Self && leader != session.Remote.Node && transport.LinkOf(leader)?.Session is { } next)
        {
            _ = RelayAsync(session, next, route, request, deadline);
        }
        else
        {
            Refuse(session, request, ResultCode.NotLeader, leader, null);
        }
    }

    /// <summary>Passes a call on. Never throws, so nobody need wait for it: its answer goes to the asker.</summary>
    private async Task RelayAsync(PeerSession session, PeerSession next, ShardRoute route, CallRequest request, Instant deadline)
    {
        var ask = new Ask(
            request.Kind, request.Kind == CallKind.Get ? new Command(default, request.Key, default, default, 0, 0) : request.Command, request.Scan, request.Shard,
            request.Stale, Forward: true, deadline);
        var outcome = await Attempts.RemoteAsync(next, route, ask, request.Hops + 1, anyReplica: false);
        session.Reply(new CallReply(request.Id, outcome.Result, outcome.Page, outcome.Leader, cluster.HttpOf(outcome.Leader), outcome.Detail));
    }

    /// <summary>Serves an operator's wish if this node leads. Never throws, as above.</summary>
    private async Task ChangeAsync(PeerSession session, ShardRoute route, CallRequest request, ShardChange change)
    {
        var (reply, detail) = route.Local is { } local
            ? await changes.AskAsync(local, change, TimeSpan.FromMilliseconds(request.TimeoutMs))
            : (new ChangeReply(ChangeCode.NotLeader), null);
        session.Reply(new CallReply(request.Id, default, null, route.Leader.Leader, null, detail) { Change = reply });
    }

    /// <summary>Tells one who watches from elsewhere. Never throws, as above.</summary>
    private async Task WatchAsync(PeerSession session, ShardRoute route, CallRequest request, WatchPull watch)
    {
        // A learner may be far behind: it says so by itself.
        var reply = route.Local is { } local
            ? await watches.AnswerAsync(route, local, watch, request.TimeoutMs, CancellationToken.None)
            : WatchReply.Of(PullCode.NotServed);
        session.Reply(new CallReply(request.Id, default, null, route.Leader.Leader, null, null) { Watch = reply });
    }

    /// <summary>Has a shard born here. Never throws, as above.</summary>
    private void Bear(PeerSession session, ulong id, ShardId shard, ShardChange birth)
    {
        var (reply, detail) = birth.Node == cluster.Self
            ? changes.Bear(shard)
            : (new ChangeReply(ChangeCode.WrongNode), $"node {cluster.Self} answers here, not {birth.Node}");
        session.Reply(new CallReply(id, default, null, default, null, detail) { Change = reply });
    }

    private void Refuse(PeerSession session, in CallRequest request, ResultCode code, NodeId leader, string? detail)
    {
        var page = request.Kind == CallKind.Scan ? new ScanPage(code, [], More: false) : null;
        session.Reply(new CallReply(request.Id, CommandResult.Of(code), page, leader, cluster.HttpOf(leader), detail));
    }
}
