using System.Globalization;
using System.Text;
using Flotilla.Client;
using Flotilla.Cluster.Tests.Harness;
using Flotilla.Linearizability;
using Flotilla.Topology;

namespace Flotilla.Cluster.Tests;

/// <summary>
/// Clusters that grow and shrink under load, with every answer checked: real processes, clients of the nodes, of the nodes that lead, and
/// of a router. FLOTILLA_GROW_ROUNDS says how often (once by default), FLOTILLA_GROW_RECORDS how much else is stored;
/// <c>scripts/grow.sh</c> runs more, and with FLOTILLA_GROW_PAUSES=1 judges pauses too: a machine that builds something else at the same
/// time says nothing about them.
/// </summary>
public sealed class GrowTests(ITestOutputHelper output)
{
    private const double LongestPauseMs = 100;

    private static readonly int Rounds = Number("FLOTILLA_GROW_ROUNDS", 1);
    private static readonly int Records = Number("FLOTILLA_GROW_RECORDS", 2000);
    private static readonly int Keys = Number("FLOTILLA_GROW_KEYS", 48);
    private static readonly bool JudgesPauses = Number("FLOTILLA_GROW_PAUSES", 0) == 1;

    // /config is long, and whoever asks for it all the time measures little else.
    private static readonly TimeSpan BetweenLooks = TimeSpan.FromMilliseconds(200);

    private int _lastShard = 3;
    private List<int> _shards = [1, 2, 3];

    [Fact]
    [Trait("Hazard", "39")]
    public async Task Three_shards_grow_to_six_and_shrink_to_two_and_no_client_notices() => await RunAsync(async (cluster, load, round) =>
    {
        var began = load.NowUs;
        for (var n = 0; n < 3; n++)
        {
            await AddAsync(cluster, load);
        }

        Tell(load, $"round {round}, 3 to 6 shards", began);
        began = load.NowUs;
        for (var n = 0; n < 4; n++)
        {
            await RemoveAsync(cluster, load);
        }

        Tell(load, $"round {round}, 6 to 2 shards", began);
        await AddAsync(cluster, load);
    }, JudgesPauses);

    [Fact]
    [Trait("Hazard", "40")]
    public async Task Leaders_killed_while_slots_move_lose_nothing_and_no_client_sees_an_error() => await RunAsync(async (cluster, load, round) =>
    {
        var began = load.NowUs;
        await AddAsync(cluster, load, async shard => await KillLeaderAsync(cluster, load, round % 2 == 0 ? shard : 1 + (round % 2)));
        await AddAsync(cluster, load);
        await AddAsync(cluster, load);
        Tell(load, $"round {round}, 3 to 6 shards, a leader killed", began);
        began = load.NowUs;
        await RemoveAsync(cluster, load, async shard => await KillLeaderAsync(cluster, load, round % 2 == 0 ? 1 : shard));
        for (var n = 0; n < 3; n++)
        {
            await RemoveAsync(cluster, load);
        }

        Tell(load, $"round {round}, 6 to 2 shards, a leader killed", began);
        await AddAsync(cluster, load);
    }, judgesPauses: false);

