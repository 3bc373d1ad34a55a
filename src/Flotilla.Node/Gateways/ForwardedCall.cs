using Flotilla.Node.Cluster;
using Flotilla.Node.Loops;
using Flotilla.Node.Peers;
using Flotilla.Raft;
using Flotilla.Shards;
using Flotilla.Wire.Peers;

namespace Flotilla.Node.Gateways;

/// <summary>A call of another node's gateway at a replica here: the loop's answer goes back on the stream that it came on. Pooled.</summary>
internal sealed class ForwardedCall : Call
{
    private static readonly ObjectPool<ForwardedCall> Pool = new(static () => new ForwardedCall(), 4096);

    private PeerSession _session = null!;
    private ShardRoute _route = null!;
    private ClusterState _cluster = null!;
    private ulong _id;

    /// <summary>A call that waits for a loop's answer.</summary>
    public static ForwardedCall Rent(PeerSession session, ShardRoute route, ClusterState cluster, in CallRequest request, Instant deadline)
    {
        var call = Pool.Rent();
        call._session = session;
        call._route = route;
        call._cluster = cluster;
        call._id = request.Id;
        call.Kind = request.Kind;
        call.Command = request.Kind == CallKind.Get ? new Command(default, request.Key, default, default, 0, 0) : request.Command;
        call.Scan = request.Scan;
        call.Stale = request.Stale;
        call.Deadline = deadline;
        return call;
    }

    /// <inheritdoc/>
    public override void Complete(in CommandResult result, string? detail)
    {
        // The hint costs nothing to send and matters only to those who were not served.
        var leader = result.Code == ResultCode.NotLeader ? _route.Leader.Leader : default;
        Finish(new CallReply(_id, result, null, leader, _cluster.HttpOf(leader), detail));
    }

    /// <inheritdoc/>
    public override void Complete(ScanPage page) => Finish(new CallReply(_id, default, page, default, null, null));

    private void Finish(in CallReply reply)
    {
        var session = _session;
        Command = default;
        Scan = default;
        _session = null!;
        Pool.Return(this);
        session.Reply(reply);
    }
}
