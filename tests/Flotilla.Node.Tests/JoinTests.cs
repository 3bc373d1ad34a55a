using Flotilla.Node.Tests.Clusters;
using Flotilla.Raft;

namespace Flotilla.Node.Tests;

/// <summary>Nodes that enter a running cluster.</summary>
public sealed class JoinTests
{
    [Fact]
    public async Task A_node_that_joins_knows_everybody_and_forwards_though_it_hosts_nothing()
    {
        await using var cluster = await TestCluster.StartAsync(3);
        await cluster[0].Gateway.PutSurelyAsync("k", "v");
        var joined = cluster.Add(contact: 1);
        await cluster.StartNodeAsync(joined);
        await Eventually.IsTrueAsync(
            () => cluster.Running.All(i => cluster[i].Gateway.View.Nodes.Count(n => n.Alive) == 4), "all four are connected with each other");
        Assert.Equal(cluster[0].Gateway.View.ClusterId, cluster[joined].Gateway.View.ClusterId);
        Assert.Empty(cluster[joined].Gateway.View.Local);
        Assert.Equal("v", await cluster[joined].Gateway.ReadAsync("k"));
        await cluster[joined].Gateway.PutSurelyAsync("k", "w");
        Assert.Equal("w", await cluster[2].Gateway.ReadAsync("k"));
        Assert.Equal("w", await cluster[joined].Gateway.ReadAsync("k", new CallOptions(true, Stale: true, 0)));
    }

    [Fact]
    public async Task A_node_that_joined_is_found_again_after_everybody_was_restarted()
    {
        await using var cluster = await TestCluster.StartAsync(2);
        var joined = cluster.Add(contact: 0);
        await cluster.StartNodeAsync(joined);
        await Eventually.IsTrueAsync(() => cluster[1].Gateway.View.Nodes.Count(n => n.Alive) == 3, "it is in");
        for (var i = 0; i < cluster.Count; i++)
        {
            await cluster.StopAsync(i);
        }

        // It keeps what it was told: nobody is asked again, and the node that it was told of is not up yet.
        cluster.Change(joined, o => o with { Join = new Contracts.HostPort("127.0.0.1", 1) });
        await cluster.StartNodeAsync(joined);
        await cluster.StartNodeAsync(1);
        await cluster.StartNodeAsync(0);
        await cluster.LeadersAsync();
        await Eventually.IsTrueAsync(
            () => cluster.Running.All(i => cluster[i].Gateway.View.Nodes.Count(n => n.Alive) == 3), "all three are connected with each other");
    }

    [Fact]
    public async Task A_node_whose_contact_is_down_says_so_and_joins_once_it_answers()
    {
        await using var cluster = TestCluster.Make(1);
        var joined = cluster.Add(contact: 0);
        var starting = cluster.StartNodeAsync(joined);
        await Eventually.IsTrueAsync(() => cluster.Log.Has(2007, "waits to join the cluster of"), "it says what it waits for");
        Assert.False(starting.IsCompleted);
        await cluster.StartNodeAsync(0);
        await starting;
        await Eventually.IsTrueAsync(() => cluster[0].Gateway.View.Nodes.Count(n => n.Alive) == 2, "it is in");
        Assert.True(cluster.Log.Has(3001, "has joined"));
    }

    [Fact]
    public async Task A_name_that_a_living_node_has_and_a_directory_with_a_cluster_of_its_own_do_not_join()
    {
        await using var cluster = await TestCluster.StartAsync(2, shards: 1);
        var impostor = cluster.Add(contact: 0, o => o with { NodeId = TestCluster.Id(1) });
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        var starting = Server.NodeHost.StartAsync(cluster.OptionsOf(impostor), cluster.Log, patience.Token);
        await Eventually.IsTrueAsync(() => cluster.Log.Has(2007, "another process speaks as n2 already"), "it is told why");
        await patience.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => starting);

        await using var alone = await TestCluster.StartAsync(1, shards: 1);
        var directory = alone.OptionsOf(0).DataDir;
        await alone.StopAsync(0);
        var failed = await Assert.ThrowsAsync<NodeFailedException>(() => Server.NodeHost.StartAsync(
            alone.OptionsOf(0) with { DataDir = directory, InitialCluster = [], Join = cluster[0].Rpc }, alone.Log, TestContext.Current.CancellationToken));
        Assert.Contains("holds a cluster of its own", failed.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Two_nodes_that_ask_each_other_each_complain_once_in_the_same_words()
    {
        await using var cluster = TestCluster.Make(0);
        var first = cluster.Add(contact: null);
        var second = cluster.Add(contact: first);
        cluster.Change(first, o => o with { Join = cluster.OptionsOf(second).Rpc });
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        Task[] starting = [.. new[] { first, second }.Select(node => Server.NodeHost.StartAsync(cluster.OptionsOf(node), cluster.Log, stop.Token))];
        foreach (var node in new[] { first, second })
        {
            using var http = new HttpClient { BaseAddress = new Uri($"http://{cluster.OptionsOf(node).Http}") };
            var asked = cluster.OptionsOf(node).Join!.Value;
            await Eventually.IsTrueAsync(() => cluster.Log.Has(2007, $"Node {TestCluster.Id(node)} waits to join the cluster of {asked} and serves nothing yet: {asked} waits itself: name a member, or begin a cluster."), "it says what is wrong");

            // What it was told is shown to people, and told to nobody who might tell it again.
            Assert.Contains("waits itself", await (await http.GetAsync("/readyz", stop.Token)).Content.ReadAsStringAsync(stop.Token), StringComparison.Ordinal);
            using var channel = new Wire.Rpc.RpcChannel(cluster.OptionsOf(node).Rpc);
            var refused = await Assert.ThrowsAsync<Wire.Rpc.RpcException>(() => channel.UnaryAsync("/flotilla.v1.KV/Get", new Contracts.Protos.GetRequest(), Contracts.Protos.GetResponse.Parser, TimeSpan.FromSeconds(30), stop.Token));
            Assert.Equal("not_joined", refused.Status.FlotillaCode);
            Assert.DoesNotContain("waits itself", refused.Status.Message, StringComparison.Ordinal);
            Assert.DoesNotContain("again and again", refused.Status.Message, StringComparison.Ordinal);
        }

        await stop.CancelAsync();
        foreach (var task in starting)
        {
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => task);
        }
    }

    [Fact]
    public async Task A_contact_whose_HTTP_port_was_named_is_recognised()
    {
        await using var cluster = await TestCluster.StartAsync(1, shards: 1);
        var joined = cluster.Add(contact: 0, o => o with { Join = cluster.OptionsOf(0).Http });
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        var starting = Server.NodeHost.StartAsync(cluster.OptionsOf(joined), cluster.Log, stop.Token);
        await Eventually.IsTrueAsync(() => cluster.Log.Has(2007, "it looks like the HTTP port of a node"), "it is told why");
        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => starting);
    }
}
