using Flotilla.Contracts;
using Flotilla.Node.Tests.Clusters;
using Flotilla.Raft;
using Flotilla.Server;
using Flotilla.Shards;
using Flotilla.Topology;
using Flotilla.Topology.Descriptors;
using Flotilla.Topology.Gossip;

namespace Flotilla.Node.Tests;

/// <summary>What nodes and routers know of the cluster, and how they come to know it.</summary>
public sealed class TopologyTests
{
    [Fact]
    public async Task A_node_that_hosts_nothing_and_a_router_are_told_of_another_leader()
    {
        await using var cluster = await TestCluster.StartAsync(4, shards: 1);
        await using var router = await RouterHost.StartAsync(
            new RouterOptions { Listen = new HostPort("127.0.0.1", 0), Nodes = [cluster[3].Http] }, cluster.Log, TestContext.Current.CancellationToken);
        await Eventually.IsTrueAsync(() => router.Gateway.View.Shards is [{ Leader.IsNone: false }], "the router knows the shard");
        var before = router.Gateway.View.Shards[0];
        Assert.Equal("active", before.State);
        Assert.Equal([(0, 16383)], before.Ranges);
        Assert.StartsWith($"{before.Term.Value}.", before.Version, StringComparison.Ordinal);

        await cluster.StopAsync(await LeaderAsync(cluster));
        await Eventually.IsTrueAsync(
            () => new[] { cluster[3].Gateway, router.Gateway }.All(g => g.View.Shards[0] is { Leader.IsNone: false } now && now.Term > before.Term && now.Leader != before.Leader),
            "both know the other leader");
        await router.Gateway.PutSurelyAsync("k", "v");
        Assert.Equal("v", await cluster[3].Gateway.ReadAsync("k"));
        await Eventually.IsTrueAsync(() => router.Gateway.View.AgeMs < 1500, "the router compares what it knows each second");
    }

    [Fact]
    public async Task What_no_broadcast_brought_comes_with_an_exchange()
    {
        await using var cluster = TestCluster.Make(3, shards: 1);
        await cluster.StartNodeAsync(0);
        await using var peer = await FakePeer.StartAsync(cluster.OptionsOf(1));
        peer.IsTalkative = false;
        await Eventually.IsTrueAsync(() => peer.Heard.Any(static m => m is GossipMessage.Digest), "the node asks as the stream begins");

        // A word that is told to nobody.
        peer.Describe(d => d with { Version = new DescriptorVersion(9, 40), Leader = "n2", State = ShardState.Leaving });
        await Eventually.IsTrueAsync(() => cluster[0].Gateway.View.Shards[0] is { State: "leaving", Version: "9.40", Leader.Value: "n2" }, "the node pulls it");

        // What it has and the other has not goes the other way in the same exchange: its own record.
        await Eventually.IsTrueAsync(
            () => peer.Heard.OfType<GossipMessage.News>().Any(static n => n.Items.OfType<NodeItem>().Any(static i => i.Record.Node == "n1")), "the node pushes its own");
    }

    [Fact]
    public async Task A_node_that_was_down_while_the_leader_changed_knows_it_as_soon_as_a_stream_stands()
    {
        await using var cluster = await TestCluster.StartAsync(4, shards: 1);
        await cluster.StopAsync(3);
        await cluster.StopAsync(await LeaderAsync(cluster));
        var term = cluster[await LeaderAsync(cluster)].Gateway.View.Shards[0].Term;
        await cluster.StartNodeAsync(3);
        await Eventually.IsTrueAsync(() => cluster[3].Gateway.View.Shards[0] is { Leader.IsNone: false } shard && shard.Term >= term, "it knows");
    }

    [Fact, Trait("Hazard", "53")]
    public async Task A_node_keeps_what_it_knows_on_its_disk_and_does_without_if_that_is_damaged()
    {
        await using var cluster = await TestCluster.StartAsync(4, shards: 1);
        var file = Path.Combine(cluster.OptionsOf(3).DataDir, "topology");
        await Eventually.IsTrueAsync(() => File.Exists(file) && VersionIn(file) is not null, "it is written");
        for (var i = 3; i >= 0; i--)
        {
            await cluster.StopAsync(i);
        }

        // Nobody is there to ask.
        var version = VersionIn(file);
        await cluster.StartNodeAsync(3);
        Assert.Equal(version, cluster[3].Gateway.View.Shards[0].Version);
        await cluster.StopAsync(3);
        var bytes = await File.ReadAllBytesAsync(file, TestContext.Current.CancellationToken);
        bytes[bytes.Length / 2] ^= 1;
        await File.WriteAllBytesAsync(file, bytes, TestContext.Current.CancellationToken);
        await cluster.StartNodeAsync(3);
        Assert.True(cluster.Log.Has(2405, "passed over"));
        Assert.Equal("0.0", cluster[3].Gateway.View.Shards[0].Version);
        Assert.Equal([(0, 16383)], cluster[3].Gateway.View.Shards[0].Ranges);
        for (var i = 0; i < 3; i++)
        {
            await cluster.StartNodeAsync(i);
        }

        await cluster.LeadersAsync();
        await cluster[3].Gateway.PutSurelyAsync("k", "v");
    }

    private static string? VersionIn(string file) =>
        TableCodec.Decode(File.ReadAllBytes(file), clusterId: 0, out _).Shards is [var shard] ? shard.Descriptor.Version.ToString() : null;

    private static async Task<int> LeaderAsync(TestCluster cluster)
    {
        var leader = -1;
        await Eventually.IsTrueAsync(() => (leader = cluster.LeaderOf(new ShardId(1))) >= 0, "some node leads");
        return leader;
    }
}
