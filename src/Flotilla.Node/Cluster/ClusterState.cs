using System.Collections.Immutable;
using Flotilla.Raft;
using Flotilla.Topology;
using Flotilla.Topology.Descriptors;

namespace Flotilla.Node.Cluster;

/// <summary>A node's addresses; null if not known, or off.</summary>
internal readonly record struct NodeAddresses(string? Http, string? Rpc, string? Resp);

/// <summary>
/// What this process knows of the cluster: the routing table, the nodes' addresses, and who is alive. Published as
/// immutable snapshots; thread-safe.
/// </summary>
internal sealed class ClusterState
{
    private readonly bool _isRouter;
    private readonly Func<NodeId, bool> _isAlive;
    private readonly Func<long> _ageMs;
    private readonly Func<IReadOnlyList<string>>? _warnings;
    private ImmutableSortedDictionary<NodeId, NodeAddresses> _nodes = ImmutableSortedDictionary<NodeId, NodeAddresses>.Empty;
    private ImmutableHashSet<NodeId> _reluctant = [];
    private ImmutableHashSet<ShardKey> _retired = [];
    private RoutingTable _table = RoutingTable.Empty;
    private TaskCompletionSource _tableChanged = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Knows nothing yet.</summary>
    /// <param name="self">This node, or the router's name.</param>
    /// <param name="isRouter">The process has no replicas.</param>
    /// <param name="isAlive">Whether a peer's stream is up and was heard from lately.</param>
    /// <param name="ageMs">Milliseconds since the oldest part was learned.</param>
    /// <param name="warnings">What is amiss at this process; null for never anything.</param>
    public ClusterState(NodeId self, bool isRouter, Func<NodeId, bool> isAlive, Func<long> ageMs, Func<IReadOnlyList<string>>? warnings = null)
    {
        Self = self;
        _isRouter = isRouter;
        _isAlive = isAlive;
        _ageMs = ageMs;
        _warnings = warnings;
    }

    /// <summary>This node.</summary>
    public NodeId Self { get; }

    /// <summary>Slot → shard.</summary>
    public RoutingTable Table => Volatile.Read(ref _table);

    /// <summary>Completes when the table is replaced. Read it before <see cref="Table"/>.</summary>
    public Task TableChanged => Volatile.Read(ref _tableChanged).Task;

    /// <summary>A shard of this number was removed: it is in no table, and the number is not used again.</summary>
    public bool IsRetired(ShardId shard) => Volatile.Read(ref _retired).Any(key => key.Shard == shard);

    /// <summary>This very shard was removed.</summary>
    public bool IsRetired(ShardKey shard) => Volatile.Read(ref _retired).Contains(shard);

    /// <summary>The highest number of any shard that was ever heard of, or 0.</summary>
    public ShardId HighestShard => Table.Shards.Select(static route => route.Shard).Concat(Volatile.Read(ref _retired).Select(static key => key.Shard)).DefaultIfEmpty().Max();

    /// <summary>These shards are retired.</summary>
    public void LearnRetired(ImmutableHashSet<ShardKey> shards) => Volatile.Write(ref _retired, shards);

    /// <summary>The nodes' addresses.</summary>
    public IReadOnlyDictionary<NodeId, NodeAddresses> Nodes => Volatile.Read(ref _nodes);

    /// <summary>Publishes another table.</summary>
    public void Publish(RoutingTable table)
    {
        Volatile.Write(ref _table, table);
        Interlocked.Exchange(ref _tableChanged, new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).TrySetResult();
    }

    /// <summary>Merges what is known of a node; an address that is null leaves what was known. True if something changed.</summary>
    public bool Learn(NodeId node, NodeAddresses addresses)
    {
        while (true)
        {
            var seen = Volatile.Read(ref _nodes);
            seen.TryGetValue(node, out var old);
            var merged = new NodeAddresses(addresses.Http ?? old.Http, addresses.Rpc ?? old.Rpc, addresses.Resp ?? old.Resp);
            if (merged == old && seen.ContainsKey(node))
            {
                return false;
            }

            if (Interlocked.CompareExchange(ref _nodes, seen.SetItem(node, merged), seen) == seen)
            {
                return true;
            }
        }
    }

    /// <summary>Merges who leads a shard, as <see cref="ShardRoute.Merge(Term, NodeId, NodeId, NodeId)"/> does. Another group that goes by the same number is another shard: what it says changes nothing.</summary>
    public void LearnLeader(ShardKey shard, Term term, NodeId leader, NodeId source)
    {
        if (Table.Of(shard.Shard) is { } route && route.Group.Value == shard.Group)
        {
            route.Merge(term, leader, source, Self);
        }
    }

    /// <summary>A node has said whether it should rather not lead.</summary>
    public void LearnReluctance(NodeId node, bool isReluctant) =>
        ImmutableInterlocked.Update(ref _reluctant, (seen, node) => isReluctant ? seen.Add(node) : seen.Remove(node), node);

    /// <summary>A peer should rather not lead: its disk is nearly full, or it is about to stop.</summary>
    public bool IsReluctant(NodeId node) => Volatile.Read(ref _reluctant).Contains(node);

    /// <summary>A node's HTTP address, or null.</summary>
    public string? HttpOf(NodeId node) => !node.IsNone && Volatile.Read(ref _nodes).TryGetValue(node, out var addresses) ? addresses.Http : null;

    /// <summary>This process, or a peer heard from lately.</summary>
    public bool IsAlive(NodeId node) => node == Self || _isAlive(node);

    /// <summary>As doors and commands write it.</summary>
    internal static string NameOf(ShardState state) => state switch
    {
        ShardState.Joining => "joining",
        ShardState.Active => "active",
        ShardState.Leaving => "leaving",
        _ => "retired",
    };

    /// <summary>As doors and commands write it.</summary>
    internal static string NameOf(ShardMode mode) => ShardModes.NameOf(mode);

    private bool IsGone(RoutingTable table, NodeId node) =>
        !IsAlive(node)
        && table.Shards.Any(route => route.Members.Removed.Any(seat => seat.Id == node))
        && !table.Shards.Any(route => route.Members.Contains(node));

    /// <summary>What doors show.</summary>
    public ClusterView View()
    {
        var table = Table;
        var nodes = new List<NodeView>();
        foreach (var (id, addresses) in Volatile.Read(ref _nodes))
        {
            if (IsGone(table, id))
            {
                continue; // What was removed and does not live any more is of no interest to anybody.
            }

            nodes.Add(new NodeView(id, addresses.Http, addresses.Rpc ?? "", addresses.Resp, IsAlive(id)));
        }

        var shards = new List<ShardView>(table.Shards.Count);
        var local = new List<ReplicaView>();
        foreach (var route in table.Shards)
        {
            var leader = route.Leader;
            var members = route.Members;
            // A leader that is gone is shown as none: a stale name would tell an operator that the shard serves.
            var shown = !leader.Leader.IsNone && IsAlive(leader.Leader) ? leader.Leader : default;
            var facts = route.Facts;
            shards.Add(new ShardView(
                route.Shard, NameOf(facts.State), NameOf(facts.Mode), shown, leader.Term, members.Voters, members.Learners, facts.InSync ?? members.Voters, [.. facts.Slots.Ranges().Select(static range => ((int)range.First.Value, (int)range.Last.Value))], facts.Version.ToString(),
                route.Local?.View.Moves ?? facts.Moves));
            if (route.Local is { } hosted)
            {
                local.Add(hosted.View);
            }
        }

        return new ClusterView(Self, _isRouter, table.ClusterId, nodes, shards, local, _ageMs(), _warnings?.Invoke());
    }
}
