using Flotilla.Node.Tests.Clusters;
using Flotilla.Topology;
using Flotilla.Wire.Peers;

namespace Flotilla.Node.Tests;

/// <summary>Two nodes are asked for a shard of one number at the same time.</summary>
public sealed class SecondBirthTests
{
    [Fact]
    public async Task Of_two_groups_born_under_one_number_one_retires_and_the_other_gets_its_share()
    {
        await using var links = new CuttableLinks();
        await using var cluster = await TestCluster.StartAsync(3, shards: 1, change: o => links.Through(o) with { RetiredPatience = TimeSpan.FromMilliseconds(100) });
        for (var i = 0; i < 50; i++)
        {
            await cluster[0].Gateway.PutSurelyAsync($"k{i}", $"v{i}");
        }

        // The first node hears nothing of the other two, so neither side can know what is born at the other.
        var shard = new ShardId(2);
        links.Cut(TestCluster.Id(0), TestCluster.Id(1));
        links.Cut(TestCluster.Id(0), TestCluster.Id(2));
        var answers = await Task.WhenAll(
            cluster[0].Changes.AddShardAsync(shard, cluster.OptionsOf(0).Http),
            cluster[1].Changes.AddShardAsync(shard, cluster.OptionsOf(1).Http));
        Assert.All(answers, static a => Assert.Equal(ChangeCode.Done, a.Code));
        links.Mend(TestCluster.Id(0), TestCluster.Id(1));
        links.Mend(TestCluster.Id(0), TestCluster.Id(2));
        await Eventually.IsTrueAsync(() => cluster.Log.Has(2400, $"shard {shard}"), "both are reported", seconds: 60);
        await Eventually.IsTrueAsync(() => cluster.Log.Has(2409, $"Shard {shard}:"), "one says that it goes", seconds: 60);
        await Eventually.IsTrueAsync(() => cluster.Log.Has(2410, $"Shard {shard} is retired"), "its replica is taken away", seconds: 60);

        var members = Enumerable.Range(1, 2).Select(static s => new RingMember(new ShardId(s))).ToArray();
        var fair = new Ring(members).SlotsOf(shard).Count;
        await Eventually.IsTrueAsync(
            () => cluster.Running.All(i => cluster[i].Gateway.View.Shards.Where(s => s.Shard == shard).Sum(static s => s.Ranges.Sum(static r => r.Last - r.First + 1)) == fair),
            "the other one has its share", seconds: 120);
        Assert.All(cluster.Running, i => Assert.Empty(cluster[i].Gateway.View.Warnings ?? []));
        for (var i = 0; i < 50; i++)
        {
            Assert.Equal($"v{i}", await cluster[2].Gateway.ReadAsync($"k{i}"));
        }
    }
}