    private async Task RunAsync(Func<TestCluster, KeyedLoad, int, Task> round, bool judgesPauses)
    {
        await using var cluster = await TestCluster.StartAsync();
        var router = await cluster.StartRouterAsync();
        var stored = await StoreAsync(cluster);
        FlotillaClient[] clients =
        [
            new(new FlotillaClientOptions { Endpoints = cluster.Endpoints, Spread = true }),
            new(new FlotillaClientOptions { Endpoints = cluster.Endpoints, DirectRouting = true, Spread = true }),
            new(new FlotillaClientOptions { Endpoints = [router] }),
        ];
        await using var owners = new SlotSampler(cluster.Nodes, () => Enumerable.Range(1, _lastShard), TimeSpan.FromMilliseconds(JudgesPauses ? 500 : 50));
        await using var load = new KeyedLoad(clients, Keys, others: 8);
        await load.MoreWritesAsync(JudgesPauses ? 20_000 : 2000);
        if (judgesPauses)
        {
            // Processes that have just started are slow the first time that they do anything.
            await AddAsync(cluster, load);
            await RemoveAsync(cluster, load);
        }

        var began = load.NowUs;
        await load.MoreWritesAsync(4000);
        Tell(load, "before", began);
        var changesBegan = load.NowUs;
        for (var n = 1; n <= Rounds; n++)
        {
            await round(cluster, load, n);
        }

        began = load.NowUs;
        var pauses = load.Pauses(changesBegan, began);
        await load.MoreWritesAsync(4000);
        Tell(load, "after", began);
        await load.FinishAsync();
        var check = LinearizabilityChecker.Check(load.History);
        output.WriteLine($"{load.History.Count} operations, {load.Writes} acknowledged writes, {load.Errors.Count} errors; {check.Verdict}");
        Assert.Empty(load.Errors);
        Assert.True(check.Ok, check.Explanation);
        Assert.Empty(load.VersionsThatGoBack());
        await owners.FinishAsync();
        output.WriteLine(owners.Summary);
        Assert.Empty(owners.Claims.Violations);
        Assert.True(owners.Claims is { Moved: > 1000, FormerOwnersAsked: > 1000 }, "who owns what was sampled too seldom");
        await EverythingIsThereAsync(cluster, stored);
        await cluster.ConvergedAsync();
        if (judgesPauses)
        {
            Assert.True(pauses[0].Ms < LongestPauseMs, $"the longest pause for one key is {pauses[0].Ms:F0} ms");
        }
    }

    private void Tell(KeyedLoad load, string phase, long beganUs)
    {
        var now = load.NowUs;
        var pauses = load.Pauses(beganUs, now);
        var (perSecond, p50, p99, max) = load.Latency(beganUs, now);
        var longest = string.Join(", ", pauses.Take(5).Select(p => string.Create(CultureInfo.InvariantCulture, $"{p.Ms:F0} ms ({p.Key} at {p.AtUs / 1000})")));
        output.WriteLine($"{phase}: {(now - beganUs) / 1e6:F1} s, {perSecond:F0} operations/s, p50 {p50:F1} ms, p99 {p99:F1} ms, max {max:F0} ms, errors {load.Errors.Count}; longest pauses for one key: {longest}");
    }

    private async Task AddAsync(TestCluster cluster, KeyedLoad load, Func<int, Task>? meanwhile = null)
    {
        var shard = ++_lastShard;
        using var client = new FlotillaClient(new FlotillaClientOptions { Endpoints = cluster.Endpoints, ReadAttemptTimeout = TimeSpan.FromSeconds(5) });
        var (began, before) = (load.NowUs, await SlotsAsync(cluster, shard));
        var added = await client.AddShardAsync(shard, null);
        Assert.True(added.Outcome == CallOutcome.Ok, $"adding shard {shard}: {added.Error}");
        await ChangedAsync(cluster, load, shard, [.. _shards, shard], (began, before), meanwhile);
    }

    private async Task RemoveAsync(TestCluster cluster, KeyedLoad load, Func<int, Task>? meanwhile = null)
    {
        var shard = _shards.Last();
        using var client = new FlotillaClient(new FlotillaClientOptions { Endpoints = cluster.Endpoints, ReadAttemptTimeout = TimeSpan.FromSeconds(5) });
        var (began, before) = (load.NowUs, await SlotsAsync(cluster, shard));
        var removed = await client.RemoveShardAsync(shard);
        Assert.True(removed.Outcome == CallOutcome.Ok, $"removing shard {shard}: {removed.Error}");
        await ChangedAsync(cluster, load, shard, [.. _shards.Where(s => s != shard)], (began, before), meanwhile);
    }

