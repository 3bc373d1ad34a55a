using System.Collections.Concurrent;
using Flotilla.Contracts;
using Flotilla.Node.Tests.Clusters;
using Flotilla.Server;
using Flotilla.Shards;
using Flotilla.Shards.Watching;
using Flotilla.Topology;
using static Flotilla.Node.Tests.Clusters.GatewayText;
using Version = Flotilla.Data.Version;

namespace Flotilla.Node.Tests;

/// <summary>Watches over real nodes in this process.</summary>
public sealed class WatchTests
{
    [Fact]
    public async Task What_happens_after_the_beginning_comes_and_nothing_from_before()
    {
        await using var cluster = await TestCluster.StartAsync(3);
        await cluster[0].Gateway.PutSurelyAsync("a/0", "before");
        await using var log = await WatchLog.StartAsync(cluster[1].Watches, "a/");
        var put = (await cluster[0].Gateway.PutAsync("a/1", "x")).Result;
        await cluster[2].Gateway.PutAsync("b", "not wanted");
        var deleted = (await cluster[2].Gateway.ExecuteAsync(Command.Delete(Bytes("a/1")), CallOptions.Default)).Result;
        Assert.Equal((ResultCode.Ok, ResultCode.Ok), (put.Code, deleted.Code));
        await cluster[0].Gateway.ExecuteAsync(Command.Put(Bytes("a/2"), Bytes("y"), ttlMs: 20), CallOptions.Default);
        await Eventually.IsTrueAsync(() => log.Events.Count == 4, "put, delete, put, expire");
        var told = log.Events.OrderBy(e => Text(e.Key), StringComparer.Ordinal).Select(e => $"{e.Kind} {Text(e.Key)}={Text(e.Value)}");
        Assert.Equal("Put a/1=x, Delete a/1=, Put a/2=y, Expire a/2=", string.Join(", ", told));
        Assert.All(log.Events.Where(e => e.Key.Span.SequenceEqual("a/1"u8)), e => Assert.Equal(put.Version, e.Version));
    }

    [Fact]
    public async Task Every_acknowledged_write_comes_once_and_in_order_while_leaders_are_killed()
    {
        await using var cluster = await TestCluster.StartAsync(3);
        await using var router = await RouterHost.StartAsync(new RouterOptions { Listen = new HostPort("127.0.0.1", 0), Nodes = [.. Enumerable.Range(0, 3).Select(i => cluster[i].Http)] }, cluster.Log, TestContext.Current.CancellationToken);
        var dead = await cluster.LeaderAsync(new ShardId(1));
        var alive = cluster.Running.First(i => i != dead);
        await using var atNode = await WatchLog.StartAsync(cluster[alive].Watches);
        await using var atRouter = await WatchLog.StartAsync(router.Watches);
        var promised = new ConcurrentBag<(string, Version)>();
        using var stop = new CancellationTokenSource();
        var writers = Enumerable.Range(0, 4).Select(w => Task.Run(async () =>
        {
            for (var i = 0; !stop.IsCancellationRequested; i++)
            {
                var answer = await cluster[alive].Gateway.PutAsync($"w{w}/{i % 50}", $"{i}");
                if (answer.Result.Code == ResultCode.Ok)
                {
                    promised.Add(($"w{w}/{i % 50}", answer.Result.Version));
                }
            }
        })).ToArray();
        await MoreAsync(promised, 500);
        await cluster.KillAsync(dead);
        await MoreAsync(promised, 1000);

        await cluster.StartNodeAsync(dead);
        await cluster.LeadersAsync();
        await MoreAsync(promised, 500);
        await stop.CancelAsync();
        await Task.WhenAll(writers);
        foreach (var log in new[] { atNode, atRouter })
        {
            await Eventually.IsTrueAsync(() => promised.ToHashSet().IsSubsetOf(log.Events.Select(e => (Text(e.Key), e.Version)).ToHashSet()), "every promised write has come");
            Assert.Equal(log.Events.Count, log.Events.Select(e => (Text(e.Key), e.Version)).Distinct().Count());
        }
    }

