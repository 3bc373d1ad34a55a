using Flotilla.Node.Tests.Clusters;
using Flotilla.Topology;
using static Flotilla.Node.Tests.Clusters.GatewayText;

namespace Flotilla.Node.Tests;

/// <summary>Groups in which nothing is to be done: heartbeats of nodes stand in for theirs.</summary>
public sealed class QuietTests
{
    [Fact]
    public async Task Quiet_groups_answer_reads_and_writes_through_every_node_and_go_quiet_again()
    {
        await using var cluster = await StartAsync();
        for (var round = 0; round < 3; round++)
        {
            await AllAreQuietAsync(cluster);
            for (var k = 0; k < 12; k++)
            {
                var value = $"{round}-{k}";
                await cluster[k % 3].Gateway.PutSurelyAsync($"k{k}", value);
                Assert.Equal(value, await cluster[(k + 1) % 3].Gateway.ReadAsync($"k{k}"));
            }

            await AllAreQuietAsync(cluster);
            for (var k = 0; k < 12; k++)
            {
                // The first read of a shard that sleeps, at a follower or the leader.
                Assert.Equal($"{round}-{k}", await cluster[k % 3].Gateway.ReadAsync($"k{k}"));
            }
        }
    }

    [Fact]
    public async Task A_killed_node_that_led_quiet_groups_is_replaced_and_finds_its_way_back()
    {
        await using var cluster = await StartAsync();
        await WriteAsync(cluster, 0, "before");
        await AllAreQuietAsync(cluster);
        var dead = await cluster.LeaderAsync(new ShardId(1));
        await cluster.KillAsync(dead);
        var alive = cluster.Running.First();
        await WriteAsync(cluster, alive, "after");

        await cluster.StartNodeAsync(dead);
        await cluster.LeadersAsync();
        await AllAreQuietAsync(cluster);
        for (var k = 0; k < 12; k++)
        {
            Assert.Equal("after", await cluster[dead].Gateway.ReadAsync($"k{k}"));
        }
    }

    [Fact]
    public async Task A_stop_in_good_order_hands_quiet_groups_over()
    {
        await using var cluster = await StartAsync();
        await AllAreQuietAsync(cluster);
        var stopped = await cluster.LeaderAsync(new ShardId(1));
        await cluster.StopAsync(stopped);
        Assert.DoesNotContain(cluster.Running, i => cluster[i].Gateway.View.Local.Any(r => r.Leader == TestCluster.Id(stopped)));
        await WriteAsync(cluster, cluster.Running.First(), "after");
    }

    private static Task<TestCluster> StartAsync() =>
        TestCluster.StartAsync(3, shards: 6, change: o => o with { Replica = o.Replica with { Raft = o.Replica.Raft with { QuietAfterMs = 150 } } });

    private static Task AllAreQuietAsync(TestCluster cluster) => Eventually.IsTrueAsync(
        () => cluster.Running.All(i => cluster[i].Gateway.View.Local is { Count: > 0 } local && local.All(r => r.IsQuiet)), "every group is quiet");

    private static async Task WriteAsync(TestCluster cluster, int node, string value)
    {
        for (var k = 0; k < 12; k++)
        {
            await cluster[node].Gateway.PutSurelyAsync($"k{k}", value);
        }
    }
}
