using System.Collections.Concurrent;
using Flotilla.Node.Peers;
using Flotilla.Raft;
using Flotilla.Wire.Peers;

namespace Flotilla.Node.Cluster;

/// <summary>
/// Tells the peers who leads what, who belongs to what, and where nodes are: everything when a stream begins, shards as
/// they change, and all but the slots again each second, which also shows that this process is alive. Thread-safe.
/// </summary>
/// <param name="cluster">What is known here.</param>
/// <param name="links">The streams to tell it on.</param>
/// <param name="isReluctant">This node should rather not lead.</param>
internal sealed class Gossip(ClusterState cluster, Func<IEnumerable<PeerLink>> links, Func<bool> isReluctant) : IAsyncDisposable
{
    private const double PeriodMs = 1000;
    private static readonly IReadOnlyList<NodeId> NoNodes = [];
    private static readonly IReadOnlyList<(int First, int Last)> NoRanges = [];

    private readonly ConcurrentQueue<ShardRoute> _changed = new();
    private readonly AsyncSignal _signal = new();
    private readonly CancellationTokenSource _stop = new();
    private Timer? _timer;
    private Task _telling = Task.CompletedTask;
    private long _learnedAtUs = NodeClock.Now.Microseconds;
    private volatile bool _all;

    /// <summary>Milliseconds since something was last heard.</summary>
    public long AgeMs => (long)NodeClock.Now.MsSince(new Instant(Volatile.Read(ref _learnedAtUs)));

    /// <summary>Starts to tell.</summary>
    public void Start()
    {
        _telling = Task.Run(TellAsync);
        _timer = new Timer(
            static state =>
            {
                var gossip = (Gossip)state!;
                gossip._all = true;
                gossip._signal.Set();
            },
            this, (int)PeriodMs, (int)PeriodMs);
    }

    /// <summary>The leader of a shard, or its members, changed: the peers are told at once.</summary>
    public void Changed(ShardRoute route)
    {
        _changed.Enqueue(route);
        _signal.Set();
    }

    /// <summary>Tells a new stream everything.</summary>
    public void Greet(PeerSession session)
    {
        session.SendStatus(new ClusterStatus(TellNodes(), [.. cluster.Table.Shards.Select(static route => Tell(route, full: true))], 0));
    }

    /// <summary>
    /// Merges what a peer says. A process that does not know the shards yet (a router) learns them here.
    /// </summary>
    public void Learn(Hello from, ClusterStatus status)
    {
        Volatile.Write(ref _learnedAtUs, NodeClock.Now.Microseconds);
        foreach (var node in status.Nodes)
        {
            if (node.Node == from.Node)
            {
                cluster.LearnReluctance(node.Node, node.Reluctant);
            }

            // What a node says of itself counts; of others, what was not known, and what somebody knows who hears from it
            // while this process does not: it may have moved.
            if (node.Node != cluster.Self
                && (node.Node == from.Node || !cluster.Nodes.ContainsKey(node.Node) || (node.Alive && !cluster.IsAlive(node.Node))))
            {
                cluster.Learn(node.Node, new NodeAddresses(node.Http, node.Rpc, node.Resp));
            }
        }

        var table = cluster.Table;
        if (table.Shards.Count == 0 && status.Shards.Count > 0 && status.Shards.All(static s => s.Ranges.Count > 0))
        {
            table = new RoutingTable(from.ClusterId, status.Shards.Select(static s => new ShardRoute(s.Shard, s.Group, s.Members, s.Ranges, local: null)));
            cluster.Publish(table);
        }

        foreach (var shard in status.Shards)
        {
            if (table.Of(shard.Shard) is { } route && route.Group == shard.Group)
            {
                route.Merge(shard.Term, shard.Leader, from.Node, cluster.Self);
                route.Merge(shard.Members);
            }
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        if (_timer is not null)
        {
            await _timer.DisposeAsync();
        }

        _signal.Set();
        await _telling;
        _stop.Dispose();
    }

    private NodeStatus Tell(NodeId id, NodeAddresses addresses) =>
        new(id, addresses.Http, addresses.Rpc, addresses.Resp, cluster.IsAlive(id), Reluctant: id == cluster.Self && isReluctant());

    // Ordered by id, as the wire wants it. A router is in no such list: it is no node.
    private NodeStatus[] TellNodes() => [.. cluster.Nodes.OrderBy(static n => n.Key).Select(n => Tell(n.Key, n.Value))];

    private static ShardStatus Tell(ShardRoute route, bool full)
    {
        var info = route.Leader;
        return new ShardStatus(
            route.Shard, route.Group, "active", "raft", info.Leader, info.Term, route.Members, NoNodes, full ? route.Ranges : NoRanges,
            info.Term.Value.ToString());
    }

    private async Task TellAsync()
    {
        var changed = new SortedDictionary<int, ShardRoute>();
        while (!_stop.IsCancellationRequested)
        {
            await _signal.WaitAsync();
            var all = _all;
            _all = false;
            changed.Clear();
            while (_changed.TryDequeue(out var route))
            {
                changed[route.Shard.Value] = route;
            }

            if (all)
            {
                foreach (var route in cluster.Table.Shards)
                {
                    changed[route.Shard.Value] = route;
                }
            }

            var status = new ClusterStatus(all ? TellNodes() : [], [.. changed.Values.Select(static route => Tell(route, full: false))], AgeMs: 0);
            foreach (var link in links())
            {
                link.Session?.SendStatus(status);
            }
        }
    }
}