    [Fact]
    public async Task A_cursor_goes_on_at_any_node_without_a_gap_and_without_a_repetition()
    {
        await using var cluster = await TestCluster.StartAsync(3);
        var seen = new List<(string, Version)>();
        var expected = new List<(string, Version)>();
        string? cursor = null;
        for (var round = 0; round < 6; round++)
        {
            await using var log = await WatchLog.StartAsync(cluster[round % 3].Watches, from: cursor);
            for (var i = 0; i < 30; i++)
            {
                var answer = await cluster[(round + 1) % 3].Gateway.PutAsync($"k{i}", $"{round}");
                Assert.Equal(ResultCode.Ok, answer.Result.Code);
                expected.Add(($"k{i}", answer.Result.Version));
                if (i == 15)
                {
                    // Somewhere in the middle; what comes after is for the next.
                    await Eventually.IsTrueAsync(() => log.Events.Count > 0, "something came");
                    cursor = await log.StopAsync();
                    seen.AddRange(log.Events.Select(e => (Text(e.Key), e.Version)));
                }
            }
        }

        await using var last = await WatchLog.StartAsync(cluster[0].Watches, from: cursor);
        await Eventually.IsTrueAsync(() => seen.Count + last.Events.Count >= expected.Count, "the rest comes");
        seen.AddRange(last.Events.Select(e => (Text(e.Key), e.Version)));
        Assert.Equal(expected.Order(), seen.Order());
    }

    [Fact]
    public async Task A_cursor_that_is_too_old_is_refused_and_so_is_one_of_elsewhere()
    {
        await using var cluster = await TestCluster.StartAsync(1, shards: 1, replicas: 1, change: o => o with { Replica = o.Replica with { EventBytes = 16 << 10 } });
        await using var log = await WatchLog.StartAsync(cluster[0].Watches);
        var old = log.Cursor;
        for (var i = 0; i < 20; i++)
        {
            await cluster[0].Gateway.PutSurelyAsync($"k{i}", new string('x', 2000));
        }

        var refused = await OpenAsync(cluster, old);
        Assert.Equal(WatchOutcome.Compacted, refused.Outcome);
        Assert.Contains("watch without", refused.Detail, StringComparison.Ordinal);
        Assert.True(WatchCursor.TryDecode(old, out var id, out var positions));
        Assert.Equal(WatchOutcome.BadCursor, (await OpenAsync(cluster, "nonsense")).Outcome);
        Assert.Equal(WatchOutcome.BadCursor, (await OpenAsync(cluster, WatchCursor.Encode(id + 1, positions))).Outcome);
        Assert.Equal(WatchOutcome.Compacted, (await OpenAsync(cluster, WatchCursor.Encode(id, [(new ShardId(1), EventPosition.After(new(99_999)))]))).Outcome);
        Assert.Equal(WatchOutcome.Compacted, (await OpenAsync(cluster, WatchCursor.Encode(id, [.. positions, (new ShardId(9), default)]))).Outcome);
    }

    [Fact]
    public async Task A_reader_that_falls_behind_what_is_kept_is_cut_off_and_costs_nothing_meanwhile()
    {
        await using var cluster = await TestCluster.StartAsync(1, shards: 1, replicas: 1, change: o => o with { Replica = o.Replica with { EventBytes = 256 << 10 } });
        await using var stream = await WatchLog.OpenAsync(cluster[0].Watches);
        for (var i = 0; i < 500; i++)
        {
            await cluster[0].Gateway.PutSurelyAsync($"k{i}", new string('x', 4000));
        }

        var taken = 0;
        await Eventually.IsTrueAsync(
            () =>
            {
                for (; stream.TryTake() is { } read; taken++)
                {
                    Assert.Equal($"k{taken}", Text(read.Key));
                }

                return stream.End != WatchEnd.None;
            }, "the stream ends");
        Assert.Equal(WatchEnd.Slow, stream.End);
        Assert.InRange(taken, 1, 100);
        Assert.Equal(WatchOutcome.Compacted, (await OpenAsync(cluster, stream.Cursor)).Outcome);
    }

    [Fact]
    public async Task So_many_may_watch_and_no_more()
    {
        await using var cluster = await TestCluster.StartAsync(1, replicas: 1, change: o => o with { MaxWatches = 2 });
        await using var first = await WatchLog.OpenAsync(cluster[0].Watches);
        await using (var second = await WatchLog.OpenAsync(cluster[0].Watches))
        {
            Assert.Equal(WatchOutcome.Overloaded, (await OpenAsync(cluster, null)).Outcome);
        }

        await using var third = await WatchLog.OpenAsync(cluster[0].Watches);
    }

    private static async Task<WatchOpening> OpenAsync(TestCluster cluster, string? from) =>
        await cluster[0].Watches.OpenAsync(new WatchRequest(default, from), TestContext.Current.CancellationToken);

    private static Task MoreAsync(ConcurrentBag<(string, Version)> promised, int more)
    {
        var until = promised.Count + more;
        return Eventually.IsTrueAsync(() => promised.Count >= until, "writes go on");
    }
}
