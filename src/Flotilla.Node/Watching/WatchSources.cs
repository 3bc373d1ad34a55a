using Flotilla.Node.Cluster;
using Flotilla.Node.Peers;
using Flotilla.Raft;
using Flotilla.Topology.Descriptors;
using Flotilla.Wire.Peers;

namespace Flotilla.Node.Watching;

/// <summary>Asks whichever replica of a shard can answer.</summary>
internal interface IWatchSources
{
    /// <summary>
    /// Asks until a replica has answered Ok or NotYet, or all that can be reached say Compacted. NotServed if <paramref name="deadline"/> has come.
    /// </summary>
    /// <param name="route">The shard.</param>
    /// <param name="pull">The question.</param>
    /// <param name="waitMs">How long a replica may wait for something to answer.</param>
    /// <param name="forward">Ask other nodes too.</param>
    /// <param name="deadline">When to give up; never for one who watches on.</param>
    /// <param name="cancellation">Gives up at once.</param>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    ValueTask<WatchReply> AskAsync(ShardRoute route, WatchPull pull, int waitMs, bool forward, Instant deadline, CancellationToken cancellation);
}

/// <summary>
/// The replica of this node while it knows a leader, for then it learns what is new; else the leader; else whoever votes. A replica that
/// has lost what follows a position (it was restarted, or got a snapshot) is no reason to give up: another may have kept it.
/// </summary>
internal sealed class WatchSources(ClusterState cluster, PeerTransport transport, WatchServer? here) : IWatchSources
{
    private const double MinPauseMs = 4;
    private const double MaxPauseMs = 100;

    /// <summary>The replicas of a retired shard stay for a while, and then are gone for ever: so long after nobody serves it any more they are taken for gone.</summary>
    private const double GoneAfterMs = 2000;

    private static readonly Task<WatchReply> Nobody = Task.FromResult(WatchReply.Of(PullCode.NotServed));

    /// <inheritdoc/>
    public async ValueTask<WatchReply> AskAsync(ShardRoute route, WatchPull pull, int waitMs, bool forward, Instant deadline, CancellationToken cancellation)
    {
        var pauseMs = MinPauseMs;
        var key = new ShardKey(route.Shard, route.Group.Value);
        Instant? goneSince = null;
        while (true)
        {
            cancellation.ThrowIfCancellationRequested();
            var (asked, compacted) = (0, 0);
            foreach (var node in Candidates(route, forward))
            {
                var asking = AskAsync(node, route, pull, waitMs, cancellation);
                if (asking == Nobody)
                {
                    continue;
                }

                var reply = await asking;
                cancellation.ThrowIfCancellationRequested();
                if (reply.Code is PullCode.Ok or PullCode.NotYet)
                {
                    return reply;
                }

                asked++;
                compacted += reply.Code == PullCode.Compacted ? 1 : 0;
            }

            // One that is behind, or did not answer, may have it: not all is lost before all have said so. One that is down
            // has not: when it is up again it keeps what its snapshot does not hold, as the others do.
            if (compacted > 0 && compacted == asked)
            {
                return WatchReply.Of(PullCode.Compacted);
            }

            var now = NodeClock.Now;
            goneSince = cluster.IsRetired(key) ? goneSince ?? now : null;
            if (goneSince is { } since && now.MsSince(since) >= GoneAfterMs)
            {
                return WatchReply.Of(PullCode.Compacted);
            }

            var leftMs = deadline.MsSince(now);
            if (leftMs <= 0)
            {
                return WatchReply.Of(compacted > 0 ? PullCode.Compacted : PullCode.NotServed);
            }

            await route.Leader.Superseded.WaitAsync(TimeSpan.FromMilliseconds(Math.Ceiling(Math.Min(pauseMs, leftMs))), cancellation).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            pauseMs = Math.Min(2 * pauseMs, MaxPauseMs);
        }
    }

    /// <summary>Whom to ask, the best first.</summary>
    private List<NodeId> Candidates(ShardRoute route, bool forward)
    {
        var candidates = new List<NodeId>();
        var leader = route.Leader.Leader;
        var local = here is null ? null : route.Serving;
        var isLocalCurrent = local is { View.Leader.IsNone: false };
        if (isLocalCurrent)
        {
            candidates.Add(cluster.Self);
        }

        if (forward)
        {
            if (!leader.IsNone && leader != cluster.Self)
            {
                candidates.Add(leader);
            }

            foreach (var voter in route.Voters)
            {
                if (voter != leader && voter != cluster.Self)
                {
                    candidates.Add(voter);
                }
            }
        }

        if (local is not null && !isLocalCurrent)
        {
            candidates.Add(cluster.Self);
        }

        return candidates;
    }

    /// <summary>Asks one replica; <see cref="Nobody"/> if there is no way to it.</summary>
    private Task<WatchReply> AskAsync(NodeId node, ShardRoute route, WatchPull pull, int waitMs, CancellationToken cancellation) =>
        node == cluster.Self
            ? route.Local is { } local && here is not null ? here.AnswerAsync(route, local, pull, waitMs, cancellation) : Nobody
            : cluster.IsAlive(node) && transport.LinkOf(node)?.Session is { } session ? AskAsync(session, route, pull, waitMs) : Nobody;

    private static async Task<WatchReply> AskAsync(PeerSession session, ShardRoute route, WatchPull pull, int waitMs)
    {
        // Any replica is asked as it is: that another leads meanwhile is no reason to doubt what it says.
        var call = ForwardCall.Rent(route, anyReplica: true, NodeClock.Now.PlusMs(waitMs));
        var answer = call.AsValueTask();
        session.Forward(call, CallRequest.WatchOf(0, route.Shard, waitMs, pull));
        var (outcome, reply) = await answer;
        return outcome == ForwardOutcome.Answered && reply.Watch is { } watch ? watch : WatchReply.Of(PullCode.NotServed);
    }
}