    private async Task ChangedAsync(TestCluster cluster, KeyedLoad load, int shard, List<int> shards, (long BeganUs, int Slots) at, Func<int, Task>? meanwhile)
    {
        if (meanwhile is not null)
        {
            await Shell.EventuallyAsync(async () => await SlotsAsync(cluster, shard) != at.Slots, "some slots have moved", TimeSpan.FromSeconds(60));
            await meanwhile(shard);
        }

        var ring = new Ring([.. shards.Select(static s => new RingMember(new ShardId(s)))]);
        await Shell.EventuallyAsync(
            async () =>
            {
                await Task.Delay(BetweenLooks);
                var config = await cluster.ConfigAsync();
                return config.Shards.Where(static s => s.Slots > 0).Select(static s => s.Id).Order().SequenceEqual(shards.Order())
                    && config.Shards.All(s => s.Slots == ring.SlotsOf(new ShardId(s.Id)).Count)
                    && config.Shards.All(s => shards.Contains(s.Id) == (s.State == "active"));
            },
            $"the slots lie where shards {string.Join(", ", shards)} want them",
            TimeSpan.FromSeconds(180));
        Tell(load, $"  shard {shard} {(_shards.Count < shards.Count ? "added" : "removed")}", at.BeganUs);
        _shards = shards;
    }

    private static async Task<int> SlotsAsync(TestCluster cluster, int shard) => (await cluster.ConfigAsync()).Shards.SingleOrDefault(s => s.Id == shard)?.Slots ?? 0;

    private async Task KillLeaderAsync(TestCluster cluster, KeyedLoad load, int shard)
    {
        var leader = await LeaderAsync(cluster, shard);
        output.WriteLine($"  {leader.Id}, which leads shard {shard}, is killed at {load.NowUs / 1000} ms");
        await leader.KillAsync();
        await load.MoreWritesAsync(1000);
        cluster.Start(leader);
        await TestCluster.ReadyAsync(leader);
    }

    /// <summary>Who leads a shard; one that leaves may be retired by now, and then it is another's leader.</summary>
    private static async Task<TestNode> LeaderAsync(TestCluster cluster, int shard)
    {
        TestNode? leader = null;
        await Shell.EventuallyAsync(
            async () =>
            {
                var shards = (await cluster.ConfigAsync()).Shards;
                var id = (shards.SingleOrDefault(s => s.Id == shard) ?? shards.First(static s => s.State == "active")).Leader;
                return (leader = cluster.Nodes.SingleOrDefault(n => n.Id == id && n.IsRunning)) is not null;
            },
            $"shard {shard} has a leader");
        return leader!;
    }

    private static async Task<Dictionary<string, string>> StoreAsync(TestCluster cluster)
    {
        using var client = new FlotillaClient(new FlotillaClientOptions { Endpoints = cluster.Endpoints, Spread = true, Timeout = TimeSpan.FromSeconds(60) });
        var stored = Enumerable.Range(0, Records).ToDictionary(static i => string.Create(CultureInfo.InvariantCulture, $"stored/{i:D9}"), static i => new string((char)('a' + (i % 26)), 100), StringComparer.Ordinal);
        await Parallel.ForEachAsync(stored, new ParallelOptions { MaxDegreeOfParallelism = 64 }, async (record, cancel) =>
            Assert.Equal(CallOutcome.Ok, (await client.PutAsync(Encoding.UTF8.GetBytes(record.Key), Encoding.UTF8.GetBytes(record.Value), cancel: cancel)).Outcome));
        return stored;
    }

    private static async Task EverythingIsThereAsync(TestCluster cluster, Dictionary<string, string> stored)
    {
        using var client = new FlotillaClient(new FlotillaClientOptions { Endpoints = cluster.Endpoints });
        var seen = new Dictionary<string, string>(StringComparer.Ordinal);
        await foreach (var page in client.ScanAsync("stored/"u8.ToArray()))
        {
            Assert.True(page.Outcome == CallOutcome.Ok, $"{page.Error}");
            foreach (var record in page.Document!.Items)
            {
                seen.Add(record.Key!, record.Value!);
            }
        }

        Assert.Equal(stored.Count, seen.Count);
        Assert.All(stored, record => Assert.Equal(record.Value, seen[record.Key]));
    }

    private static int Number(string variable, int otherwise) => int.Parse(Environment.GetEnvironmentVariable(variable) ?? otherwise.ToString(CultureInfo.InvariantCulture), CultureInfo.InvariantCulture);
}
