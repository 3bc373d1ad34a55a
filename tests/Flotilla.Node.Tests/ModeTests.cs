using Flotilla.Node.Cluster;
using Flotilla.Node.Gateways;
using Flotilla.Node.Tests.Clusters;
using Flotilla.Raft;
using Flotilla.Shards;
using Flotilla.Topology;
using Flotilla.Topology.Descriptors;
using Flotilla.Wire.Peers;

namespace Flotilla.Node.Tests;

/// <summary>Shards that replicate in another mode than raft, on real nodes.</summary>
public sealed class ModeTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    [Fact, Trait("Hazard", "47"), Trait("Hazard", "46")]
    public async Task In_sync_writes_fail_at_once_while_a_replica_is_away_go_on_without_it_after_heal_after_and_count_it_again_when_it_is_back()
    {
        await using var cluster = await TestCluster.StartAsync(3, shards: 2, change: options => options with { HealAfter = TimeSpan.FromSeconds(15), RequestTimeout = TimeSpan.FromSeconds(1) });
        var switched = await cluster[1].Changes.SetModeAsync(ShardMode.Sync, shards: null, Patience);
        Assert.Equal((ChangeCode.Done, (string?)null), (switched.Code, switched.Detail));
        await Eventually.IsTrueAsync(() => cluster.Running.All(i => cluster[i].Gateway.View.Shards.All(s => s is { Mode: "sync", InSync.Count: 3 })), "all nodes show the mode");
        for (var i = 0; i < 20; i++)
        {
            await cluster[i % 3].Gateway.PutSurelyAsync($"k{i}", "1");
        }

        // A follower everywhere, so that nothing but its silence stands in the way of a write.
        foreach (var shard in cluster[0].Gateway.View.Shards.Where(s => s.Leader == TestCluster.Id(2)))
        {
            var moved = await cluster[0].Changes.TransferAsync(shard.Shard, TestCluster.Id(0), Patience);
            Assert.Equal((ChangeCode.Done, (string?)null), (moved.Code, moved.Detail));
        }

        // A write that was under way when it fell silent waits for it until its time is up; those that come later do not.
        await cluster.KillAsync(2);
        await Eventually.IsTrueAsync(async () => (await cluster[0].Gateway.PutAsync("k1", "2")).Result.Code == ResultCode.ReplicaUnavailable, "a write is refused");
        var refused = await cluster[1].Gateway.PutAsync("k1", "2");
        Assert.True(refused.Result.Code == ResultCode.ReplicaUnavailable && refused.Detail!.Contains("n3", StringComparison.Ordinal), $"{refused.Result.Code} {refused.Detail}");
        Assert.NotNull(await cluster[1].Gateway.ReadAsync("k1"));

        // Its votes are as they were; what changes is whose acknowledgement is waited for.
        await cluster[0].Gateway.PutSurelyAsync("k1", "3");
        await Eventually.IsTrueAsync(() => cluster[1].Gateway.View.Shards.All(s => s is { InSync.Count: 2, Voters.Count: 3 }), "it is out of sync, and votes");
        await cluster.StartNodeAsync(2);
        await Eventually.IsTrueAsync(() => cluster[1].Gateway.View.Shards.All(s => s.InSync.Count == 3), "it is in sync again");
        await cluster[2].Gateway.PutSurelyAsync("k1", "4");
        Assert.Equal("4", await cluster[1].Gateway.ReadAsync("k1"));

        var back = await cluster[0].Changes.SetModeAsync(ShardMode.Raft, [new ShardId(1)], Patience);
        Assert.Equal((ChangeCode.Done, (string?)null), (back.Code, back.Detail));
        await Eventually.IsTrueAsync(() => string.Join(' ', cluster[2].Gateway.View.Shards.Select(s => s.Mode)) == "raft sync", "only one of them is back in raft");
    }

    [Fact, Trait("Hazard", "47")]
    public async Task In_chain_the_broken_link_is_named_reads_go_on_and_the_chain_closes_around_a_node_that_stays_away()
    {
        await using var cluster = await TestCluster.StartAsync(4, shards: 1, change: options => options with { HealAfter = TimeSpan.FromSeconds(10), RequestTimeout = TimeSpan.FromSeconds(1) });
        var switched = await cluster[3].Changes.SetModeAsync(ShardMode.Chain, shards: null, Patience);
        Assert.Equal((ChangeCode.Done, (string?)null), (switched.Code, switched.Detail));
        await Eventually.IsTrueAsync(() => cluster.Running.All(i => cluster[i].Gateway.View.Shards.All(s => s is { Mode: "chain", InSync.Count: 3 })), "all nodes show the mode");

        // n4 has no replica, so it reads at the tail.
        var shard = cluster[3].Gateway.View.Shards[0];
        Assert.DoesNotContain(TestCluster.Id(3), shard.Voters);
        for (var i = 0; i < 20; i++)
        {
            await cluster[i % 4].Gateway.PutSurelyAsync($"k{i}", $"{i}");
            Assert.Equal($"{i}", await cluster[3].Gateway.ReadSurelyAsync($"k{i}"));
        }

        var moved = await cluster[0].Changes.TransferAsync(shard.Shard, TestCluster.Id(0), Patience);
        Assert.Equal((ChangeCode.Done, (string?)null), (moved.Code, moved.Detail));
        await Eventually.IsTrueAsync(() => cluster[3].Gateway.View.Shards[0].Leader == TestCluster.Id(0), "n4 knows the leader");

        // The tail dies: writes are refused by the link's name, reads go to the leader.
        await cluster.KillAsync(2);
        await Eventually.IsTrueAsync(async () => (await cluster[0].Gateway.PutAsync("k1", "no")).Result.Code == ResultCode.ReplicaUnavailable, "a write is refused");
        var refused = await cluster[3].Gateway.PutAsync("k1", "no");
        Assert.True(refused.Result.Code == ResultCode.ReplicaUnavailable && refused.Detail!.Contains("n2 → n3", StringComparison.Ordinal), $"{refused.Result.Code} {refused.Detail}");
        Assert.Equal("19", await cluster[3].Gateway.ReadSurelyAsync("k19"));

        await cluster[3].Gateway.PutSurelyAsync("k1", "2");
        await Eventually.IsTrueAsync(() => cluster[3].Gateway.View.Shards[0] is { InSync.Count: 2, Voters.Count: 3 }, "it is out of the chain, and votes");
        await cluster.StartNodeAsync(2);
        await Eventually.IsTrueAsync(() => cluster[3].Gateway.View.Shards[0].InSync.Count == 3, "it is in the chain again");
        await cluster[2].Gateway.PutSurelyAsync("k1", "3");
        Assert.Equal("3", await cluster[3].Gateway.ReadSurelyAsync("k1"));
    }

    [Fact]
    public async Task A_cluster_begins_in_the_mode_of_its_first_start_keeps_it_over_restarts_and_gives_it_to_new_shards_and_nodes()
    {
        await using var cluster = await TestCluster.StartAsync(3, shards: 2, change: options => options with { Mode = ShardMode.Chain });
        await cluster[0].Gateway.PutSurelyAsync("k", "1");
        Assert.All(cluster.Running, i => Assert.All(cluster[i].Gateway.View.Shards, s => Assert.Equal("chain", s.Mode)));
        var stale = await cluster[0].Gateway.GetAsync("k"u8.ToArray(), CallOptions.Default with { Stale = true });
        Assert.Equal((ShardMode.Chain, true), (stale.Mode, stale.IsStale));

        // A node that joins learns it with the rest of the genesis, or its replicas would begin as others.
        var fourth = cluster.Add(contact: 0);
        await cluster.StartNodeAsync(fourth);
        var added = await cluster[fourth].Changes.AddShardAsync(new ShardId(3), null);
        Assert.Equal((ChangeCode.Done, "joining"), (added.Code, added.State));
        await Eventually.IsTrueAsync(() => cluster[0].Gateway.View.Shards.Any(s => s is { Shard.Value: 3, State: "active" } && s.Ranges.Count > 0), "the new shard has slots");
        Assert.Equal("chain", cluster[0].Gateway.View.Shards.Single(s => s.Shard.Value == 3).Mode);

        // The flag of a later start has no effect.
        await cluster.StopAsync(1);
        cluster.Change(1, options => options with { Mode = ShardMode.Raft });
        await cluster.StartNodeAsync(1);
        await cluster[1].Gateway.PutSurelyAsync("k", "2");
        Assert.All(cluster[1].Gateway.View.Shards, s => Assert.Equal("chain", s.Mode));
        Assert.Equal("2", await cluster[fourth].Gateway.ReadSurelyAsync("k"));
    }

    [Fact]
    public void Only_in_mode_chain_reads_are_sent_to_the_tail_and_never_to_one_that_leads_or_is_unknown()
    {
        NodeId[] voters = [.. Enumerable.Range(0, 3).Select(TestCluster.Id)];
        var route = new ShardRoute(new ShardId(1), new GroupId(7), new ShardMembers(new LogIndex(1), voters, [], []), SlotSet.Empty, null);
        Assert.True(ClusterTargets.TailFor(route, voters[0]).IsNone);
        route.Facts = route.Facts with { Mode = ShardMode.Chain };
        Assert.Equal(voters[2], ClusterTargets.TailFor(route, voters[0]));
        Assert.Equal(voters[0], ClusterTargets.TailFor(route, voters[1]));
        Assert.True(ClusterTargets.TailFor(route, default).IsNone);
        route.Facts = route.Facts with { InSync = [voters[0], voters[1]] };
        Assert.Equal(voters[1], ClusterTargets.TailFor(route, voters[0]));
        route.Facts = route.Facts with { InSync = [voters[0]] };
        Assert.True(ClusterTargets.TailFor(route, voters[0]).IsNone);
    }

    [Fact]
    public async Task A_mode_that_is_not_built_a_shard_that_is_not_there_and_a_removal_that_leaves_too_few_in_sync_are_refused()
    {
        await using var cluster = await TestCluster.StartAsync(3, shards: 1, change: options => options with { HealAfter = TimeSpan.FromSeconds(1) });
        Assert.Equal(ChangeCode.Refused, (await cluster[0].Changes.SetModeAsync(ShardMode.Quorum, shards: null, Patience)).Code);
        Assert.Equal(ChangeCode.Unknown, (await cluster[0].Changes.SetModeAsync(ShardMode.Sync, [new ShardId(9)], Patience)).Code);
        Assert.Equal(ChangeCode.Done, (await cluster[0].Changes.SetModeAsync(ShardMode.Sync, shards: null, Patience)).Code);
        await cluster.KillAsync(2);
        await Eventually.IsTrueAsync(() => cluster[0].Gateway.View.Shards[0] is { InSync.Count: 2 }, "n3 is out of sync");
        var refused = await cluster[0].Changes.RemoveNodeAsync(TestCluster.Id(1), ShardChoice.All, Patience);
        Assert.Equal(ChangeCode.WouldStop, refused.Code);
        await cluster[0].Gateway.PutSurelyAsync("k", "v");
    }
}
