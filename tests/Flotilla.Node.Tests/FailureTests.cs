using Flotilla.Contracts;
using Flotilla.Node.Tests.Clusters;
using Flotilla.Raft;
using Flotilla.Shards;
using Flotilla.Topology;
using static Flotilla.Node.Tests.Clusters.GatewayText;

namespace Flotilla.Node.Tests;

public sealed class FailureTests
{
    [Fact]
    public async Task A_killed_leader_is_replaced_and_nothing_acknowledged_is_lost()
    {
        await using var cluster = await TestCluster.StartAsync(3);
        for (var k = 0; k < 20; k++)
        {
            await cluster[0].Gateway.PutSurelyAsync($"k{k}", "before");
        }

        var dead = await cluster.LeaderAsync(new ShardId(1));
        await cluster.KillAsync(dead);
        var alive = cluster.Running.First();
        for (var k = 0; k < 20; k++)
        {
            Assert.Equal("before", await cluster[alive].Gateway.ReadAsync($"k{k}"));
            await cluster[alive].Gateway.PutSurelyAsync($"k{k}", "after");
        }

        Assert.True(cluster.Log.Has(2104, TestCluster.Id(dead).Value), "the dead-leader hint was given");
        await cluster.StartNodeAsync(dead);
        await cluster.LeadersAsync();
        var highest = cluster[alive].Gateway.View.Local.ToDictionary(r => r.Shard, r => r.LastApplied);
        await Eventually.IsTrueAsync(
            () => cluster[dead].Gateway.View.Local.All(r => r.LastApplied >= highest[r.Shard]), "the restarted node has applied everything");
        for (var k = 0; k < 20; k++)
        {
            Assert.Equal("after", await cluster[dead].Gateway.ReadAsync($"k{k}"));
        }
    }

    [Fact]
    public async Task A_node_that_missed_more_than_memory_holds_catches_up_from_its_leaders_disk()
    {
        await using var cluster = await TestCluster.StartAsync(
            3, shards: 1, change: o => o with { Replica = o.Replica with { Raft = o.Replica.Raft with { LogCacheBytes = 64 << 10 } } });
        var behind = Enumerable.Range(0, 3).First(i => i != cluster.LeaderOf(new ShardId(1)));
        await cluster.KillAsync(behind);
        var value = new string('x', 20_000);
        var gateway = cluster[cluster.Running.First()].Gateway;
        await Task.WhenAll(Enumerable.Range(0, 200).Select(k => gateway.PutSurelyAsync($"big-{k}", value)));
        await cluster.StartNodeAsync(behind);
        var stale = new CallOptions(true, Stale: true, 0);
        await Eventually.IsTrueAsync(async () => await cluster[behind].Gateway.ReadAsync("big-199", stale) == value, "the last value has arrived");
        for (var k = 0; k < 200; k += 13)
        {
            Assert.Equal(value, await cluster[behind].Gateway.ReadAsync($"big-{k}", stale));
        }
    }

    [Fact]
    public async Task A_whole_cluster_that_was_killed_comes_back_with_its_data()
    {
        await using var cluster = await TestCluster.StartAsync(3);
        for (var k = 0; k < 10; k++)
        {
            await cluster[0].Gateway.PutSurelyAsync($"k{k}", $"{k}");
        }

        for (var i = 0; i < 3; i++)
        {
            await cluster.KillAsync(i);
        }

        for (var i = 0; i < 3; i++)
        {
            await cluster.StartNodeAsync(i);
        }

        await cluster.LeadersAsync();
        for (var k = 0; k < 10; k++)
        {
            Assert.Equal($"{k}", await cluster[k % 3].Gateway.ReadAsync($"k{k}"));
        }
    }

    [Fact]
    public async Task A_node_that_stops_in_good_order_hands_leadership_over_first()
    {
        await using var cluster = await TestCluster.StartAsync(3);
        var shard = new ShardId(1);
        var leader = await cluster.LeaderAsync(shard);
        await cluster.StopAsync(leader);
        Assert.NotEqual(-1, cluster.LeaderOf(shard));
        await cluster[cluster.Running.First()].Gateway.PutSurelyAsync("still", "here");
    }

