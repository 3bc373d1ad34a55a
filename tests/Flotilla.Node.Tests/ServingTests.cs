using System.Reflection;
using Flotilla.Contracts;
using Flotilla.Node.Tests.Clusters;
using Flotilla.Raft;
using Flotilla.Server;
using Flotilla.Shards;
using Flotilla.Topology;
using static Flotilla.Node.Tests.Clusters.GatewayText;

namespace Flotilla.Node.Tests;

public sealed class ServingTests
{
    [Fact]
    public async Task Every_node_serves_puts_and_gets_of_every_key()
    {
        await using var cluster = await TestCluster.StartAsync(3);
        for (var k = 0; k < 30; k++)
        {
            var answer = await cluster[k % 3].Gateway.PutAsync($"key-{k}", $"value-{k}");
            Assert.Equal(ResultCode.Ok, answer.Result.Code);
        }

        for (var k = 0; k < 30; k++)
        {
            Assert.Equal($"value-{k}", await cluster[(k + 1) % 3].Gateway.ReadAsync($"key-{k}"));
        }

        Assert.Null(await cluster[0].Gateway.ReadAsync("no such key"));
    }

    [Fact]
    public async Task A_swap_with_a_stale_version_changes_nothing_whichever_node_is_asked()
    {
        await using var cluster = await TestCluster.StartAsync(3);
        var first = await cluster[0].Gateway.PutAsync("k", "1");
        for (var node = 0; node < 3; node++)
        {
            var good = await cluster[node].Gateway.ExecuteAsync(Command.CompareAndSwap(Bytes("k"), first.Result.Version, Bytes($"{node}")), CallOptions.Default);
            Assert.Equal(ResultCode.Ok, good.Result.Code);
            var stale = await cluster[node].Gateway.ExecuteAsync(Command.CompareAndSwap(Bytes("k"), first.Result.Version, Bytes("never")), CallOptions.Default);
            Assert.Equal(ResultCode.VersionMismatch, stale.Result.Code);
            Assert.Equal(good.Result.Version, stale.Result.Version);
            Assert.Equal($"{node}", await cluster[(node + 1) % 3].Gateway.ReadAsync("k"));
            first = good;
        }
    }

    [Fact]
    public async Task Pages_of_a_scan_merge_all_shards_in_key_order_and_go_on_where_they_ended()
    {
        await using var cluster = await TestCluster.StartAsync(3, shards: 5);
        var keys = Enumerable.Range(0, 100).Select(k => $"scan/{k:000}").ToArray();
        await Task.WhenAll(keys.Select((key, i) => cluster[i % 3].Gateway.PutAsync(key, key).AsTask()));
        foreach (var node in cluster.Running)
        {
            var seen = new List<string>();
            ReadOnlyMemory<byte>? from = Bytes("");
            while (from is { } start)
            {
                var page = await cluster[node].Gateway.ScanAsync(new ScanRequest(start, Bytes("scan/"), 7, 1 << 20), CallOptions.Default);
                Assert.Equal(ResultCode.Ok, page.Code);
                Assert.InRange(page.Records.Count, 1, 7);
                seen.AddRange(page.Records.Select(r => Text(r.Key)));
                from = page.Next;
            }

            Assert.Equal(string.Join(' ', keys), string.Join(' ', seen));
        }
    }

    [Fact]
    public async Task A_node_told_not_to_forward_names_the_leader_and_its_http_address()
    {
        await using var cluster = await TestCluster.StartAsync(3);
        var local = new CallOptions(Forward: false, Stale: false, TimeoutMs: 0);
        var answers = new List<Answer>();

        // Which of them leads may change between two questions on a starved machine: then all are asked again.
        await Eventually.IsTrueAsync(
            async () =>
            {
                answers.Clear();
                foreach (var node in cluster.Running)
                {
                    answers.Add(await cluster[node].Gateway.PutAsync("hint", "v", local));
                }

                var leader = cluster.LeaderOf(answers[0].Shard);
                return answers.FindAll(static a => a.Result.Code == ResultCode.Ok).Count == 1
                    && answers.TrueForAll(a => a.Result.Code == ResultCode.Ok || (leader >= 0 && a.Leader == TestCluster.Id(leader)));
            },
            "one node answers, and the others name one leader");

        var served = Assert.Single(answers, a => a.Result.Code == ResultCode.Ok);
        var leader = await cluster.LeaderAsync(served.Shard);
        foreach (var refused in answers.Where(a => a.Result.Code != ResultCode.Ok))
        {
            Assert.Equal(ResultCode.NotLeader, refused.Result.Code);
            Assert.Equal(TestCluster.Id(leader), refused.Leader);
            Assert.Equal(cluster[leader].Http.ToString(), refused.LeaderHttp);
        }
    }

