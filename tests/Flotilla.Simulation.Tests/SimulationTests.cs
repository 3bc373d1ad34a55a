using System.Diagnostics;

namespace Flotilla.Simulation.Tests;

/// <summary>Whole clusters under faults, from many seeds.</summary>
public sealed class SimulationTests
{
    private const ulong Seeds200 = 200;
    private const ulong SeedWithMoves = SimulationOptions.FirstWithMoves;
    private const ulong SeedsWithMoves = 20;
    private const ulong SeedWithModes = SimulationOptions.FirstWithModes;
    private const ulong SeedsWithModes = 12;

    /// <summary>Another range of seeds than usual: <c>FLOTILLA_SEEDS=1000..1999</c>.</summary>
    private static readonly string? Range = Environment.GetEnvironmentVariable("FLOTILLA_SEEDS");

    [Fact]
    public void Two_hundred_seeds_stay_safe_and_heal()
    {
        var bounds = Range?.Split("..").Select(ulong.Parse).ToArray() ?? [1UL, Seeds200];
        var totals = RunAll(bounds[0], bounds[1]);
        if (Range is null)
        {
            AssertThatMuchHappened(totals);
        }
    }

    [Fact]
    [Trait("Hazard", "37")]
    [Trait("Hazard", "38")]
    [Trait("Hazard", "39")]
    [Trait("Hazard", "40")]
    [Trait("Hazard", "41")]
    [Trait("Hazard", "42")]
    [Trait("Hazard", "43")]
    [Trait("Hazard", "44")]
    public void While_slots_move_under_all_faults_each_has_one_owner_nothing_is_lost_or_doubled_and_in_the_end_all_are_at_home()
    {
        Assert.True(SimulationOptions.For(SeedWithMoves).Moves);
        var totals = RunAll(SeedWithMoves, SeedWithMoves + SeedsWithMoves - 1);
        string[] events =
        [
            "shard born", "shard leaves", "weight", "meddling", "struck moves", "strike at Begin", "strike at Open", "strike at Stage", "strike at Prepare", "strike at Freeze",
            "accepted move", "unfrozen move", "step Cancel", "step Abort", "step Purge", "slot moving", "not owner", "write in doubt follows its slot", "flipped bit in gossip", "installed snapshot",
            "wrong map", "session opened ahead", "page", "page of several rounds", "rushed write", "replica taken away", "source left in the dark",
        ];
        Assert.All(events, what => Assert.True(totals.GetValueOrDefault(what) >= 1, $"{what} happened {totals.GetValueOrDefault(what)} times"));
        Assert.True(totals["accepted move"] > 200, $"{totals["accepted move"]} moves");
    }

    [Fact]
    [Trait("Hazard", "45")]
    [Trait("Hazard", "46")]
    [Trait("Hazard", "47")]
    [Trait("Hazard", "48")]
    [Trait("Hazard", "49")]
    [Trait("Hazard", "52")]
    public void While_shards_switch_between_raft_sync_and_chain_under_all_faults_what_is_acknowledged_is_where_its_mode_says()
    {
        Assert.True(SimulationOptions.For(SeedWithModes).Modes);
        var totals = RunAll(SeedWithModes, SeedWithModes + SeedsWithModes - 1);
        Assert.All(["switch to Raft", "switch to Sync", "switch to Chain", "accepted move"], what => Assert.True(totals.GetValueOrDefault(what) >= 1, $"{what} happened {totals.GetValueOrDefault(what)} times"));
        Assert.True(totals["acknowledged by all in sync"] > 1_000, $"{totals["acknowledged by all in sync"]} acknowledged by all");
        Assert.True(totals["passed on"] > 300, $"{totals["passed on"]} messages passed on");
        Assert.True(totals["replica unavailable"] > 1_000, $"{totals["replica unavailable"]} refused");
    }

    [Theory]
    [InlineData(2)]
    [InlineData(9)]
    [InlineData(SeedWithModes)]
    [InlineData(SeedWithMoves)]
    public void The_same_seed_gives_the_same_transcript(ulong seed)
    {
        using var first = new StringWriter();
        using var second = new StringWriter();
        Simulation.Run(seed, first, Short);
        Simulation.Run(seed, second, Short);
        Assert.True(first.ToString().Length > 100_000);
        AssertSame(first.ToString(), second.ToString());
    }

