using System.Collections.Concurrent;
using Flotilla.Contracts;
using Flotilla.Node.Tests.Clusters;
using Flotilla.Server;
using Flotilla.Shards;
using Flotilla.Topology;
using Flotilla.Wire.Peers;
using static Flotilla.Node.Tests.Clusters.GatewayText;
using Version = Flotilla.Data.Version;

namespace Flotilla.Node.Tests;

/// <summary>Watches over real nodes whose slots move from shard to shard and back.</summary>
public sealed class WatchHandoffTests
{
    private static readonly ShardId Fourth = new(4);

    [Fact, Trait("Hazard", "41")]
    public async Task Each_write_comes_once_and_in_order_while_its_slot_goes_to_a_new_shard_and_back()
    {
        await using var cluster = await TestCluster.StartAsync(3, change: static o => o with { RetiredPatience = TimeSpan.FromSeconds(10) });
        await using var router = await RouterHost.StartAsync(new RouterOptions { Listen = new HostPort("127.0.0.1", 0), Nodes = [.. Enumerable.Range(0, 3).Select(i => cluster[i].Http)] }, cluster.Log, TestContext.Current.CancellationToken);
        await using var atNode = await WatchLog.StartAsync(cluster[0].Watches);
        await using var atRouter = await WatchLog.StartAsync(router.Watches);
        var first = atNode.Cursor;
        var promised = new ConcurrentBag<(string, Version)>();
        using var stop = new CancellationTokenSource();
        var writers = Enumerable.Range(0, 3).Select(w => Task.Run(async () =>
        {
            for (var i = 0; !stop.IsCancellationRequested; i++)
            {
                var key = $"w{w}/{i % 60}";
                var answer = await cluster[w].Gateway.PutAsync(key, $"{i}", new CallOptions(true, false, TimeoutMs: 20_000));
                if (answer.Result.Code == ResultCode.Ok)
                {
                    promised.Add((key, answer.Result.Version));
                }
            }
        })).ToArray();
        var roaming = RoamAsync(cluster, first, stop.Token);

        await MoreAsync(promised, 200);
        Assert.Equal(ChangeCode.Done, (await cluster[1].Changes.AddShardAsync(Fourth, address: null)).Code);
        var fair = new Ring([.. Enumerable.Range(1, 4).Select(static s => new RingMember(new ShardId(s)))]).SlotsOf(Fourth).Count;
        await Eventually.IsTrueAsync(() => cluster.Running.All(i => Slots(cluster, i) == fair), "all of its share is there", seconds: 120);
        await MoreAsync(promised, 200);
        Assert.Contains(atNode.Events, static e => e.Version.SlotEpoch == 2);
        var between = atNode.Cursor;
        await Eventually.IsTrueAsync(async () => (await cluster[0].Changes.RemoveShardAsync(Fourth, TimeSpan.FromSeconds(20))).Code == ChangeCode.Done, "it leaves", seconds: 60);
        await Eventually.IsTrueAsync(() => cluster.Running.All(i => cluster[i].Gateway.View.Shards.Count == 3), "it is retired", seconds: 120);
        await Eventually.IsTrueAsync(() => cluster.Log.Lines.Count(static l => l.Id.Id == 2410) == 3, "nobody hosts it any more", seconds: 120);
        await MoreAsync(promised, 200);
        await stop.CancelAsync();
        await Task.WhenAll(writers);

        // One that was told of a write twice would have met a version that does not grow.
        var all = promised.ToHashSet();
        foreach (var log in new[] { atNode, atRouter })
        {
            await Eventually.IsTrueAsync(() => all.IsSubsetOf(log.Events.Select(static e => (Text(e.Key), e.Version)).ToHashSet()), "every promised write has come", seconds: 60);
            Assert.Equal(log.Events.Count, log.Events.Select(static e => (Text(e.Key), e.Version)).Distinct().Count());
        }

        var (events, cursor) = await roaming;
        await using (var rest = await WatchLog.StartAsync(cluster[1].Watches, from: cursor))
        {
            await Eventually.IsTrueAsync(() => all.IsSubsetOf(events.Concat(rest.Events).Select(static e => (Text(e.Key), e.Version)).ToHashSet()), "every promised write has come to the one that roamed", seconds: 60);
            events.AddRange(rest.Events);
        }

        Assert.Equal(events.Count, events.Select(static e => (Text(e.Key), e.Version)).Distinct().Count());
        foreach (var key in events.GroupBy(static e => Text(e.Key), StringComparer.Ordinal))
        {
            Assert.Equal(key.Select(static e => e.Version).Order(), key.Select(static e => e.Version));
        }

        // What the fourth shard did is not kept by anybody any more.
        foreach (var (old, why) in new[] { (first, "from shard 4"), (between, "shard 4") })
        {
            var opening = await cluster[2].Watches.OpenAsync(new WatchRequest(default, old), TestContext.Current.CancellationToken);
            Assert.Equal(WatchOutcome.Compacted, opening.Outcome);
            Assert.Contains(why, opening.Detail, StringComparison.OrdinalIgnoreCase);
        }
    }

    /// <summary>Watches a little here and a little there, going on with its cursor, until told to stop.</summary>
    private static async Task<(List<WatchEvent> Events, string Cursor)> RoamAsync(TestCluster cluster, string cursor, CancellationToken stop)
    {
        var events = new List<WatchEvent>();
        for (var i = 0; !stop.IsCancellationRequested; i++)
        {
            await using var log = await WatchLog.StartAsync(cluster[i % 3].Watches, from: cursor);
            await Eventually.IsTrueAsync(() => log.Events.Count > 20 || stop.IsCancellationRequested, "something comes", seconds: 60);
            cursor = await log.StopAsync();
            events.AddRange(log.Events);
        }

        return (events, cursor);
    }

    private static int Slots(TestCluster cluster, int node) =>
        cluster[node].Gateway.View.Shards.Where(static s => s.Shard == Fourth).Sum(static s => s.Ranges.Sum(static r => r.Last - r.First + 1));

    private static Task MoreAsync(ConcurrentBag<(string, Version)> promised, int more)
    {
        var until = promised.Count + more;
        return Eventually.IsTrueAsync(() => promised.Count >= until, "writes go on", seconds: 60);
    }
}
