using Flotilla.Node.Cluster;
using Flotilla.Node.Peers;
using Flotilla.Raft;
using Flotilla.Shards;
using Flotilla.Shards.Modes;
using Flotilla.Topology.Descriptors;

namespace Flotilla.Node.Gateways;

/// <summary>Where an attempt goes.</summary>
internal enum Place : byte
{
    /// <summary>Nowhere at this moment: the shard or its leader is not known, or can't be reached.</summary>
    Nowhere,

    /// <summary>The replica on this node.</summary>
    Here,

    /// <summary>Another node.</summary>
    There,

    /// <summary>To another node, which the client has told us not to ask.</summary>
    Elsewhere,
}

/// <summary>Where an attempt goes, as chosen from what is known at this moment.</summary>
/// <param name="Place">Which of the following counts.</param>
/// <param name="Route">The shard; null while none is known.</param>
/// <param name="Node">Who is believed to lead it; none if unknown.</param>
/// <param name="Stream">The stream to ask on (<see cref="Place.There"/>).</param>
/// <param name="AnyReplica">The node is not asked as the leader.</param>
/// <param name="News">Completes when something newer is known.</param>
/// <param name="WaitMs">How long to wait for news after the attempt; null for a pause that grows.</param>
/// <param name="Why">For <see cref="Place.Nowhere"/>: in words, or null.</param>
internal readonly record struct Target(Place Place, ShardRoute? Route, NodeId Node, PeerSession? Stream, bool AnyReplica, Task News, double? WaitMs, string? Why)
{
    /// <summary>Completes when the routing table that the choice was made by is replaced.</summary>
    public Task TableNews { get; init; } = News;

    /// <summary>How long to wait for its answer before another is asked, in milliseconds; null for as long as the call may take.</summary>
    public double? PatienceMs { get; init; }

    /// <summary>There is somebody to ask.</summary>
    public bool IsReachable => Place is Place.Here or Place.There;
}

/// <summary>Knows whom to ask, and asks.</summary>
internal interface ITargets
{
    /// <summary>Chooses whom to ask.</summary>
    /// <param name="ask">The call.</param>
    /// <param name="hint">Another node than the last one asked, which that one believes to lead; or none.</param>
    /// <param name="attempt">How many attempts there were before.</param>
    Target Choose(in Ask ask, NodeId hint, int attempt);

    /// <summary>Makes one attempt at a target that is reachable.</summary>
    ValueTask<Outcome> AskAsync(in Target target, in Ask ask);
}

/// <summary>The replicas of this node, and the other nodes over their streams.</summary>
internal sealed class ClusterTargets(ClusterState cluster, PeerTransport transport) : ITargets
{
    // How long the leader's own stream may be missing before another node is asked to pass the call on.
    private const double RelayAfterMs = 50;

    // A tail that hangs must not hold up reads for longer than an election would.
    private const double TailPatienceMs = 300;

    /// <inheritdoc/>
    public Target Choose(in Ask ask, NodeId hint, int attempt)
    {
        // Read the news before what they are about, so that no change is missed in between.
        var tableNews = cluster.TableChanged;
        var news = tableNews;
        var table = cluster.Table;

        // A call that is bound to a shard, since an attempt may have been executed there, goes there also when the shard is gone: it says where the slot went.
        var route = ask.Shard == default ? table.Of(ask.Command.Key.Span) : table.OfAny(ask.Shard);
        if (route is null)
        {
            return new Target(Place.Nowhere, null, default, null, false, news, double.MaxValue, null);
        }

        var info = route.Leader;
        news = info.Superseded;
        var leader = hint.IsNone ? info.Leader : hint;
        if (AsksHere(ask, route, leader, attempt))
        {
            double? waitMs = ask.IsWrite || leader.IsNone || leader == cluster.Self ? null : 0;
            return new Target(Place.Here, route, leader, null, false, news, waitMs, null) { TableNews = tableNews };
        }

        if (!ask.Forward)
        {
            return new Target(Place.Elsewhere, route, leader, null, false, news, null, leader.IsNone ? "no leader is known at this moment" : null) { TableNews = tableNews };
        }

        if (!ask.IsWrite && attempt == 0 && TailFor(route, leader) is { IsNone: false } tail && cluster.IsAlive(tail) && transport.LinkOf(tail)?.Session is { } last)
        {
            return new Target(Place.There, route, leader, last, true, news, 0, null) { TableNews = tableNews, PatienceMs = TailPatienceMs };
        }

        if (StreamFor(ask, route, leader, attempt, out var anyReplica) is { } stream)
        {
            return new Target(Place.There, route, leader, stream, anyReplica, news, null, null) { TableNews = tableNews };
        }

        return leader.IsNone
            ? new Target(Place.Nowhere, route, leader, null, false, news, double.MaxValue, null) { TableNews = tableNews }
            : new Target(Place.Nowhere, route, leader, null, false, news, RelayAfterMs, $"node {leader}, the last known leader of shard {route.Shard}, can't be reached") { TableNews = tableNews };
    }

    /// <inheritdoc/>
    public ValueTask<Outcome> AskAsync(in Target target, in Ask ask) => target.Place == Place.Here
        ? Attempts.LocalAsync(target.Route!.Local!, ask, target.Node)
        : Attempts.RemoteAsync(
            target.Stream!, target.Route!, target.PatienceMs is { } ms ? ask with { Deadline = Instant.Min(ask.Deadline, NodeClock.Now.PlusMs(ms)) } : ask, hops: 0, target.AnyReplica);

    /// <summary>Whether this attempt goes to the replica on this node: a write if it leads, a read also if it follows.</summary>
    private bool AsksHere(in Ask ask, ShardRoute route, NodeId leader, int attempt)
    {
        if (leader == cluster.Self && route.Local is not null)
        {
            return true;
        }

        if (route.Serving is null)
        {
            return false;
        }

        if (ask.Stale && attempt == 0)
        {
            return true;
        }

        // A follower gets its read index from the leader. If it could not, the next attempt goes to the leader itself.
        return !ask.IsWrite && ask.Forward && (leader.IsNone ? attempt == 0 : attempt % 2 == 0);
    }

    /// <summary>
    /// Whom a node without a replica of its own asks first for a read: in mode chain the tail, which spares the leader. It gets its read index from the
    /// leader as any follower; if it can't, the next attempt goes to the leader. None in other modes.
    /// </summary>
    internal static NodeId TailFor(ShardRoute route, NodeId leader)
    {
        if (route.Facts.Mode != ShardMode.Chain || leader.IsNone)
        {
            return default;
        }

        var tail = ChainOrder.TailOf(leader, route.Facts.InSync ?? route.Voters);
        return tail == leader ? default : tail;
    }

    /// <summary>The stream to ask on; null if there is none. Any replica will do for a stale read, and for passing a call on.</summary>
    private PeerSession? StreamFor(in Ask ask, ShardRoute route, NodeId leader, int attempt, out bool anyReplica)
    {
        anyReplica = false;
        if (transport.LinkOf(leader)?.Session is { } direct && cluster.IsAlive(leader))
        {
            return direct;
        }

        anyReplica = true;
        if (ask.Stale || attempt > 0)
        {
            foreach (var voter in route.Voters)
            {
                if (voter != leader && voter != cluster.Self && cluster.IsAlive(voter) && transport.LinkOf(voter)?.Session is { } other)
                {
                    return other;
                }
            }
        }

        return null;
    }
}
