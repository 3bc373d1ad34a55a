using Flotilla.Raft;

namespace Flotilla.Shards.Modes;

/// <summary>
/// In which order entries travel in mode chain: the leader first, then the other members of the in-sync set by their ids, each the next higher one after the leader's and
/// round from the highest to the lowest. A pure function of the set and the leader, so that everybody names the same tail, and shards whose leaders are spread have
/// their tails spread.
/// </summary>
public static class ChainOrder
{
    /// <summary>The chain.</summary>
    /// <param name="leader">Who leads; first in the chain whether it is in the set or not (a leader that was taken out of it by an earlier one has yet to be put back).</param>
    /// <param name="inSync">The in-sync set, in any order.</param>
    public static IReadOnlyList<NodeId> Of(NodeId leader, IEnumerable<NodeId> inSync)
    {
        NodeId[] others = [.. inSync.Where(member => member != leader).Distinct().Order()];
        return [leader, .. others.Where(member => member.CompareTo(leader) > 0), .. others.Where(member => member.CompareTo(leader) < 0)];
    }

    /// <summary>The last of the chain.</summary>
    public static NodeId TailOf(NodeId leader, IEnumerable<NodeId> inSync) => Of(leader, inSync)[^1];

    /// <summary>Who passes entries on to a member; none for the leader and for those who are not in the chain.</summary>
    public static NodeId BeforeOf(NodeId member, NodeId leader, IEnumerable<NodeId> inSync)
    {
        var chain = Of(leader, inSync);
        for (var i = 1; i < chain.Count; i++)
        {
            if (chain[i] == member)
            {
                return chain[i - 1];
            }
        }

        return default;
    }
}
