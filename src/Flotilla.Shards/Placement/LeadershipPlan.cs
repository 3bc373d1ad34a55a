using Flotilla.Raft;
using Flotilla.Topology;

namespace Flotilla.Shards.Placement;

/// <summary>
/// Which voter is meant to lead each shard: the one that genesis put first while it votes; for the other shards, by number,
/// the voter that is meant to lead the fewest so far. A pure function of who votes where, so that nodes which have heard
/// the same agree without a word; while they have not, leadership moves once more than it need.
/// </summary>
public static class LeadershipPlan
{
    /// <summary>The plan.</summary>
    /// <param name="shards">Every shard, the voter that genesis put first (none if unknown), and its voters: at least one.</param>
    public static IReadOnlyDictionary<ShardId, NodeId> Of(IEnumerable<(ShardId Shard, NodeId First, IReadOnlyList<NodeId> Voters)> shards)
    {
        ArgumentNullException.ThrowIfNull(shards);
        var plan = new SortedDictionary<ShardId, NodeId>();
        var leads = new SortedDictionary<NodeId, int>();
        var others = new List<(ShardId Shard, IReadOnlyList<NodeId> Voters)>();
        foreach (var (shard, first, voters) in shards.OrderBy(static s => s.Shard))
        {
            if (voters.Contains(first))
            {
                Give(shard, first);
            }
            else
            {
                others.Add((shard, voters));
            }
        }

        foreach (var (shard, voters) in others)
        {
            Give(shard, voters.OrderBy(voter => leads.GetValueOrDefault(voter)).ThenBy(static voter => voter).First());
        }

        return plan;

        void Give(ShardId shard, NodeId leader)
        {
            plan[shard] = leader;
            leads[leader] = leads.GetValueOrDefault(leader) + 1;
        }
    }
}
