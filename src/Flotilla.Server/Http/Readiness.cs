using System.Text;
using Flotilla.Node;
using Flotilla.Raft;
using Flotilla.Topology;

namespace Flotilla.Server.Http;

/// <summary>
/// Whether the process can serve, check by check: on a node each replica hosted here is admitted and knows a leader; on a
/// router, and on a node that hosts none yet, the topology is known, and a leader of each shard in it. A node with a warning, such as a low disk, still serves
/// reads and passes writes on: it is ready, and says what is amiss.
/// </summary>
internal static class Readiness
{
    private static int SlotsOf(ClusterView view) => view.Shards.Sum(static shard => shard.Ranges.Sum(static range => range.Last - range.First + 1));

    private static string NotAdmitted(ReplicaView replica, NodeId node)
    {
        if (replica.SeatIsTaken)
        {
            return $"seat taken: another data directory holds this node's seat, so this replica takes no part; put the old directory back, or give its seat to this one: flotilla remove-node {node}, and flotilla add-node if it gets none by itself";
        }

        var awaited = replica.Awaited is { Count: > 0 } nodes ? $"waiting for first contact with node {string.Join(", ", nodes)}" : "this replica may not vote yet";
        return awaited + ": all first replicas of a new shard must have been up together once";
    }

    /// <summary>Runs the checks; <paramref name="notJoined"/> says why the node belongs to no cluster, if so. The report has one line for each, <c>[+]</c> or <c>[-]</c>, as Kubernetes writes them, and <c>[!]</c> for each warning.</summary>
    public static bool Check(ClusterView view, bool stopping, string? notJoined, out string report)
    {
        var text = new StringBuilder("[+]ping ok\n");
        var ready = true;
        Say(!stopping, "shutdown", "the process is stopping");
        var members = view.Local.Where(static replica => replica.Standing != Standing.Removed).ToArray();
        if (notJoined is not null)
        {
            Say(false, "membership", notJoined);
        }
        else if (view.Local.Count > 0 && members.Length == 0)
        {
            var rpc = view.Nodes.FirstOrDefault(node => node.Node == view.Node)?.Rpc ?? "HOST:RPC";
            Say(false, "membership", $"this node was removed from every shard: it only passes calls on. Stop it, or give it a seat again: flotilla add-node {view.Node} {rpc}");
        }
        else if (members.Length == 0)
        {
            // It passes calls on: a router, or a node that joined and that no shard wants yet.
            Say(
                SlotsOf(view) >= Slot.Count, "topology",
                view.Shards.Count == 0 ? "no shard is known yet: no node has answered" : "of some slots no owner is known yet: the nodes that know have not answered");
            foreach (var shard in view.Shards)
            {
                Say(!shard.Leader.IsNone, $"shard-{shard.Shard}-leader", "no leader known");
            }
        }
        else
        {
            foreach (var replica in members)
            {
                Say(replica.Admitted, $"shard-{replica.Shard}-admitted", NotAdmitted(replica, view.Node));
                Say(!replica.Leader.IsNone, $"shard-{replica.Shard}-leader", "no leader known");
            }
        }

        foreach (var warning in view.Warnings ?? [])
        {
            text.Append("[!]").Append(warning).Append('\n');
        }

        text.Append(ready ? "readyz check passed\n" : "readyz check failed\n");
        report = text.ToString();
        return ready;

        void Say(bool passed, string name, string reason)
        {
            ready &= passed;
            if (passed)
            {
                text.Append("[+]").Append(name).Append(" ok\n");
            }
            else
            {
                text.Append("[-]").Append(name).Append(" failed: ").Append(reason).Append('\n');
            }
        }
    }
}