    [Fact]
    public void A_transcript_does_not_change_the_run()
    {
        var silent = Simulation.Run(7, null, Short);
        using var transcript = new StringWriter();
        var told = Simulation.Run(7, transcript, Short);
        Assert.Equal(silent.Counts, told.Counts);
        Assert.Equal(silent.History, told.History);
    }

    [Fact]
    public void Different_seeds_give_different_runs()
    {
        var one = Simulation.Run(2, null, Short);
        var other = Simulation.Run(4, null, Short);
        Assert.NotEqual(one.History, other.History);
    }

    [Fact]
    public void A_quiet_cluster_answers_everything()
    {
        var result = Simulation.Run(2, null, options => options with { Seconds = 20, FaultEveryMs = 1_000_000_000, Noise = 0, Lasting = false, ThinkMs = 80 });
        Assert.Null(result.Failure);
        Assert.Equal(0, result.Counts["unknown"]);
        Assert.Equal(0, result.Counts["fail"]);
        Assert.True(result.Counts["ok"] > 500);
        Assert.Equal(result.Options.Shards, result.Counts["elections"]);
    }

    private static SortedDictionary<string, long> RunAll(ulong first, ulong last)
    {
        var clock = Stopwatch.StartNew();
        var totals = new SortedDictionary<string, long>(StringComparer.Ordinal);
        var failures = new List<SimulationResult>();
        foreach (var result in Seeds.Batches(first, last).SelectMany(Seeds.RunBatch))
        {
            if (result.Failure is not null)
            {
                failures.Add(result);
            }

            foreach (var (what, count) in result.Counts)
            {
                totals[what] = totals.GetValueOrDefault(what) + count;
            }
        }

        TestContext.Current.TestOutputHelper!.WriteLine($"{clock.Elapsed.TotalSeconds:F0} s; {string.Join(", ", totals.Select(t => $"{t.Key} {t.Value}"))}");
        Assert.True(failures.Count == 0, string.Join('\n', failures.Select(f => $"seed {f.Seed}: {f.Failure}\nreplay with: {f.Replay}")));
        return totals;
    }

    private static SimulationOptions Short(SimulationOptions options) => options with { Seconds = 15 };

    // A green run means something only if faults struck and clients were served in spite of them.
    private static void AssertThatMuchHappened(SortedDictionary<string, long> totals)
    {
        string[] faults =
        [
            "split", "isolate leader", "one-way cut", "mute or deaf", "bridge", "storm", "detours", "power loss", "kill", "power loss everywhere", "torn batch", "pause",
            "slow disk", "stalled disk", "stalled disk without heirs", "failed sync", "clock drift", "wall clock jump", "transfer", "false hint", "leader churn", "deposed leader", "wipe", "fetch", "reluctance", "damage", "damage refused",
            "snapshot", "torn snapshot", "installed snapshot", "change of mind", "add", "remove", "wiped node is whole again",
            "struck changes", "gateway restart", "session", "session expired", "write without room for a session", "retry in a session", "retry under a key", "answered after a retry", "answered after retries",
            "quiet", "woken", "leader silent", "quorum silent",
        ];
        Assert.All(faults, fault => Assert.True(totals.GetValueOrDefault(fault) >= 5, $"{fault} happened {totals.GetValueOrDefault(fault)} times"));
        string[] lasting = ["one-way cut", "cut link", "mute", "deaf", "bridge", "flapping", "stalled disk", "stopped", "dead", "left behind", "removal", "promotion", "loss"];
        Assert.All(lasting, trouble => Assert.True(totals.GetValueOrDefault($"lasting {trouble}") >= 1, $"{trouble} lasted {totals.GetValueOrDefault($"lasting {trouble}")} times"));
        Assert.True(totals["asked in lasting trouble"] > 1500, $"{totals["asked in lasting trouble"]} requests in lasting trouble");
        Assert.True(totals["elections"] > 2000, $"{totals["elections"]} elections");
        Assert.True(totals["ok"] > 200_000, $"{totals["ok"]} operations succeeded");
        Assert.True(totals["unknown"] > 1000, $"{totals["unknown"]} operations ended unknown");
    }

    private static void AssertSame(string first, string second)
    {
        if (!string.Equals(first, second, StringComparison.Ordinal))
        {
            var lines = first.Split('\n').Zip(second.Split('\n')).First(pair => pair.First != pair.Second);
            Assert.Fail($"The transcripts part at:\n  {lines.First}\n  {lines.Second}");
        }
    }
}
