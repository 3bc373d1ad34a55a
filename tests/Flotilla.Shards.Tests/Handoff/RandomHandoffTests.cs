namespace Flotilla.Shards.Tests.Handoff;

/// <summary>Random schedules of moves, faults and clients over three shards. FLOTILLA_HANDOFF_SEEDS runs another number of them, or from..to.</summary>
public sealed class RandomHandoffTests
{
    [Fact]
    [Trait("Hazard", "37")]
    [Trait("Hazard", "39")]
    [Trait("Hazard", "40")]
    [Trait("Hazard", "41")]
    [Trait("Hazard", "42")]
    [Trait("Hazard", "43")]
    [Trait("Hazard", "54")]
    public void Whatever_happens_a_slot_has_one_owner_who_has_all_that_was_acknowledged_and_nothing_twice()
    {
        var asked = (Environment.GetEnvironmentVariable("FLOTILLA_HANDOFF_SEEDS") ?? "20").Split("..");
        var (from, to) = asked.Length == 1 ? (1UL, ulong.Parse(asked[0])) : (ulong.Parse(asked[0]), ulong.Parse(asked[1]));
        var (accepts, aborts, done, unclear) = (0, 0, 0L, 0L);
        for (var seed = from; seed <= to; seed++)
        {
            var world = new World(seed);
            try
            {
                world.Run(1200);
            }
            catch (Exception e) when (e is not Xunit.Sdk.XunitException)
            {
                Assert.Fail($"{world}: {e}");
            }

            accepts += world.Accepts;
            aborts += world.Aborts;
            done += world.Done;
            unclear += world.Unclear;
        }

        // The schedules are worth something.
        TestContext.Current.TestOutputHelper?.WriteLine($"{accepts} accepted, {aborts} aborted, {done} writes, {unclear} unclear");
        Assert.True(accepts > (int)(to - from) && aborts > 0 && done > 50 * (long)(to - from) && unclear < done / 4, $"{accepts} accepted, {aborts} aborted, {done} writes, {unclear} unclear");
    }
}
