using System.Net.Http.Json;
using System.Text.Json;
using Flotilla.Contracts;
using Flotilla.Node.Tests.Clusters;
using Flotilla.Raft;
using Flotilla.Topology;
using Flotilla.Wire.Peers;

namespace Flotilla.Node.Tests;

/// <summary>Processes of one shard each, as <c>flotilla shard</c> starts them: how they come to be one cluster, and how each keeps to its shard.</summary>
public sealed class SingleShardTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    [Fact]
    public async Task Shards_that_are_started_one_by_one_in_any_order_are_one_cluster_and_again_after_a_restart_in_any_order()
    {
        await using var shards = new SingleShards();
        shards.MakeFirst(3);
        var others = new[] { shards.Start(3), shards.Start(2) };
        await Eventually.IsTrueAsync(() => shards.Nodes.Log.Has(2007, "Node 3-1 waits") && shards.Nodes.Log.Has(2007, "Node 2-1 waits"), "both have asked in vain");
        Assert.All(others, starting => Assert.False(starting.IsCompleted));
        await shards.Start(1);
        await Task.WhenAll(others).WaitAsync(Patience, TestContext.Current.CancellationToken);
        await shards.SettledAsync(1, 2, 3);
        Assert.Single(shards.Nodes.Running.Select(i => shards.Nodes[i].Gateway.View.ClusterId).Distinct());
        for (var i = 0; i < 50; i++)
        {
            await shards[1 + (i % 3)].Gateway.PutSurelyAsync($"k{i}", $"v{i}");
        }

        // A second node of shard 2, added by its number's name at the first.
        shards.Make(2, 2);
        var second = shards.Start(2, 2);
        var added = await shards[2].Changes.AddNodeAsync(new NodeId("2-2"), shards.OptionsOf(2, 2).Rpc, ShardChoice.Hosted, Patience);
        Assert.Equal((ChangeCode.Done, 1), (added.Code, added.Shards.Count));
        await second;
        foreach (var place in shards.Nodes.Running.ToArray())
        {
            await shards.Nodes.KillAsync(place);
        }

        await shards.Start(2, 2);
        await shards.Start(3);
        await shards.Start(1);
        await shards.Start(2);
        await shards.SettledAsync(1, 2, 3);
        for (var i = 0; i < 50; i++)
        {
            Assert.Equal($"v{i}", await shards[3].Gateway.ReadSurelyAsync($"k{i}"));
        }
    }

    [Fact]
    public async Task A_process_that_died_on_its_way_goes_on_where_it_was()
    {
        await using var shards = new SingleShards();
        shards.MakeFirst(2);

        // The first one made its directory, and had not begun the cluster yet.
        var whole = shards.OptionsOf(1);
        shards.Nodes.Change(shards.Place(1), o => o with { InitialCluster = [], Single = o.Single! with { Peers = [] } });
        using (var stop = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken))
        {
            var starting = Server.NodeHost.StartAsync(shards.OptionsOf(1), shards.Nodes.Log, stop.Token);
            await Eventually.IsTrueAsync(() => shards.Nodes.Log.Has(3002, "Node 1-1 belongs to no cluster yet"), "it waits");
            await stop.CancelAsync();
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => starting);
        }

        shards.Nodes.Change(shards.Place(1), _ => whole);
        await shards.Start(1);

        // The other one had entered the cluster, and its shard was not born yet.
        whole = shards.OptionsOf(2);
        shards.Nodes.Change(shards.Place(2), o => o with { Single = null, Join = shards.OptionsOf(1).Rpc });
        await shards.Start(2);
        Assert.Empty(shards[2].Gateway.View.Local);
        await shards.Nodes.KillAsync(shards.Place(2));
        shards.Nodes.Change(shards.Place(2), _ => whole);
        await shards.Start(2);
        await shards.SettledAsync(1, 2);

        // And once it is born it is not born again.
        var began = shards[2].Gateway.View.ClusterId;
        await shards.Nodes.KillAsync(shards.Place(2));
        await shards.Start(2);
        await shards.SettledAsync(1, 2);
        Assert.Equal(began, shards[2].Gateway.View.ClusterId);
        Assert.Equal(1, shards.Nodes.Log.Count(2406));
    }

    [Fact, Trait("Hazard", "17")]
    public async Task A_first_node_that_lost_its_disk_enters_its_old_cluster_by_its_old_command_and_begins_nothing()
    {
        await using var shards = new SingleShards();
        shards.MakeFirst(2);
        await shards.Start(1);
        await shards.Start(2);
        shards.Make(1, 2);
        shards.Make(1, 3);
        foreach (var number in new[] { 2, 3 })
        {
            var entering = shards.Start(1, number);
            Assert.Equal(ChangeCode.Done, (await shards[1].Changes.AddNodeAsync(new NodeId($"1-{number}"), shards.OptionsOf(1, number).Rpc, ShardChoice.Hosted, Patience)).Code);
            await entering;
        }

        await shards.SettledAsync(1, 2);
        var began = shards[2].Gateway.View.ClusterId;
        await shards[2].Gateway.PutSurelyAsync("a", "1");

        // Shard 2 had one node only: with its disk its records are gone for good, and the others' word keeps anything from taking their place.
        await shards.WipeAsync(1);
        await shards.Start(1);
        Assert.Equal(began, shards[1].Gateway.View.ClusterId);
        await Eventually.IsTrueAsync(() => shards.Nodes.Log.Has(2408, "Shard 1: node 1-1 has no replica of it yet: the shard exists already"), "it says what to do");
        Assert.Empty(shards[1].Gateway.View.Local);
        Assert.Equal("1", await shards[1].Gateway.ReadSurelyAsync("a"));
        Assert.Equal(ChangeCode.Done, (await shards[1, 2].Changes.RemoveNodeAsync(new NodeId("1-1"), ShardChoice.All, Patience)).Code);
        Assert.Equal(ChangeCode.Done, (await shards[1, 2].Changes.AddNodeAsync(new NodeId("1-1"), shards[1].Rpc, ShardChoice.Hosted, Patience)).Code);

        await shards.WipeAsync(2);
        await shards.Start(2);
        await Eventually.IsTrueAsync(() => shards.Nodes.Log.Has(2408, "Shard 2: node 2-1 has no replica of it yet: the shard exists already"), "it says what to do");
        Assert.Equal(1, shards.Nodes.Log.Count(2406));
        Assert.False(shards.Nodes.Log.Has(2400, "shard 2"));
    }

    [Fact]
    public async Task A_shard_without_peers_is_added_at_its_address_and_a_process_keeps_to_its_shard()
    {
        await using var shards = new SingleShards();
        shards.MakeFirst(1);
        await shards.Start(1);
        shards.Make(4, 1);
        var fourth = shards.OptionsOf(4);
        var nobody = await shards[1].Changes.AddShardAsync(new ShardId(4), fourth.Http);
        Assert.Equal(ChangeCode.Unknown, nobody.Code);
        Assert.Contains($"No node is known at {fourth.Http}", nobody.Detail, StringComparison.Ordinal);
        Assert.Contains("flotilla shard --shard-id 4 --node-id 1", (await shards[1].Changes.AddShardAsync(new ShardId(4), address: null)).Detail, StringComparison.Ordinal);

        var entering = shards.Start(4);
        await Eventually.IsTrueAsync(() => shards.Nodes.Log.Has(3002, "Node 4-1 belongs to no cluster yet"), "it waits");
        using var http = new HttpClient();
        using var waits = await http.GetAsync($"http://{fourth.Http}/status", TestContext.Current.CancellationToken);
        var node = (await waits.Content.ReadFromJsonAsync<JsonElement>(TestContext.Current.CancellationToken)).GetProperty("node");
        Assert.Equal(("4-1", fourth.Rpc.ToString(), 4), (node.GetProperty("id").GetString(), node.GetProperty("rpc").GetString(), node.GetProperty("shard").GetInt32()));
        Assert.Equal(ChangeCode.OtherShard, (await shards[1].Changes.AddShardAsync(new ShardId(5), fourth.Http)).Code);
        Assert.False(entering.IsCompleted);

        var born = await shards[1].Changes.AddShardAsync(new ShardId(4), fourth.Http);
        Assert.Equal((ChangeCode.Done, "joining", new NodeId("4-1")), (born.Code, born.State, born.Node));
        await entering;
        await shards.SettledAsync(1, 4);
        var again = await shards[1].Changes.AddShardAsync(new ShardId(4), fourth.Http);
        Assert.Equal((ChangeCode.Done, "active"), (again.Code, again.State));
        Assert.Equal(ChangeCode.Refused, (await shards[1].Changes.AddShardAsync(new ShardId(4), shards.OptionsOf(1).Http)).Code);
        Assert.Equal(ChangeCode.OtherShard, (await shards[1].Changes.AddShardAsync(new ShardId(5), fourth.Http)).Code);

        // A seat in another shard is refused, and a wish for all shards means its own.
        Assert.Equal(ChangeCode.OtherShard, (await shards[1].Changes.AddNodeAsync(new NodeId("4-1"), null, ShardChoice.One(new ShardId(1)), Patience)).Code);
        var all = await shards[1].Changes.AddNodeAsync(new NodeId("4-1"), null, ShardChoice.All, Patience);
        Assert.Equal((ChangeCode.Done, 4), (all.Code, Assert.Single(all.Shards).Shard.Value));
    }

    [Fact]
    public async Task Nobody_gives_such_a_process_a_seat_by_himself_but_a_node_with_join_asks_for_its_own()
    {
        await using var shards = new SingleShards();
        shards.MakeFirst(1);
        await shards.Start(1);
        shards.Make(1, 2, o => o with { Join = shards.OptionsOf(1).Rpc });
        await shards.Start(1, 2);
        await Eventually.IsTrueAsync(() => shards[1].Gateway.View.Shards[0].Voters.Count == 2, "it votes");

        // A node for any shard, in the same cluster: the shard that is born there wants three replicas, and finds no other node.
        var free = shards.Nodes.Add(contact: shards.Place(1));
        await shards.Nodes.StartNodeAsync(free);
        var born = default(ShardAnswer);
        await Eventually.IsTrueAsync(async () => (born = await shards[1].Changes.AddShardAsync(new ShardId(7), address: null)).Code == ChangeCode.Done, "it is born");
        Assert.Equal(TestCluster.Id(free), born!.Node);
        await shards.SettledAsync(1, 7);
        Assert.Equal([[new NodeId("1-1"), new NodeId("1-2")], [TestCluster.Id(free)]], shards[1].Gateway.View.Shards.Select(s => s.Voters));
        Assert.False(shards.Nodes.Log.Has(2205, ""));

        // Whoever was sent away does not come back by itself.
        Assert.Equal(ChangeCode.Done, (await shards[1].Changes.RemoveNodeAsync(new NodeId("1-2"), ShardChoice.All, Patience)).Code);
        await shards.Nodes.StopAsync(shards.Place(1, 2));
        await shards.Start(1, 2);
        await Eventually.IsTrueAsync(() => shards[1, 2].Gateway.View.Local is [{ Standing: Standing.Removed }], "it knows that it was removed");
        Assert.Equal([new NodeId("1-1")], shards[1].Gateway.View.Shards[0].Voters);
    }
}
