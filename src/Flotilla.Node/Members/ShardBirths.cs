using Flotilla.Contracts;
using Flotilla.Node.Cluster;
using Flotilla.Node.Peers;
using Flotilla.Raft;
using Flotilla.Topology;
using Flotilla.Topology.Descriptors;
using Flotilla.Wire.Peers;

namespace Flotilla.Node.Members;

/// <summary>Adds shards, from any process: has a node bear one, which its leader then leads through its life. Thread-safe.</summary>
/// <param name="cluster">What is known here.</param>
/// <param name="transport">The way to the nodes.</param>
/// <param name="here">Bears a shard in this process; null for a router.</param>
internal sealed class ShardBirths(ClusterState cluster, PeerTransport transport, ChangeServer? here)
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(3);

    /// <summary>Has a shard born; see <see cref="IClusterChanges.AddShardAsync"/>.</summary>
    public async Task<ShardAnswer> AddAsync(ShardId shard, HostPort? address)
    {
        var table = cluster.Table;
        if (!table.IsComplete)
        {
            return Refused(shard, ChangeCode.NotReady, "This process has not learned yet which shards there are.");
        }

        if (table.Of(shard) is { } known)
        {
            // Asked for again where it is, or anywhere while it is new, it is the same wish: perhaps its answer was lost.
            var host = address is { } there ? FindAt(there) : default;
            var (isThere, state) = (known.Members.Contains(host) || known.First == host, ClusterState.NameOf(known.Facts.State));
            return (host.IsNone ? address is null && known.Facts.State == ShardState.Joining : isThere)
                ? new ShardAnswer(ChangeCode.Done, shard, state, host.IsNone && known.Voters is [var voter, ..] ? voter : host, $"shard {shard} is {state}")
                : Refused(shard, ChangeCode.Refused, $"Shard {shard} exists already: it is {state}. Give the new one another number.");
        }

        if (cluster.IsRetired(shard))
        {
            return Refused(shard, ChangeCode.Refused, $"Shard {shard} was removed, and a number is not used twice. Give the new one another number.");
        }

        var node = address is { } at ? FindAt(at) : LeastBusy(table);
        if (node.IsNone && address is { } unknown)
        {
            (node, var objection) = await AdoptAsync(shard, unknown);
            if (objection is not null)
            {
                return objection;
            }
        }

        if (node.IsNone)
        {
            return Refused(
                shard, ChangeCode.Unknown,
                address is null
                    ? $"No node that lives could take it. Where each process is for one shard, start one for this: flotilla shard --shard-id {shard} --node-id 1, with --peer-shards."
                    : $"No node is known at {address}; the nodes are {string.Join(", ", cluster.Nodes.OrderBy(static n => n.Key).Select(static n => $"{n.Key} (HTTP {n.Value.Http ?? "?"}, RPC {n.Value.Rpc ?? "?"})"))}. {(here is null ? "Start it with --join first, add it at a node rather than here if it waits, or give none." : "Start it there first, or give none.")}");
        }

        var (code, detail) = await AskAsync(shard, node);
        return code == ChangeCode.Done ? new ShardAnswer(code, shard, "joining", node, $"shard {shard} is born at {node}") : Refused(shard, code, detail);
    }

    /// <summary>Whoever serves at an address that nobody here knows may wait to be added: it is told of this cluster then.</summary>
    /// <returns>The node, connected; or none, and why not; or none alone, if nobody is there.</returns>
    private async Task<(NodeId Node, ShardAnswer? Objection)> AdoptAsync(ShardId shard, HostPort address)
    {
        if (here is null || (await Visit.PayAsync(address)).Node is not { } visit)
        {
            return default;
        }

        if (visit.OnlyShard is { } only && only != shard)
        {
            return (default, Refused(shard, ChangeCode.OtherShard, $"At {address} is node {visit.Node}, a process of shard {only} alone. Start another one for shard {shard}."));
        }

        var (code, detail) = await here.AdoptAsync(visit.Node, visit.Rpc, Patience);
        return code == ChangeCode.Done ? (visit.Node, null) : (default, Refused(shard, code, $"Node {visit.Node}: {detail}."));
    }

    private async Task<(ChangeCode Code, string? Detail)> AskAsync(ShardId shard, NodeId node)
    {
        if (node == cluster.Self && here is not null)
        {
            var (reply, words) = here.Bear(shard);
            return (reply.Code, words);
        }

        if (transport.LinkOf(node)?.Session is not { } session)
        {
            return (ChangeCode.Unreachable, $"Node {node} can't be reached from here.");
        }

        // Nobody leads it yet: the answer is waited for until its time is over.
        var nobody = new ShardRoute(shard, default, ShardMembers.First([node]), SlotSet.Empty, local: null);
        var call = ForwardCall.Rent(nobody, anyReplica: true, NodeClock.Now.PlusMs(Patience.TotalMilliseconds));
        var answer = call.AsValueTask();
        session.Forward(call, CallRequest.ChangeOf(0, shard, (int)Patience.TotalMilliseconds, new ShardChange(ChangeKind.BearShard, node)));
        var (outcome, answered) = await answer;
        return outcome == ForwardOutcome.Answered && answered.Change is { } said
            ? (said.Code, answered.Detail)
            : (ChangeCode.Unreachable, $"Node {node} did not answer. It may bear the shard all the same: ask again, or look at the status.");
    }

    /// <summary>Hosts have many names, and loopback has several: the port tells nodes of one host apart.</summary>
    private NodeId FindAt(HostPort at)
    {
        foreach (var (node, addresses) in cluster.Nodes.OrderBy(static n => n.Key))
        {
            if (IsSame(at, addresses.Http) || IsSame(at, addresses.Rpc))
            {
                return node;
            }
        }

        return default;
    }

    private static bool IsSame(HostPort one, string? other) =>
        other is not null && HostPort.TryParse(other, out var parsed, out _) && parsed.Port == one.Port
        && (string.Equals(parsed.Host, one.Host, StringComparison.OrdinalIgnoreCase) || (IsLoopback(parsed.Host) && IsLoopback(one.Host)));

    private static bool IsLoopback(string host) => host is "localhost" or "::1" or "[::1]" || host.StartsWith("127.", StringComparison.Ordinal);

    private NodeId LeastBusy(RoutingTable table) => cluster.Nodes.Keys
        .Where(node => cluster.IsAlive(node) && !cluster.IsReluctant(node) && !IsSingle(node))
        .OrderBy(node => table.Shards.Count(route => route.Members.Contains(node))).ThenBy(static node => node)
        .FirstOrDefault();

    private bool IsSingle(NodeId node) => node == cluster.Self ? here?.IsSingle == true : transport.LinkOf(node)?.Session?.Remote.OnlyShard is not null;

    private static ShardAnswer Refused(ShardId shard, ChangeCode code, string? detail) => new(code, shard, null, default, detail);
}
