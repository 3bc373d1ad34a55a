using Flotilla.Linearizability;

namespace Flotilla.Registers.Tests.Random;

/// <summary>Random schedules of epochs, faults and clients. FLOTILLA_REGISTER_SEEDS runs another number of them, or from..to.</summary>
public sealed class RandomRegisterTests
{
    [Theory]
    [Trait("Hazard", "12")]
    [Trait("Hazard", "34")]
    [Trait("Hazard", "48")]
    [Trait("Hazard", "50")]
    [Trait("Hazard", "52")]
    [InlineData(3)]
    [InlineData(5)]
    public void By_majorities_every_history_is_linearizable_whatever_happens(int voters)
    {
        var total = (Done: 0, Refused: 0, Unclear: 0, Epochs: 0, Reopened: 0);
        foreach (var seed in Seeds())
        {
            var world = Play(seed, RegisterKind.Quorum, voters);
            var result = LinearizabilityChecker.Check(world.History);
            Assert.True(result.Ok, $"seed {seed}, {voters} voters: {result.Verdict} {result.Explanation}");
            total = (total.Done + world.Clients.Sum(c => c.Done), total.Refused + world.Clients.Sum(c => c.Refused), total.Unclear + world.Clients.Sum(c => c.Unclear), total.Epochs + world.Epochs, total.Reopened + world.Reopened);
        }

        Report(total);
    }

    [Fact]
    [Trait("Hazard", "12")]
    [Trait("Hazard", "51")]
    [Trait("Hazard", "52")]
    public void Without_majorities_all_become_equal_and_nothing_acknowledged_goes_but_to_a_later_write()
    {
        var total = (Done: 0, Refused: 0, Unclear: 0, Epochs: 0, Reopened: 0);
        foreach (var seed in Seeds())
        {
            var world = Play(seed, RegisterKind.Async, 3);
            total = (total.Done + world.Clients.Sum(c => c.Done), total.Refused + world.Clients.Sum(c => c.Refused), total.Unclear + world.Clients.Sum(c => c.Unclear), total.Epochs + world.Epochs, total.Reopened + world.Reopened);
        }

        Report(total);
    }

    [Fact]
    public void A_replica_that_starts_beyond_an_end_whose_mark_it_has_lost_ends_that_epoch_by_itself() =>
        Assert.True(Play(57, RegisterKind.Quorum, 5).Epochs > 0); // This schedule once stopped a replica.

    [Fact]
    public void One_seed_is_one_history()
    {
        static string Of(Simulation world) => string.Join('\n', world.History);
        Assert.Equal(Of(Play(7, RegisterKind.Quorum, 3)), Of(Play(7, RegisterKind.Quorum, 3)));
        Assert.Equal(Of(Play(7, RegisterKind.Async, 3)), Of(Play(7, RegisterKind.Async, 3)));
    }

    private static Simulation Play(ulong seed, RegisterKind kind, int voters)
    {
        var world = new Simulation(seed, kind, voters);
        try
        {
            world.Run();
        }
        catch (Exception e)
        {
            throw new InvalidOperationException($"seed {seed}, {kind}, {voters} voters, {world.NowUs} us: {e.Message}", e);
        }

        return world;
    }

    private static IEnumerable<ulong> Seeds()
    {
        var asked = (Environment.GetEnvironmentVariable("FLOTILLA_REGISTER_SEEDS") ?? "16").Split("..");
        var (from, to) = asked.Length == 1 ? (1UL, ulong.Parse(asked[0])) : (ulong.Parse(asked[0]), ulong.Parse(asked[1]));
        for (var seed = from; seed <= to; seed++)
        {
            yield return seed;
        }
    }

    // The schedules are worth something: enough is done, epochs end, and calls are refused and end unclear now and then.
    private static void Report((int Done, int Refused, int Unclear, int Epochs, int Reopened) total)
    {
        var seeds = Seeds().Count();
        TestContext.Current.TestOutputHelper?.WriteLine($"{seeds} seeds: {total}");
        Assert.True(total.Done > 150 * seeds && total.Refused > seeds && total.Epochs + total.Reopened > 2 * seeds, $"{total}");
    }
}
