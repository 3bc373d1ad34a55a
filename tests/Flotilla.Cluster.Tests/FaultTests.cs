using System.Globalization;
using System.Text;
using Flotilla.Client;
using Flotilla.Cluster.Tests.Harness;
using Flotilla.Linearizability;

namespace Flotilla.Cluster.Tests;

/// <summary>
/// Faults against real processes under a load of 64 clients, with every answer checked. FLOTILLA_FAULT_ROUNDS says how many
/// times each fault strikes (2 by default; <c>scripts/faults.sh</c> runs ten and, with FLOTILLA_FAULT_GAPS=1, judges the
/// gaps too: a machine that builds something else at the same time says nothing about them).
/// </summary>
public sealed class FaultTests(ITestOutputHelper output)
{
    /// <summary>How long a process is stopped: several election timeouts.</summary>
    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(5);

    private static readonly int Rounds = int.Parse(Environment.GetEnvironmentVariable("FLOTILLA_FAULT_ROUNDS") ?? "2", CultureInfo.InvariantCulture);

    [Fact]
    [Trait("Hazard", "2")]
    [Trait("Hazard", "14")]
    public async Task Killing_the_leader_of_a_shard_loses_nothing_and_writes_go_on() =>
        await StrikeAsync(
            medianGapMs: 500,
            worstGapMs: double.MaxValue,
            async (cluster, leader, load) =>
            {
                await leader.KillAsync();
                await load.MoreWritesAsync(2000);
                cluster.Start(leader);
                await TestCluster.ReadyAsync(leader);
                await load.MoreWritesAsync(500);
            });

    [Fact]
    [Trait("Hazard", "31")]
    [Trait("Hazard", "7")]
    public async Task A_leader_paused_for_five_seconds_serves_no_stale_read_and_loses_nothing() =>
        await StrikeAsync(
            medianGapMs: 1000,
            worstGapMs: 1000,
            async (_, leader, load) =>
            {
                leader.Pause();
                await Task.Delay(Pause);
                leader.Continue();
                await load.MoreWritesAsync(1000);
            });

    private async Task StrikeAsync(double medianGapMs, double worstGapMs, Func<TestCluster, TestNode, Workload, Task> fault)
    {
        await using var cluster = await TestCluster.StartAsync();
        var ranges = (await cluster.ConfigAsync()).Shards.SelectMany(s => s.Ranges.Select(r => (First: r[0], Last: r[1], s.Id))).ToArray();
        int ShardOf(string key)
        {
            var slot = KeySlot.Of(Encoding.UTF8.GetBytes(key));
            return ranges.First(r => slot >= r.First && slot <= r.Last).Id;
        }

        var gaps = new List<double>();
        await using var load = new Workload(cluster.Endpoints, clients: 64, keys: 2000, ShardOf);
        await load.MoreWritesAsync(5000);
        for (var round = 0; round < Rounds; round++)
        {
            var shard = 1 + round % 3;
            var leader = await cluster.LeaderAsync(shard);
            var began = load.NowUs;
            await fault(cluster, leader, load);
            gaps.Add(load.LongestGapMs(shard, began, load.NowUs));
            output.WriteLine($"round {round + 1}: {leader.Id} led shard {shard}; longest time without a successful write to it: {gaps[^1]:F0} ms");
        }

        await load.FinishAsync();
        await cluster.ConvergedAsync();
        var check = LinearizabilityChecker.Check(load.History);
        var median = gaps.Order().ElementAt(gaps.Count / 2);
        output.WriteLine($"{load.History.Count} operations, {load.Writes} acknowledged writes, {load.History.Count(o => o.Outcome == Outcome.Unknown)} unknown; median gap {median:F0} ms, worst {gaps.Max():F0} ms; {check.Verdict}");
        Assert.True(check.Ok, check.Explanation);
        if (Environment.GetEnvironmentVariable("FLOTILLA_FAULT_GAPS") == "1")
        {
            Assert.True(median < medianGapMs, $"the median gap is {median:F0} ms");
            Assert.True(gaps.Max() < worstGapMs, $"the worst gap is {gaps.Max():F0} ms");
        }
    }
}
