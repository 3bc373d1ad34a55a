using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using Flotilla.Contracts;
using Flotilla.Node.Tests.Clusters;
using Flotilla.Raft;
using Flotilla.Wire.Peers;
using Flotilla.Wire.Protos;
using Flotilla.Wire.Rpc;

namespace Flotilla.Node.Tests;

/// <summary>Nodes that wait until a member of a cluster adds them.</summary>
public sealed class AdoptionTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    [Fact]
    public async Task A_node_that_waits_answers_probes_and_says_not_joined_to_all_else()
    {
        await using var cluster = TestCluster.Make(0);
        var waiting = cluster.AddWaiting();
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        var options = cluster.OptionsOf(waiting);
        var starting = Server.NodeHost.StartAsync(options, cluster.Log, stop.Token);
        using var http = new HttpClient { BaseAddress = new Uri($"http://{options.Http}") };
        await ListensAsync(http);
        Assert.Equal(HttpStatusCode.OK, (await http.GetAsync("/livez", stop.Token)).StatusCode);
        Assert.Equal(HttpStatusCode.OK, (await http.GetAsync("/metrics", stop.Token)).StatusCode);
        using var ready = await http.GetAsync("/readyz", stop.Token);
        Assert.Equal(HttpStatusCode.ServiceUnavailable, ready.StatusCode);
        Assert.Contains("[-]membership failed: Node n1 belongs to no cluster yet", await ready.Content.ReadAsStringAsync(stop.Token), StringComparison.Ordinal);
        foreach (var path in new[] { "/kv/a", "/kv", "/Get/a", "/Put/a/b", "/status", "/config", "/raft/status", "/", "/nowhere", "/AddVoter/127.0.0.1:1/x", "/backup?shard=1" })
        {
            using var answer = await http.GetAsync(path, stop.Token);
            Assert.Equal(HttpStatusCode.ServiceUnavailable, answer.StatusCode);
            Assert.Equal("application/problem+json", answer.Content.Headers.ContentType!.MediaType);
            var problem = await answer.Content.ReadFromJsonAsync<JsonElement>(stop.Token);
            Assert.Equal("not_joined", problem.GetProperty("code").GetString());
            Assert.Contains($"./flotilla add-node n1 {options.Rpc} --endpoint", problem.GetProperty("detail").GetString(), StringComparison.Ordinal);
            Assert.Contains($"/AddVoter/{options.Rpc}/n1", problem.GetProperty("detail").GetString(), StringComparison.Ordinal);
        }

        using var channel = new RpcChannel(options.Rpc);
        var refused = await Assert.ThrowsAsync<RpcException>(() => channel.UnaryAsync("/flotilla.v1.KV/Get", new Contracts.Protos.GetRequest(), Contracts.Protos.GetResponse.Parser, Patience, stop.Token));
        Assert.Equal((RpcCode.Unavailable, "not_joined"), (refused.Code, refused.Status.FlotillaCode));
        var ask = JoinCodec.ToProto(new JoinAsk(Wire.Peers.PeerFrame.ProtocolVersion, new NodeId("other"), new Incarnation(5)));
        refused = await Assert.ThrowsAsync<RpcException>(() => channel.UnaryAsync(JoinCodec.Path, ask, JoinReply.Parser, Patience, stop.Token));
        Assert.Equal("not_joined", refused.Status.FlotillaCode);
        Assert.False(starting.IsCompleted);
        Assert.True(cluster.Log.Has(3002, "flotilla add-node n1"));
        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => starting);
    }

    [Fact]
    public async Task A_node_that_waits_enters_the_cluster_of_whichever_member_adds_it_and_stays_in_it()
    {
        await using var cluster = await TestCluster.StartAsync(2, shards: 2);
        await cluster[0].Gateway.PutSurelyAsync("k", "v");
        var waiting = cluster.AddWaiting();
        var entering = cluster.StartNodeAsync(waiting);
        var added = await AddAsync(cluster, 1, waiting);
        Assert.Equal((ChangeCode.Done, (string?)null), (added.Code, added.Detail));
        await entering;
        Assert.True(cluster.Log.Has(3003, "Node n3 was added to cluster"));
        Assert.Equal(cluster[0].Gateway.View.ClusterId, cluster[waiting].Gateway.View.ClusterId);
        Assert.Equal(2, cluster[waiting].Gateway.View.Local.Count);
        Assert.Equal("v", await cluster[waiting].Gateway.ReadAsync("k"));

        // The port that answered not_joined serves now: nobody has listened anew.
        using var http = new HttpClient { BaseAddress = new Uri($"http://{cluster[waiting].Http}") };
        Assert.Equal("v", (await http.GetFromJsonAsync<JsonElement>("/kv/k", TestContext.Current.CancellationToken)).GetProperty("value").GetString());

        // After a restart it goes on as a member, and needs nobody to tell it again.
        await cluster.StopAsync(waiting);
        await cluster.StartNodeAsync(waiting);
        await cluster.KillAsync(0);
        await cluster[waiting].Gateway.PutSurelyAsync("k", "w");
        Assert.Equal("w", await cluster[1].Gateway.ReadAsync("k"));
    }

    [Fact]
    public async Task A_node_that_was_stopped_while_it_waited_goes_on_waiting_or_begins_a_cluster_of_its_own()
    {
        await using var cluster = await TestCluster.StartAsync(1, shards: 1);
        var waiting = cluster.AddWaiting();
        await StopWaitingAsync(cluster, waiting);
        var entering = cluster.StartNodeAsync(waiting);
        var added = await AddAsync(cluster, 0, waiting);
        Assert.Equal((ChangeCode.Done, (string?)null), (added.Code, added.Detail));
        await entering;

        var alone = cluster.AddWaiting();
        await StopWaitingAsync(cluster, alone);
        cluster.Change(alone, o => o with { InitialCluster = [new(o.NodeId, o.Rpc.ToString())], Shards = 1 });
        await cluster.StartNodeAsync(alone);
        await cluster[alone].Gateway.PutSurelyAsync("mine", "1");
        Assert.NotEqual(cluster[0].Gateway.View.ClusterId, cluster[alone].Gateway.View.ClusterId);
    }

    [Fact]
    public async Task Whose_contact_does_not_answer_may_be_added_by_another_member()
    {
        await using var cluster = await TestCluster.StartAsync(1, shards: 1);
        var waiting = cluster.Add(contact: 0, o => o with { Join = new HostPort("127.0.0.1", 1) });
        var entering = cluster.StartNodeAsync(waiting);
        using var http = new HttpClient { BaseAddress = new Uri($"http://{cluster.OptionsOf(waiting).Http}") };
        await ListensAsync(http);
        await Eventually.IsTrueAsync(() => cluster.Log.Has(2007, "waits to join the cluster of 127.0.0.1:1"), "it has asked in vain");
        Assert.Contains("It asks 127.0.0.1:1 for its cluster again and again", await http.GetStringOfAnyAsync("/kv/a"), StringComparison.Ordinal);
        var added = await AddAsync(cluster, 0, waiting);
        Assert.Equal((ChangeCode.Done, (string?)null), (added.Code, added.Detail));
        await entering;
        await cluster.StopAsync(waiting);
        await cluster.StartNodeAsync(waiting);
        Assert.Equal(cluster[0].Gateway.View.ClusterId, cluster[waiting].Gateway.View.ClusterId);
    }

    [Fact]
    public async Task A_node_of_another_cluster_and_one_of_another_name_are_not_taken()
    {
        await using var cluster = await TestCluster.StartAsync(1, shards: 1);
        await using var other = TestCluster.Make(1, shards: 1, change: o => o with { NodeId = new NodeId("m1"), InitialCluster = [new(new NodeId("m1"), o.Rpc.ToString())] });
        await other.StartNodeAsync(0);
        var before = other[0].Gateway.View.ClusterId;
        var refused = await cluster[0].Changes.AddNodeAsync(new NodeId("m1"), other[0].Rpc, ShardChoice.All, Patience);
        Assert.Equal(ChangeCode.OtherCluster, refused.Code);
        Assert.Contains($"at {other[0].Rpc} node m1 belongs to another cluster ({before:x16}; this one is {cluster[0].Gateway.View.ClusterId:x16}): it can enter this one only with an empty data directory", refused.Detail, StringComparison.Ordinal);
        Assert.Equal(before, other[0].Gateway.View.ClusterId);

        var waiting = cluster.AddWaiting();
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        var options = cluster.OptionsOf(waiting);
        var starting = Server.NodeHost.StartAsync(options, cluster.Log, stop.Token);
        using var http = new HttpClient { BaseAddress = new Uri($"http://{options.Http}") };
        await ListensAsync(http);
        refused = await cluster[0].Changes.AddNodeAsync(new NodeId("n9"), options.Rpc, ShardChoice.All, Patience);
        Assert.Equal(ChangeCode.WrongNode, refused.Code);
        Assert.Contains($"at {options.Rpc} node n2 answers there, not n9: check the name and the address", refused.Detail, StringComparison.Ordinal);
        Assert.False(starting.IsCompleted);
        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => starting);
        Assert.Equal([TestCluster.Id(0)], cluster[0].Gateway.View.Shards[0].Voters);

        // Nor is a living node taken for whatever is at another address than its own.
        var joined = cluster.Add(contact: 0);
        await cluster.StartNodeAsync(joined);
        await Eventually.IsTrueAsync(() => cluster[0].Gateway.View.Nodes.Any(n => n.Node == TestCluster.Id(joined) && n.Alive), "it is connected");
        refused = await cluster[0].Changes.AddNodeAsync(TestCluster.Id(joined), options.Rpc, ShardChoice.All, Patience);
        Assert.Equal(ChangeCode.WrongNode, refused.Code);
        Assert.Contains($"node n3 is at {cluster[joined].Rpc}, not at {options.Rpc}", refused.Detail, StringComparison.Ordinal);

        // Nor is the HTTP port of a node asked in vain without a word of what it is; on a starved machine nobody may answer in time at first.
        await Eventually.IsTrueAsync(
            async () => (refused = await cluster[0].Changes.AddNodeAsync(new NodeId("n9"), cluster[joined].Http, ShardChoice.All, Patience)) is { Code: ChangeCode.Unreachable, Detail: { } said }
                && said.Contains("it looks like the HTTP port of a node", StringComparison.Ordinal),
            "it is told what answers there", seconds: 60);
    }

    [Fact]
    [Trait("Hazard", "17")]
    public async Task A_wiped_member_that_waits_is_let_in_and_is_not_taken_for_the_voter_that_it_was()
    {
        await using var cluster = await TestCluster.StartAsync(3, shards: 1);
        await cluster.KillAsync(2);
        Directory.Delete(cluster.OptionsOf(2).DataDir, recursive: true);
        cluster.Change(2, o => o with { InitialCluster = [] });
        var entering = cluster.StartNodeAsync(2);
        var refused = await AddAsync(cluster, 0, 2);
        Assert.Equal(ChangeCode.SeatIsTaken, refused.Code);
        await entering;
        Assert.Equal(ChangeCode.Done, (await cluster[0].Changes.RemoveNodeAsync(TestCluster.Id(2), ShardChoice.All, Patience)).Code);
        await Eventually.IsTrueAsync(() => cluster[0].Gateway.View.Shards[0].Voters.Count == 3, "the empty seat is filled with it");
        await cluster.KillAsync(1);
        await cluster[2].Gateway.PutSurelyAsync("k", "v");
    }

    [Fact]
    public async Task What_is_told_of_a_cluster_is_checked_and_the_first_answer_stays()
    {
        var kept = new List<ulong>();
        var entrance = new Hosting.Entrance(new NodeId("a"), new Incarnation(7), answer => kept.Add(answer.ClusterId));
        var mine = Told("m", 1);
        Assert.Equal(RpcCode.InvalidArgument, entrance.Adopt(new AdoptRequest()).Status.Code);
        Assert.Contains("protocol version", entrance.Adopt(Ask("a", mine, version: 99)).Status.Message, StringComparison.Ordinal);
        Assert.Equal("wrong_node", entrance.Adopt(Ask("b", mine)).Status.FlotillaCode);
        Assert.Contains("computes another cluster id", entrance.Adopt(Ask("a", mine with { ClusterId = 12 })).Status.Message, StringComparison.Ordinal);
        Assert.Empty(kept);
        Assert.False(entrance.Entered.IsCompleted);
        Assert.Equal(7ul, entrance.Adopt(Ask("a", mine)).Message!.Incarnation);
        Assert.Equal(7ul, entrance.Adopt(Ask("a", mine)).Message!.Incarnation);
        Assert.Equal("other_cluster", entrance.Adopt(Ask("a", Told("m", 2))).Status.FlotillaCode);
        Assert.Equal([mine.ClusterId], kept);
        Assert.Equal(new NodeId("caller"), await entrance.Entered);
    }

    [Fact]
    public void An_answer_that_can_not_be_kept_ends_the_node()
    {
        var entrance = new Hosting.Entrance(new NodeId("a"), new Incarnation(7), _ => throw new IOException("the disk is full"));
        Assert.Throws<IOException>(() => entrance.Adopt(Ask("a", Told("m", 1))));
        Assert.True(entrance.Entered.IsFaulted);
    }

    private static JoinAnswer Told(string node, int shards)
    {
        Shards.ClusterMember[] members = [new(new NodeId(node), "h:1")];
        return new JoinAnswer(Shards.Genesis.Compute(members, shards, 3).ClusterId, members, shards, 3, 0, members);
    }

    private static AdoptRequest Ask(string node, JoinAnswer cluster, uint version = Wire.Peers.PeerFrame.ProtocolVersion) =>
        JoinCodec.ToProto(new AdoptAsk(version, new NodeId(node), new NodeId("caller"), cluster));

    private static async Task<ChangeAnswer> AddAsync(TestCluster cluster, int by, int node)
    {
        // Its listener may come a moment later than the operator.
        using var http = new HttpClient { BaseAddress = new Uri($"http://{cluster.OptionsOf(node).Http}") };
        await ListensAsync(http);
        return await cluster[by].Changes.AddNodeAsync(cluster.OptionsOf(node).NodeId, cluster.OptionsOf(node).Rpc, ShardChoice.All, Patience);
    }

    private static async Task StopWaitingAsync(TestCluster cluster, int node)
    {
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        var starting = Server.NodeHost.StartAsync(cluster.OptionsOf(node), cluster.Log, stop.Token);
        using var http = new HttpClient { BaseAddress = new Uri($"http://{cluster.OptionsOf(node).Http}") };
        await ListensAsync(http);
        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => starting);
    }

    private static Task ListensAsync(HttpClient http) => Eventually.IsTrueAsync(
        async () =>
        {
            try
            {
                return (await http.GetAsync("/livez", TestContext.Current.CancellationToken)).IsSuccessStatusCode;
            }
            catch (HttpRequestException)
            {
                return false;
            }
        },
        "the node listens");
}

/// <summary>Answers as text, whatever their status.</summary>
internal static class AnyAnswer
{
    public static async Task<string> GetStringOfAnyAsync(this HttpClient http, string path)
    {
        using var answer = await http.GetAsync(path, TestContext.Current.CancellationToken);
        return await answer.Content.ReadAsStringAsync(TestContext.Current.CancellationToken);
    }
}
