using Flotilla.Node.Leading;
using Flotilla.Raft;
using Flotilla.Topology;

namespace Flotilla.Node.Tests.Parts;

public sealed class LeaderSpreadTests
{
    private readonly LeaderSpread _spread = new();
    private double _seconds = 1000;

    [Fact]
    public void A_shard_goes_back_once_its_first_voter_has_been_fit_for_ten_seconds_on_end()
    {
        Assert.All(Seconds(9, (1, true)), Nothing);
        Assert.All(Seconds(1, (1, false)), Nothing);
        Assert.All(Seconds(10, (1, true)), Nothing);
        Assert.Equal(1, Second((1, true)));
    }

    [Fact]
    public void One_shard_at_a_time_goes_and_the_next_when_it_is_gone()
    {
        Seconds(10, (1, true), (2, true), (3, true));
        Assert.Equal(1, Second((1, true), (2, true), (3, true)));
        Assert.Null(Second((1, true), (2, true), (3, true)));
        Assert.Equal(2, Second((2, true), (3, true)));
        Assert.Equal(3, Second((3, true)));
        Assert.Null(Second());
    }

    [Fact]
    public void A_failed_attempt_is_made_again_later_and_each_time_much_later()
    {
        var attempts = new List<double>();
        for (var i = 0; i < 3600; i++)
        {
            if (Second((1, true)) is not null)
            {
                attempts.Add(_seconds);
            }
        }

        var pauses = attempts.Zip(attempts.Skip(1), (a, b) => b - a).ToArray();
        Assert.Equal([30, 60, 120, 240, 480, 600, 600, 600], pauses.Take(8));
    }

    [Fact]
    public void A_failed_attempt_holds_up_the_other_shards_for_no_longer_than_its_patience()
    {
        Seconds(10, (1, true), (2, true));
        Assert.Equal(1, Second((1, true), (2, true)));
        Assert.Equal([null, null, 2], Seconds(3, (1, true), (2, true)));
    }

    [Fact]
    public void A_shard_that_comes_back_at_once_is_not_passed_to_and_fro()
    {
        Seconds(10, (1, true));
        Assert.Equal(1, Second((1, true)));
        Assert.Null(Second());
        Assert.All(Seconds(28, (1, true)), Nothing);
        Assert.Equal(1, Second((1, true)));
        Assert.Null(Second());
        Assert.All(Seconds(58, (1, true)), Nothing);
        Assert.Equal(1, Second((1, true)));

        // After a long peace it is as if nothing had been.
        _seconds += 720;
        Assert.Null(Second());
        Assert.All(Seconds(10, (1, true)), Nothing);
        Assert.Equal(1, Second((1, true)));
        Assert.Null(Second());
        Assert.All(Seconds(28, (1, true)), Nothing);
        Assert.Equal(1, Second((1, true)));
    }

    [Fact]
    public void A_shard_that_is_born_has_ten_seconds_of_its_own_whatever_the_age_of_the_others()
    {
        Assert.All(Seconds(9, (1, true)), Nothing);
        Assert.Equal([null, 1], Seconds(2, (1, true), (2, true)));

        // The first one has gone; the second is eight seconds short of its time, and is looked at as if nothing had been before.
        Assert.All(Seconds(8, (2, true)), Nothing);
        Assert.Equal(2, Second((2, true)));
    }

    private static void Nothing(int? shard) => Assert.Null(shard);

    private int?[] Seconds(int count, params (int Shard, bool IsFit)[] led) => [.. Enumerable.Range(0, count).Select(_ => Second(led))];

    private int? Second(params (int Shard, bool IsFit)[] led)
    {
        _seconds++;
        return _spread.Next([.. led.Select(l => (new ShardId(l.Shard), l.IsFit))], default(Instant).PlusMs(_seconds * 1000))?.Value;
    }
}
