using Flotilla.Raft;
using Flotilla.Shards.Placement;
using Flotilla.Topology;

namespace Flotilla.Shards.Tests.Placement;

public sealed class LeadershipPlanTests
{
    private static readonly NodeId A = new("a");
    private static readonly NodeId B = new("b");
    private static readonly NodeId C = new("c");
    private static readonly NodeId D = new("d");

    [Fact]
    public void While_the_first_voters_vote_they_lead()
    {
        var plan = LeadershipPlan.Of([Shard(1, A, A, B, C), Shard(2, B, A, B, C), Shard(3, C, A, B, C)]);
        Assert.Equal([A, B, C], plan.Values);
    }

    [Fact]
    public void What_a_removed_node_was_to_lead_goes_to_whoever_is_to_lead_the_fewest()
    {
        var plan = LeadershipPlan.Of([Shard(1, A, B, C, D), Shard(2, B, B, C, D), Shard(3, C, B, C, D), Shard(4, A, B, C, D)]);
        Assert.Equal(D, plan[new ShardId(1)]);
        Assert.Equal([B, C], new[] { plan[new ShardId(2)], plan[new ShardId(3)] });
        Assert.Equal(B, plan[new ShardId(4)]);
    }

    [Fact]
    public void The_order_in_which_shards_are_told_makes_no_difference_and_an_unknown_first_voter_is_nobody()
    {
        (ShardId, NodeId, IReadOnlyList<NodeId>)[] shards = [Shard(1, default, A, B), Shard(2, A, B, C), Shard(3, B, B, C)];
        Assert.Equal(LeadershipPlan.Of(shards), LeadershipPlan.Of(shards.Reverse()));
        Assert.Equal([A, C, B], LeadershipPlan.Of(shards).Values);
    }

    private static (ShardId Shard, NodeId First, IReadOnlyList<NodeId> Voters) Shard(int number, NodeId first, params NodeId[] voters) => (new ShardId(number), first, voters);
}