    [Fact, Trait("Hazard", "7")]
    public async Task When_the_majority_is_gone_every_waiting_call_is_answered_in_its_time()
    {
        await using var cluster = await TestCluster.StartAsync(3, shards: 1);
        var leader = await cluster.LeaderAsync(new ShardId(1));
        var options = new CallOptions(true, false, TimeoutMs: 1500);
        await cluster[leader].Gateway.PutSurelyAsync("k", "acknowledged");
        foreach (var other in cluster.Running.Where(i => i != leader).ToArray())
        {
            await cluster.KillAsync(other);
        }

        var puts = Enumerable.Range(0, 500).Select(k => cluster[leader].Gateway.PutAsync($"w{k}", "v", options).AsTask()).ToArray();
        var gets = Enumerable.Range(0, 100).Select(_ => cluster[leader].Gateway.GetAsync(Bytes("k"), options).AsTask()).ToArray();
        var answers = await Task.WhenAll(puts).WaitAsync(TimeSpan.FromSeconds(20), TestContext.Current.CancellationToken);
        Assert.All(answers, a => Assert.Contains(a.Result.Code, new[] { ResultCode.Indeterminate, ResultCode.NoQuorum }));
        var reads = await Task.WhenAll(gets).WaitAsync(TimeSpan.FromSeconds(20), TestContext.Current.CancellationToken);
        Assert.All(reads, a => Assert.Equal(ResultCode.NoQuorum, a.Result.Code));
    }

    [Fact, Trait("Hazard", "9")]
    public async Task A_failed_sync_stops_the_node_and_is_never_retried()
    {
        await using var cluster = TestCluster.Make(3);
        TrickyDisk? disk = null;
        await cluster.StartNodeAsync(0, inner => disk = new TrickyDisk(inner));
        await cluster.StartNodeAsync(1);
        await cluster.StartNodeAsync(2);
        await cluster.LeadersAsync();
        await cluster[1].Gateway.PutSurelyAsync("k", "before");
        disk!.FailNextSync();

        // Whatever the failing node says from here on, it acknowledges nothing that depends on its own disk.
        while (!cluster[0].Failed.IsCompleted)
        {
            await cluster[1].Gateway.PutAsync("k", "while it fails", new CallOptions(true, false, 2000));
        }

        var reason = await cluster[0].Failed;
        Assert.IsType<NodeFailedException>(reason);
        Assert.Contains("Input/output error", reason.Message, StringComparison.Ordinal);
        await cluster.KillAsync(0);
        Assert.Equal(0, disk.SyncsAfterFailure);
        await cluster[1].Gateway.PutSurelyAsync("k", "after");
        Assert.Equal("after", await cluster[2].Gateway.ReadAsync("k"));
    }

    [Fact, Trait("Hazard", "13")]
    public async Task A_node_by_itself_answers_a_write_only_once_its_own_disk_has_it()
    {
        await using var cluster = TestCluster.Make(1);
        TrickyDisk? disk = null;
        await cluster.StartNodeAsync(0, inner => disk = new TrickyDisk(inner));
        await cluster.LeadersAsync();
        await cluster[0].Gateway.PutSurelyAsync("k", "first");
        disk!.HoldSyncs();
        var write = cluster[0].Gateway.PutAsync("k", "second").AsTask();
        var read = cluster[0].Gateway.ReadAsync("k");
        Assert.Equal("first", await read);
        Assert.False(write.IsCompleted);
        disk.ReleaseSyncs();
        Assert.Equal(ResultCode.Ok, (await write).Result.Code);
        await cluster.KillAsync(0);
        await cluster.StartNodeAsync(0);
        await cluster.LeadersAsync();
        Assert.Equal("second", await cluster[0].Gateway.ReadAsync("k"));
    }

    [Fact, Trait("Hazard", "17")]
    public async Task A_wiped_node_neither_votes_nor_acknowledges_nor_disturbs_the_others()
    {
        await using var cluster = await TestCluster.StartAsync(3);
        await cluster[0].Gateway.PutSurelyAsync("k", "kept");
        await cluster.KillAsync(2);
        Directory.Delete(cluster.OptionsOf(2).DataDir, recursive: true);
        await cluster.StartNodeAsync(2);
        await cluster[0].Gateway.PutSurelyAsync("k", "still kept");
        await Eventually.IsTrueAsync(() => cluster[0].Gateway.View.Nodes.All(n => n.Alive), "the wiped node is connected");
        Assert.All(cluster[2].Gateway.View.Local, r => Assert.False(r.Admitted));
        Assert.All(cluster[2].Gateway.View.Local, r => Assert.Equal(LogIndex.Zero, r.LastLogIndex));

        // It serves by asking those that hold the data.
        Assert.Equal("still kept", await cluster[2].Gateway.ReadAsync("k"));

        // With one of the two that remember gone there is no majority: the wiped one must not make it up.
        await cluster.KillAsync(1);
        var answer = await cluster[0].Gateway.PutAsync("k", "must not be", new CallOptions(true, false, 1500));
        Assert.Contains(answer.Result.Code, new[] { ResultCode.Indeterminate, ResultCode.NoQuorum });
        Assert.All(cluster[2].Gateway.View.Local, r => Assert.False(r.Admitted));
        await cluster.StartNodeAsync(1);
        await cluster[0].Gateway.PutSurelyAsync("k", "again");
    }

