using System.Collections.Concurrent;
using System.Globalization;
using Flotilla.Node.Tests.Clusters;
using Flotilla.Raft;
using Flotilla.Shards;
using Flotilla.Topology;
using Flotilla.Wire.Peers;

namespace Flotilla.Node.Tests;

/// <summary>Shards that are born and that leave while clients read and write.</summary>
public sealed class ShardLifeTests
{
    private static readonly ShardId Fourth = new(4);

    [Fact, Trait("Hazard", "39")]
    public async Task A_fourth_shard_takes_its_share_of_the_slots_under_writes_and_gives_it_back()
    {
        await using var cluster = await TestCluster.StartAsync(3);
        using var stop = new CancellationTokenSource();
        var written = new ConcurrentDictionary<string, string>(StringComparer.Ordinal);
        var failures = new ConcurrentQueue<string>();
        for (var i = 0; i < 300; i++)
        {
            await cluster[0].Gateway.PutSurelyAsync($"old-{i}", $"v{i}");
            written[$"old-{i}"] = $"v{i}";
        }

        var writers = Enumerable.Range(0, 4).Select(w => Task.Run(async () =>
        {
            for (var i = 0; !stop.IsCancellationRequested; i++)
            {
                var (key, value) = ($"w{w}-{i % 200}", i.ToString(CultureInfo.InvariantCulture));
                var answer = await cluster[w % 3].Gateway.PutAsync(key, value, new CallOptions(true, false, TimeoutMs: 20_000));
                if (answer.Result.Code == ResultCode.Ok)
                {
                    written[key] = value;
                }
                else
                {
                    failures.Enqueue($"put {key}: {answer.Result.Code} {answer.Detail}");
                }
            }
        })).ToArray();

        var added = await cluster[1].Changes.AddShardAsync(Fourth, cluster.OptionsOf(2).Http);
        Assert.Equal((ChangeCode.Done, "joining", TestCluster.Id(2)), (added.Code, added.State, added.Node));
        await Eventually.IsTrueAsync(() => cluster.Running.All(i => State(cluster, i, Fourth) is not null), "everybody has heard of it");
        Assert.Contains("exists already", (await AddAgainAsync(cluster)).Detail, StringComparison.Ordinal);
        var fair = new Ring([.. Enumerable.Range(1, 4).Select(s => new RingMember(new ShardId(s)))]).SlotsOf(Fourth).Count;
        await Eventually.IsTrueAsync(
            () => cluster.Running.All(i => Slots(cluster, i, Fourth) == fair && State(cluster, i, Fourth) == "active"), "all of its share is there, and everybody knows", seconds: 90);
        Assert.Equal(3, cluster[0].Gateway.View.Shards.Single(s => s.Shard == Fourth).Voters.Count);
        await EverythingIsThereAsync(cluster, written, 20);

        var removed = await cluster[0].Changes.RemoveShardAsync(Fourth, TimeSpan.FromSeconds(10));
        Assert.Equal((ChangeCode.Done, "leaving"), (removed.Code, removed.State));
        await Eventually.IsTrueAsync(
            () => cluster.Running.All(i => cluster[i].Gateway.View.Shards.Count == 3 && cluster[i].Gateway.View.Shards.Sum(s => Count(s)) == Slot.Count), "it is retired, and its slots are back", seconds: 90);
        await stop.CancelAsync();
        await Task.WhenAll(writers);
        Assert.Empty(failures);
        await EverythingIsThereAsync(cluster, written, int.MaxValue);
        Assert.Contains("not used twice", (await AddAgainAsync(cluster)).Detail, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_shard_that_was_born_late_is_there_after_all_nodes_were_down()
    {
        await using var cluster = await TestCluster.StartAsync(3, shards: 1);
        var added = await cluster[0].Changes.AddShardAsync(new ShardId(7), address: null);
        Assert.Equal(ChangeCode.Done, added.Code);
        await Eventually.IsTrueAsync(
            () => cluster.Running.All(i => State(cluster, i, new ShardId(7)) == "active" && Slots(cluster, i, new ShardId(7)) > 1000 && Slots(cluster, i, new ShardId(1)) + Slots(cluster, i, new ShardId(7)) == Slot.Count),
            "it has slots", seconds: 60);
        await cluster[1].Gateway.PutSurelyAsync("k", "v");
        for (var i = 0; i < 3; i++)
        {
            await cluster.KillAsync(i);
        }

        for (var i = 0; i < 3; i++)
        {
            await cluster.StartNodeAsync(i);
        }

        await cluster.LeadersAsync();
        Assert.True(Slots(cluster, 0, new ShardId(7)) > 1000);
        Assert.Equal("v", await cluster[2].Gateway.ReadAsync("k"));
        var page = await cluster[0].Gateway.ScanAsync(new ScanRequest(default, default, 100, 1 << 20), CallOptions.Default);
        Assert.Single(page.Records);
    }

    [Fact]
    public async Task The_last_active_shard_stays_and_unknown_ones_are_named()
    {
        await using var cluster = await TestCluster.StartAsync(1, shards: 1, replicas: 1);
        var last = await cluster[0].Changes.RemoveShardAsync(new ShardId(1), TimeSpan.FromSeconds(10));
        Assert.Equal(ChangeCode.Refused, last.Code);
        Assert.Contains("last active shard", last.Detail, StringComparison.Ordinal);
        Assert.Equal(ChangeCode.Unknown, (await cluster[0].Changes.RemoveShardAsync(new ShardId(9), TimeSpan.FromSeconds(1))).Code);
        var nowhere = await cluster[0].Changes.AddShardAsync(new ShardId(2), new Contracts.HostPort("127.0.0.1", 1));
        Assert.Equal(ChangeCode.Unknown, nowhere.Code);
        Assert.Contains("n1 (HTTP", nowhere.Detail, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Nodes_that_are_added_at_one_moment_bring_the_shards_that_they_are_told_to()
    {
        await using var cluster = await TestCluster.StartAsync(1, shards: 2);
        for (var i = 0; i < 100; i++)
        {
            await cluster[0].Gateway.PutSurelyAsync($"k{i}", $"v{i}");
        }

        // Both are likely to take the same numbers at first: one of each two shards retires, and another comes in its place.
        var added = new[] { cluster.Add(contact: 0, o => o with { ShardsPerNode = 2 }), cluster.Add(contact: 0, o => o with { ShardsPerNode = 2 }) };
        await Task.WhenAll(added.Select(node => cluster.StartNodeAsync(node)));
        await AllHaveSharesAsync(cluster, 6);
        for (var i = 0; i < 100; i++)
        {
            Assert.Equal($"v{i}", await cluster[added[0]].Gateway.ReadSurelyAsync($"k{i}"));
        }

        // What was brought is not brought again: neither by a restart, nor when people have removed it.
        var born = cluster.Log.Count(2406);
        var last = cluster[0].Gateway.View.Shards[^1].Shard;
        Assert.Equal(ChangeCode.Done, (await cluster[0].Changes.RemoveShardAsync(last, TimeSpan.FromSeconds(30))).Code);
        await AllHaveSharesAsync(cluster, 5);
        foreach (var node in added)
        {
            await cluster.StopAsync(node);
            await cluster.StartNodeAsync(node);
        }

        await AllHaveSharesAsync(cluster, 5);
        Assert.Equal(born, cluster.Log.Count(2406));
    }

    /// <summary>So many shards, all active, each with the slots that the ring gives it, as every node sees it.</summary>
    private static Task AllHaveSharesAsync(TestCluster cluster, int shards) => Eventually.IsTrueAsync(
        () => cluster.Running.All(i =>
        {
            var view = cluster[i].Gateway.View;
            var ring = new Ring([.. view.Shards.Select(s => new RingMember(s.Shard))]);
            return view.Shards.Count == shards && view.Shards.All(s => s.State == "active" && Count(s) == ring.SlotsOf(s.Shard).Count);
        }),
        $"{shards} shards have their shares", seconds: 180);

    private static async Task<ShardAnswer> AddAgainAsync(TestCluster cluster)
    {
        var answer = default(ShardAnswer);
        await Eventually.IsTrueAsync(
            async () => (answer = await cluster[0].Changes.AddShardAsync(Fourth, address: null)).Code == ChangeCode.Refused, "its number is taken");
        return answer!;
    }

    private static async Task EverythingIsThereAsync(TestCluster cluster, ConcurrentDictionary<string, string> written, int atMost)
    {
        foreach (var (key, _) in written.Where(p => p.Key.StartsWith("old-", StringComparison.Ordinal) || atMost == int.MaxValue).Take(atMost))
        {
            // What a writer has written meanwhile is newer than what it was when the list was made.
            var before = written[key];
            var read = await cluster[2].Gateway.ReadAsync(key);
            Assert.True(read == before || read == written[key] || atMost != int.MaxValue, $"{key} is {read}, not {before}");
            Assert.NotNull(read);
        }
    }

    private static int Slots(TestCluster cluster, int node, ShardId shard) => cluster[node].Gateway.View.Shards.Where(s => s.Shard == shard).Sum(Count);

    private static int Count(ShardView shard) => shard.Ranges.Sum(static r => r.Last - r.First + 1);

    private static string? State(TestCluster cluster, int node, ShardId shard) => cluster[node].Gateway.View.Shards.FirstOrDefault(s => s.Shard == shard)?.State;
}
