using System.Diagnostics.Metrics;
using Flotilla.Node.Tests.Clusters;
using Flotilla.Raft;
using Flotilla.Topology;
using Flotilla.Wire.Peers;

namespace Flotilla.Node.Tests;

/// <summary>Slots that move between two leaders which do not reach each other, while everybody else reaches both.</summary>
public sealed class HandoffDetourTests
{
    private static readonly ShardId First = new(1);
    private static readonly ShardId Second = new(2);

    [Fact]
    public async Task Slots_move_by_way_of_a_third_node_while_the_link_between_the_two_leaders_is_cut()
    {
        var passedOn = 0L;
        using var meters = new MeterListener { InstrumentPublished = (instrument, listener) =>
        {
            if (instrument.Name is "flotilla_handoff_passed_on_total")
            {
                listener.EnableMeasurementEvents(instrument);
            }
        } };
        meters.SetMeasurementEventCallback<long>((_, count, _, _) => Interlocked.Add(ref passedOn, count));
        meters.Start();
        await using var links = new CuttableLinks();
        await using var cluster = await TestCluster.StartAsync(3, shards: 2, change: links.Through);
        for (var i = 0; i < 200; i++)
        {
            await cluster[i % 3].Gateway.PutSurelyAsync($"k{i}", $"v{i}");
        }

        var (source, target) = (-1, -1);
        await Eventually.IsTrueAsync(
            () => (source = cluster.LeaderOf(Second)) >= 0 && (target = cluster.LeaderOf(First)) >= 0 && source != target, "two nodes lead one shard each", seconds: 120);
        links.Cut(TestCluster.Id(source), TestCluster.Id(target));
        await Eventually.IsTrueAsync(() => !Hears(cluster, source, target) && !Hears(cluster, target, source), "the two leaders hear nothing of each other", seconds: 60);

        var third = 3 - source - target;
        await Eventually.IsTrueAsync(
            async () => (await cluster[third].Changes.RemoveShardAsync(Second, TimeSpan.FromSeconds(20))).Code == ChangeCode.Done, "the second shard leaves", seconds: 120);
        await Eventually.IsTrueAsync(
            () => cluster.Running.All(i => cluster[i].Gateway.View.Shards is [var only] && only.Shard == First && only.Ranges.Sum(static r => r.Last - r.First + 1) == Slot.Count),
            "all of its slots have come to the first, and everybody knows", seconds: 180);
        Assert.False(Hears(cluster, source, target));

        // Had others been elected meanwhile, on a starved machine, they might have reached each other.
        Assert.True(Interlocked.Read(ref passedOn) > 0 || cluster.LeaderOf(First) != target, "nothing was passed on");
        for (var i = 0; i < 200; i++)
        {
            Assert.Equal($"v{i}", await cluster[third].Gateway.ReadSurelyAsync($"k{i}"));
        }
    }

    private static bool Hears(TestCluster cluster, int node, int other) => cluster[node].Gateway.View.Nodes.Single(n => n.Node == TestCluster.Id(other)).Alive;
}
