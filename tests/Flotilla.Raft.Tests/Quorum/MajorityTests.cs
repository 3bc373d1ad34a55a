using Flotilla.Raft.Quorum;

namespace Flotilla.Raft.Tests.Quorum;

public sealed class MajorityTests
{
    [Fact]
    public void Any_two_majorities_share_a_voter()
    {
        for (var voters = 1; voters <= 9; voters++)
        {
            Assert.True(2 * Majority.Of(voters) > voters);
            Assert.True(2 * (Majority.Of(voters) - 1) <= voters, "and no smaller number would do");
        }
    }

    [Fact]
    public void A_vote_is_won_or_lost_as_soon_as_the_rest_cannot_change_it()
    {
        for (var voters = 1; voters <= 7; voters++)
        {
            for (var yes = 0; yes <= voters; yes++)
            {
                for (var no = 0; yes + no <= voters; no++)
                {
                    var open = voters - yes - no;
                    var expected = yes >= Majority.Of(voters) ? VoteResult.Won
                        : yes + open < Majority.Of(voters) ? VoteResult.Lost
                        : VoteResult.Pending;
                    Assert.Equal(expected, Majority.Count(voters, yes, no));
                }
            }
        }
    }

    [Fact]
    public void What_is_reached_is_what_a_majority_has()
    {
        var random = new SplitMix64(1);
        for (var round = 0; round < 1000; round++)
        {
            var values = Enumerable.Range(0, 1 + (int)random.Below(7)).Select(_ => (long)random.Below(10)).ToArray();
            var expected = values.Where(v => values.Count(other => other >= v) >= Majority.Of(values.Length)).Max();
            Assert.Equal(expected, Majority.Reached(values.ToArray().AsSpan()));
        }
    }
}