    [Fact]
    public async Task A_shard_without_a_replica_here_is_served_by_forwarding()
    {
        await using var cluster = await TestCluster.StartAsync(4, shards: 4, replicas: 1);
        for (var k = 0; k < 24; k++)
        {
            await cluster[k % 4].Gateway.PutSurelyAsync($"far-{k}", $"{k}");
            Assert.Equal($"{k}", await cluster[(k + 1) % 4].Gateway.ReadAsync($"far-{k}"));
            Assert.Equal($"{k}", await cluster[(k + 2) % 4].Gateway.ReadAsync($"far-{k}", new CallOptions(true, Stale: true, 0)));
        }
    }

    [Fact]
    public async Task A_router_learns_the_cluster_from_one_node_and_serves_it()
    {
        await using var cluster = await TestCluster.StartAsync(3);
        await using var router = await RouterHost.StartAsync(
            new RouterOptions { Listen = new HostPort("127.0.0.1", 0), Nodes = [cluster[1].Http] }, cluster.Log, TestContext.Current.CancellationToken);
        await router.Gateway.PutSurelyAsync("through the router", "yes");
        Assert.Equal("yes", await cluster[0].Gateway.ReadAsync("through the router"));
        Assert.Equal("yes", await router.Gateway.ReadAsync("through the router"));
        await Eventually.IsTrueAsync(() => router.Gateway.View.Nodes.Count(n => n.Alive) == 3, "the router is connected with all nodes");
        var view = router.Gateway.View;
        Assert.True(view.IsRouter);
        Assert.Equal(cluster[0].Gateway.View.ClusterId, view.ClusterId);
        Assert.Equal(3, view.Shards.Count);
        Assert.Equal(16384, view.Shards.Sum(s => s.Ranges.Sum(r => r.Last - r.First + 1)));
    }

    [Fact]
    public async Task The_view_tells_nodes_shards_and_replicas()
    {
        await using var cluster = await TestCluster.StartAsync(3);
        await Eventually.IsTrueAsync(() => cluster[0].Gateway.View.Nodes.All(n => n.Alive && n.Http is not null), "all nodes are known and alive");
        var view = cluster[0].Gateway.View;
        Assert.Equal([new NodeId("n1"), new NodeId("n2"), new NodeId("n3")], view.Nodes.Select(n => n.Node));
        Assert.Equal(3, view.Local.Count);
        Assert.All(view.Local, r => Assert.True(r.Admitted));
        Assert.All(view.Shards, s => Assert.Equal(3, s.Voters.Count));
        Assert.All(view.Shards, s => Assert.True(s.Term > Term.Zero));
        Assert.Equal(0, view.AgeMs);
    }

    [Fact]
    public async Task Nodes_and_routers_say_in_their_metrics_what_was_built()
    {
        await using var cluster = await TestCluster.StartAsync(1);
        await using var router = await RouterHost.StartAsync(
            new RouterOptions { Listen = new HostPort("127.0.0.1", 0), Nodes = [cluster[0].Http] }, cluster.Log, TestContext.Current.CancellationToken);
        var built = typeof(NodeHost).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()!.InformationalVersion;
        using var http = new HttpClient();
        foreach (var address in new[] { cluster[0].Http, router.Http })
        {
            var metrics = await http.GetStringAsync(new Uri($"http://{address}/metrics"), TestContext.Current.CancellationToken);
            Assert.Contains($"version=\"{built}\"", metrics.Split('\n').Single(l => l.StartsWith("flotilla_build_info{", StringComparison.Ordinal)), StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Bad_calls_are_refused_before_they_reach_a_stream()
    {
        await using var cluster = await TestCluster.StartAsync(3);
        foreach (var node in cluster.Running)
        {
            Assert.Equal(ResultCode.BadRequest, (await cluster[node].Gateway.PutAsync("", "v")).Result.Code);
            Assert.Equal(ResultCode.BadRequest, (await cluster[node].Gateway.GetAsync(default, CallOptions.Default)).Result.Code);
            Assert.Equal(ResultCode.TooLarge, (await cluster[node].Gateway.PutAsync(new string('k', 5000), "v")).Result.Code);

            // A page of no size is a page of one record: read once a leader answers.
            await Eventually.IsTrueAsync(async () => (await cluster[node].Gateway.ScanAsync(new ScanRequest(default, default, 0, 0), CallOptions.Default)).Code == ResultCode.Ok, "a page is read", seconds: 120);
        }

        await cluster[0].Gateway.PutSurelyAsync("after", "fine");
    }
}
