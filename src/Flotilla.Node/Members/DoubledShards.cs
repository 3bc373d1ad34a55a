using System.Globalization;
using Flotilla.Node.Cluster;
using Flotilla.Topology.Descriptors;
using Flotilla.Topology.Ownership;

namespace Flotilla.Node.Members;

/// <summary>Tells operators of two groups under one number. Thread-safe.</summary>
internal static class DoubledShards
{
    /// <summary>One sentence or two for each number.</summary>
    public static IEnumerable<string> Warnings(OwnershipView view) => view.Doubled.Select(shard =>
    {
        var groups = view.Shards.Where(d => d.Shard == shard && d.State != ShardState.Retired).ToArray();
        var words = string.Join(" and ", groups.Select(d => string.Create(
            CultureInfo.InvariantCulture, $"group {d.Key.Group:x16} ({ClusterState.NameOf(d.State)}, {d.Slots.Count} slots, on {string.Join(", ", d.Voters.Select(static v => v.Node))})")));
        return groups.Count(static d => d.Slots.Count > 0) > 1
            ? $"Two groups own slots under the number of shard {shard}: {words}. Both go on serving and neither takes part in a move. Back both up, and put the records of one into the other by hand."
            : $"Two groups go by the number of shard {shard}: {words}. The one that owns no slots, or else the one with the higher group, retires by itself.";
    });
}