    [Fact]
    public async Task A_node_of_another_cluster_is_refused_and_both_logs_say_why()
    {
        await using var cluster = await TestCluster.StartAsync(3);
        await cluster.KillAsync(2);
        cluster.Change(2, o => o with { Shards = 4, DataDir = o.DataDir + "-elsewhere" });
        await cluster.StartNodeAsync(2);
        await cluster[0].Gateway.PutSurelyAsync("k", "two of three");
        await Eventually.IsTrueAsync(() => cluster.Log.Has(2103, "belongs to cluster"), "the accepting side logs the refusal");
        await Eventually.IsTrueAsync(() => cluster.Log.Has(2102, "belongs to cluster"), "the dialling side logs it too");
        Assert.True(cluster.Log.Has(2103, " lost its own, start it with an empty one and --join 127.0.0.1:"));
        Assert.False(cluster[0].Gateway.View.Nodes.Single(n => n.Node == TestCluster.Id(2)).Alive);
    }

    [Fact]
    public async Task Too_many_calls_are_answered_overloaded_at_once()
    {
        await using var cluster = await TestCluster.StartAsync(1, shards: 1, change: o => o with { Replica = o.Replica with { MaxWaiting = 100 } });
        var answers = await Task.WhenAll(Enumerable.Range(0, 5000).Select(k => cluster[0].Gateway.PutAsync($"k{k}", new string('v', 100)).AsTask()));
        Assert.Contains(answers, a => a.Result.Code == ResultCode.Ok);
        Assert.All(answers, a => Assert.Contains(a.Result.Code, new[] { ResultCode.Ok, ResultCode.Overloaded }));
        await cluster[0].Gateway.PutSurelyAsync("after", "the storm");
    }

    [Fact]
    public async Task A_shard_that_has_not_begun_names_the_nodes_that_it_waits_for()
    {
        await using var cluster = TestCluster.Make(3, shards: 1);
        await cluster.StartNodeAsync(0);
        var quick = new CallOptions(true, false, TimeoutMs: 300);
        Assert.Contains("waiting for first contact with node n2, n3", (await cluster[0].Gateway.PutAsync("k", "v", quick)).Detail, StringComparison.Ordinal);
        await cluster.StartNodeAsync(1);
        foreach (var node in cluster.Running)
        {
            var words = "waiting for first contact with node n3";
            await Eventually.IsTrueAsync(
                async () => await cluster[node].Gateway.PutAsync("k", "v", quick) is { Result.Code: ResultCode.NoQuorum, Detail: { } detail } && detail.Contains(words, StringComparison.Ordinal), words);
            using var http = new HttpClient();
            using var ready = await http.GetAsync(new Uri($"http://{cluster[node].Http}/readyz"), TestContext.Current.CancellationToken);
            Assert.Equal(503, (int)ready.StatusCode);
            Assert.Contains(words, await ready.Content.ReadAsStringAsync(TestContext.Current.CancellationToken), StringComparison.Ordinal);
        }

        await cluster.StartNodeAsync(2);
        await cluster[0].Gateway.PutSurelyAsync("k", "v");
        await cluster.VotersAsync();
        await cluster.KillAsync(2);
        await cluster[0].Gateway.PutSurelyAsync("k", "a majority is enough from now on");
    }

    [Fact]
    public async Task A_node_says_why_it_cannot_start()
    {
        await using var cluster = await TestCluster.StartAsync(1);
        var stranger = cluster.OptionsOf(0) with { NodeId = new NodeId("stranger") };
        Assert.Contains("--initial-cluster", (await FailureAsync(stranger)).Message, StringComparison.Ordinal);
        var sameDirectory = cluster.OptionsOf(0) with { Http = new HostPort("127.0.0.1", 0), Rpc = new HostPort("127.0.0.1", 0) };
        Assert.Contains("in use", (await FailureAsync(sameDirectory)).Message, StringComparison.Ordinal);
        var samePort = cluster.OptionsOf(0) with { DataDir = cluster.OptionsOf(0).DataDir + "-other" };
        Assert.Contains("port", (await FailureAsync(samePort)).Message, StringComparison.Ordinal);

        async Task<NodeFailedException> FailureAsync(NodeOptions options) =>
            await Assert.ThrowsAsync<NodeFailedException>(() => Server.NodeHost.StartAsync(options, cluster.Log, TestContext.Current.CancellationToken));
    }
}
