using Flotilla.Data.Tests.Harness;
using Flotilla.Data.Tree;

namespace Flotilla.Data.Tests;

/// <summary>
/// Random scripts against a sorted model, with dozens of snapshots held while the tree changes. FLOTILLA_DATA_SEEDS runs
/// more seeds than the default.
/// </summary>
public sealed class RandomOperationTests
{
    // Tiny pages and fan-outs make trees of five and more levels out of a few thousand records.
    private static readonly TreeLimits Tiny = new(256, 8, 64);
    private static readonly TreeLimits Small = new(512, 8, 1024);

    private static int Seeds => int.TryParse(Environment.GetEnvironmentVariable("FLOTILLA_DATA_SEEDS"), out var seeds) ? seeds : 12;

    [Theory]
    [InlineData(Keys.Few)]
    [InlineData(Keys.Random)]
    [InlineData(Keys.SharedPrefixes)]
    [InlineData(Keys.AnyLength)]
    public void A_deep_tree_of_tiny_pages_does_what_a_sorted_model_does(Keys keys) =>
        RunSeeds(keys, Tiny, maxValueLength: 2000, length: 2500, everyLeafFilled: false);

    [Theory]
    [InlineData(Keys.Few)]
    [InlineData(Keys.Random)]
    [InlineData(Keys.SharedPrefixes)]
    public void A_tree_of_small_pages_does_what_a_sorted_model_does(Keys keys) =>
        RunSeeds(keys, Small, maxValueLength: 1500, length: 2500, everyLeafFilled: false);

    [Theory]
    [InlineData(Keys.Random)]
    [InlineData(Keys.SharedPrefixes)]
    public void No_leaf_of_small_records_stays_too_empty(Keys keys) =>
        RunSeeds(keys, TreeLimits.Default with { Fanout = 8 }, maxValueLength: 300, length: 6000, everyLeafFilled: true);

    [Theory]
    [InlineData(Keys.Random)]
    [InlineData(Keys.AnyLength)]
    public void The_tree_as_it_ships_does_what_a_sorted_model_does(Keys keys) =>
        RunSeeds(keys, TreeLimits.Default, maxValueLength: 20_000, length: 4000, everyLeafFilled: false);

    [Fact]
    public void Values_of_up_to_a_mebibyte_come_back_whole() =>
        RunSeeds(Keys.AnyLength, TreeLimits.Default, maxValueLength: 1024 * 1024, length: 400, everyLeafFilled: false);

    [Fact]
    public void A_failing_script_is_shrunk_to_the_steps_that_matter()
    {
        var script = new ScriptWriter(1, Keys.Few, 10).Write(200);
        var puts = script.Where(o => o.Kind == OperationKind.Put).Take(2).ToArray();

        var shortest = ScriptRunner.Shrink(script, candidate => puts.All(candidate.Contains));

        Assert.Equal(puts, shortest);
    }

    private static void RunSeeds(Keys keys, TreeLimits limits, int maxValueLength, int length, bool everyLeafFilled)
    {
        for (var seed = 1; seed <= Seeds; seed++)
        {
            var script = new ScriptWriter(seed, keys, maxValueLength).Write(length);
            ScriptRunner.MustHold(script, limits, everyLeafFilled, $"Seed {seed} of {keys} keys in pages of {limits.PageBytes}");
        }
    }
}
