using System.Text;
using Flotilla.Node;

namespace Flotilla.Server.Http;

/// <summary>
/// Whether the process can serve, check by check: on a node each replica hosted here is admitted and knows a leader; on a
/// router the topology is known, and a leader of each shard in it. A node with a warning, such as a low disk, still serves
/// reads and passes writes on: it is ready, and says what is amiss.
/// </summary>
internal static class Readiness
{
    private static string NotAdmitted(ReplicaView replica)
    {
        if (replica.SeatIsTaken)
        {
            return "seat taken: another data directory holds this node's seat, so this replica takes no part; put the old directory back";
        }

        var awaited = replica.Awaited is { Count: > 0 } nodes ? $"waiting for first contact with node {string.Join(", ", nodes)}" : "this replica may not vote yet";
        return awaited + ": all first replicas of a new shard must have been up together once";
    }

    /// <summary>Runs the checks. The report has one line for each, <c>[+]</c> or <c>[-]</c>, as Kubernetes writes them, and <c>[!]</c> for each warning.</summary>
    public static bool Check(ClusterView view, bool stopping, out string report)
    {
        var text = new StringBuilder("[+]ping ok\n");
        var ready = true;
        Say(!stopping, "shutdown", "the process is stopping");
        if (view.IsRouter)
        {
            Say(view.Shards.Count != 0, "topology", "no shard is known yet: no node has answered");
            foreach (var shard in view.Shards)
            {
                Say(!shard.Leader.IsNone, $"shard-{shard.Shard}-leader", "no leader known");
            }
        }
        else
        {
            foreach (var replica in view.Local)
            {
                Say(replica.Admitted, $"shard-{replica.Shard}-admitted", NotAdmitted(replica));
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
