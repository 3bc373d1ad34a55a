using Flotilla.Raft;
using Flotilla.Raft.Membership;
using Flotilla.Shards.Placement;
using Flotilla.Topology;

namespace Flotilla.Shards.Tests.Placement;

public sealed class EmptySeatsTests
{
    private static readonly ShardId One = new(1);
    private static readonly ShardId Two = new(2);
    private static readonly LivingNode A = Living("a", 1);
    private static readonly LivingNode B = Living("b", 2);
    private static readonly LivingNode C = Living("c", 3);
    private static readonly LivingNode D = Living("d", 4);

    [Fact]
    public void A_shard_that_lacks_a_replica_gets_the_node_that_hosts_the_fewest()
    {
        var one = Of(A, B);
        var chosen = Choose([Led(One, one)], [Seats(One, one), Seats(Two, Of(A, B, C))], [C, D]);
        Assert.Equal((One, D), chosen);
    }

    [Fact]
    public void Nothing_happens_while_a_shard_is_full_or_nobody_could_come()
    {
        Assert.Null(Choose([Led(One, Of(A, B, C))], [Seats(One, Of(A, B, C))], [B, C, D]));
        Assert.Null(Choose([Led(One, Of(A, B))], [Seats(One, Of(A, B))], [B]));
        Assert.Null(Choose([Led(One, Of(A, B), isSettled: false)], [Seats(One, Of(A, B))], [B, C]));
    }

    [Fact]
    public void A_dead_member_keeps_its_seat()
    {
        // B is not among the living: it may come back, and only an operator knows that it will not.
        Assert.Null(Choose([Led(One, Of(A, B, C))], [Seats(One, Of(A, B, C))], [C, D]));
    }

    [Fact]
    public void One_addition_at_a_time_unless_the_learner_is_dead()
    {
        var learning = Of(A, B).Adding(C.Node, C.Incarnation, C.Address);
        LedShard[] led = [Led(One, learning), Led(Two, Of(A, B))];
        ShardSeats[] all = [Seats(One, learning), Seats(Two, Of(A, B))];
        Assert.Null(Choose(led, all, [B, C, D]));
        Assert.Equal((Two, D), Choose(led, all, [B, D]));
    }

    [Fact]
    public void The_shard_that_lacks_most_comes_first()
    {
        var chosen = Choose([Led(One, Of(A, B)), Led(Two, Of(A))], [Seats(One, Of(A, B)), Seats(Two, Of(A))], [D]);
        Assert.Equal((Two, D), chosen);
    }

    [Fact]
    public void A_data_directory_whose_seat_was_taken_away_is_left_out_and_a_new_one_of_the_same_node_is_not()
    {
        var one = Gone(Of(A, B, C), C);
        Assert.Equal(2, one.Members.Count);
        Assert.Null(Choose([Led(One, one)], [Seats(One, one)], [B, C]));
        var wiped = C with { Incarnation = new Incarnation(33) };
        Assert.Equal((One, wiped), Choose([Led(One, one)], [Seats(One, one)], [B, wiped]));
    }

    [Fact]
    public void A_node_that_was_removed_everywhere_is_drained_also_for_shards_that_never_had_it()
    {
        var one = Gone(Of(A, B, C), C);
        Assert.Null(Choose([Led(Two, Of(A, B))], [Seats(One, one), Seats(Two, Of(A, B))], [B, C]));

        // It still sits somewhere: it was removed from one shard alone.
        Assert.Equal((Two, C), Choose([Led(Two, Of(A, B))], [Seats(One, one), Seats(Two, Of(A, B)), Seats(new ShardId(3), Of(C))], [B, C]));
    }

    private static (ShardId, LivingNode)? Choose(LedShard[] led, ShardSeats[] all, LivingNode[] living) => EmptySeats.Next(led, all, living, target: 3);

    private static LivingNode Living(string id, ulong incarnation) => new(new NodeId(id), new Incarnation(incarnation), $"{id}:1");

    private static Configuration Of(params LivingNode[] voters) => new(voters.Select(static v => new Member(v.Node, Suffrage.Voter, v.Incarnation, v.Address)));

    private static Configuration Gone(Configuration configuration, LivingNode node) => configuration.Removing(node.Node).LeavingJoint();

    private static LedShard Led(ShardId shard, Configuration configuration, bool isSettled = true) => new(shard, configuration, isSettled);

    private static ShardSeats Seats(ShardId shard, Configuration configuration) => new(shard, [.. configuration.Members.Select(static m => m.Id)], configuration.Removed);
}
