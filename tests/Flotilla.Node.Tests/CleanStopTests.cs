using Flotilla.Node.Tests.Clusters;
using Flotilla.Shards;
using Flotilla.Topology;

namespace Flotilla.Node.Tests;

/// <summary>A node that is told to stop costs its cluster nothing.</summary>
public sealed class CleanStopTests
{
    [Fact]
    public async Task Stopping_each_node_in_good_order_under_load_makes_no_call_fail()
    {
        await using var cluster = await TestCluster.StartAsync(3);
        for (var stopped = 0; stopped < 3; stopped++)
        {
            await StopUnderLoadAsync(cluster, stopped, [.. cluster.Running]);
            await cluster.StartNodeAsync(stopped);
            await cluster.LeadersAsync();
        }
    }

    [Fact]
    public async Task A_node_that_stops_hands_over_to_one_that_is_caught_up()
    {
        await using var cluster = TestCluster.Make(5, shards: 1, replicas: 5);
        var disks = new TrickyDisk[5];
        for (var i = 0; i < 5; i++)
        {
            var node = i;
            await cluster.StartNodeAsync(i, inner => disks[node] = new TrickyDisk(inner));
        }

        // The first of the other voters is alive and answers, but its disk takes nothing. Only from here on: until all are
        // admitted they need one another's disks.
        await cluster.LeadersAsync();
        await cluster.VotersAsync();
        var leader = await cluster.LeaderAsync(new ShardId(1));
        var hanging = leader == 0 ? 1 : 0;
        disks[hanging].HoldSyncs();
        try
        {
            // Afterwards it is needed again: three of five that all must answer at once are too few for a busy machine.
            await StopUnderLoadAsync(cluster, leader, [.. cluster.Running.Where(i => i != hanging)], disks[hanging].ReleaseSyncs);
        }
        finally
        {
            disks[hanging].ReleaseSyncs();
        }
    }

    [Fact]
    public async Task A_node_that_nobody_can_stand_in_for_stops_all_the_same()
    {
        await using var cluster = await TestCluster.StartAsync(3, shards: 1);
        var leader = await cluster.LeaderAsync(new ShardId(1));
        foreach (var other in cluster.Running.Where(i => i != leader).ToArray())
        {
            await cluster.KillAsync(other);
        }

        await cluster.StopAsync(leader).WaitAsync(TimeSpan.FromSeconds(20), TestContext.Current.CancellationToken);
        Assert.True(cluster.Log.Has(2001, TestCluster.Id(leader).Value));
    }

    /// <summary>Stops a node while clients write and read through the others, and through it for as long as it listens.</summary>
    private static async Task StopUnderLoadAsync(TestCluster cluster, int stopped, int[] through, Action? afterwards = null)
    {
        using var enough = new CancellationTokenSource();
        using var leave = new CancellationTokenSource();
        var done = new int[cluster.Count];
        var load = through.SelectMany(node => Enumerable.Range(0, 16).Select(client => Task.Run(async () =>
        {
            var gateway = cluster[node].Gateway;
            var end = node == stopped ? leave.Token : enough.Token;
            for (var k = 0; !end.IsCancellationRequested; k++)
            {
                var key = $"{stopped}-{node}-{client}-{k % 50}";
                var write = await gateway.PutAsync(key, $"{k}");
                Assert.True(write.Result.Code == ResultCode.Ok, $"put {key} through {node}: {write.Result.Code} {write.Detail}");
                Interlocked.Increment(ref done[node]);
                if (!end.IsCancellationRequested)
                {
                    Assert.Equal($"{k}", await gateway.ReadAsync(key));
                }
            }
        }))).ToArray();
        bool Failed() => load.Any(t => t.IsFaulted);
        await Eventually.IsTrueAsync(() => Failed() || through.All(n => done[n] > 20), "the load runs");

        // As a door does that stops listening: its own clients' calls under way are still answered.
        await leave.CancelAsync();
        await cluster.StopAsync(stopped);
        afterwards?.Invoke();
        var before = done.ToArray();
        await Eventually.IsTrueAsync(() => Failed() || through.Where(n => n != stopped).All(n => done[n] > before[n] + 20), "the load goes on without it");
        await enough.CancelAsync();
        await Task.WhenAll(load);
        Assert.NotEqual(-1, cluster.LeaderOf(new ShardId(1)));
    }
}
