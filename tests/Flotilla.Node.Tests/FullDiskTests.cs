using System.Net.Http.Json;
using System.Text.Json;
using Flotilla.Node.Tests.Clusters;
using Flotilla.Shards;
using Flotilla.Topology;

namespace Flotilla.Node.Tests;

/// <summary>A full disk is foreseen (hazard 16).</summary>
public sealed class FullDiskTests
{
    private static readonly ShardId Shard = new(1);

    [Fact, Trait("Hazard", "16")]
    public async Task A_node_whose_disk_runs_full_takes_no_writes_and_hands_leadership_over()
    {
        await using var cluster = TestCluster.Make(3, shards: 1);
        var disks = await StartAsync(cluster);
        var full = cluster.LeaderOf(Shard);
        disks[full].FreeBytesLeft = 1000;
        await Eventually.IsTrueAsync(() => cluster.LeaderOf(Shard) is var leader && leader >= 0 && leader != full, "another node leads");
        await cluster[full].Gateway.PutSurelyAsync("k", "through the others");
        Fill(disks, 1000);
        await Eventually.IsTrueAsync(async () => (await cluster[full].Gateway.PutAsync("k", "nowhere to go")).Result.Code == ResultCode.Overloaded, "no node takes writes");
        Assert.Equal(ResultCode.Ok, (await cluster[full].Gateway.GetAsync("k"u8.ToArray(), CallOptions.Default)).Result.Code);
        Fill(disks, null);
        await Eventually.IsTrueAsync(async () => (await cluster[full].Gateway.PutAsync("k", "again")).Result.Code == ResultCode.Ok, "writes are taken again");
    }

    [Fact, Trait("Hazard", "16")]
    public async Task Whoever_asks_is_told_that_a_disk_is_nearly_full_and_whose()
    {
        await using var cluster = TestCluster.Make(2, shards: 1, replicas: 1);
        var disks = await StartAsync(cluster);
        var leader = cluster.LeaderOf(Shard);
        Fill(disks, 1000);
        var words = $"the disk of node {TestCluster.Id(leader)} is nearly full";
        await Eventually.IsTrueAsync(() => cluster[leader].Gateway.View.Warnings is [var only] && only.Contains(words, StringComparison.Ordinal), "the node warns");
        using var http = new HttpClient();
        foreach (var node in cluster.Running)
        {
            // At the leader itself, and forwarded to it.
            using var answer = await http.PutAsJsonAsync($"http://{cluster[node].Http}/kv/k", new { value = "v" }, TestContext.Current.CancellationToken);
            Assert.Equal(429, (int)answer.StatusCode);
            Assert.NotNull(answer.Headers.RetryAfter);
            var problem = await answer.Content.ReadFromJsonAsync<JsonElement>(TestContext.Current.CancellationToken);
            Assert.Equal("overloaded", problem.GetProperty("code").GetString());
            Assert.StartsWith(words, problem.GetProperty("detail").GetString(), StringComparison.Ordinal);
        }

        Fill(disks, null);
        await Eventually.IsTrueAsync(() => cluster[leader].Gateway.View.Warnings is null or [], "the warning is gone");
    }

    [Fact, Trait("Hazard", "16")]
    public async Task A_node_whose_disk_is_low_does_not_lead_where_another_one_can()
    {
        await using var cluster = TestCluster.Make(3, shards: 1);
        var disks = await StartAsync(cluster);
        var leader = cluster.LeaderOf(Shard);
        var full = cluster.Running.First(i => i != leader);
        var other = cluster.Running.Single(i => i != leader && i != full);
        await Eventually.IsTrueAsync(() => cluster.Running.All(i => cluster[i].Gateway.View.Local.All(r => r.Admitted)), "every voter may vote");
        disks[full].FreeBytesLeft = 1000;
        await Eventually.IsTrueAsync(() => cluster[full].Gateway.View.Warnings is [_], "the low disk is seen");
        var elections = Elections(cluster);
        await cluster.KillAsync(leader);
        await Eventually.IsTrueAsync(() => cluster.LeaderOf(Shard) == other, "the one with room leads");
        Assert.Equal(elections + 1, Elections(cluster));
        await cluster[full].Gateway.PutSurelyAsync("k", "v");
    }

    private static int Elections(TestCluster cluster) => cluster.Log.Lines.Count(l => l.Id.Id == 2200 && l.Text.Contains("this node is Leader", StringComparison.Ordinal));

    private static async Task<TrickyDisk[]> StartAsync(TestCluster cluster)
    {
        var disks = new TrickyDisk[cluster.Count];
        for (var i = 0; i < cluster.Count; i++)
        {
            var node = i;
            await cluster.StartNodeAsync(i, inner => disks[node] = new TrickyDisk(inner));
        }

        await cluster.LeadersAsync();
        return disks;
    }

    private static void Fill(TrickyDisk[] disks, long? free)
    {
        foreach (var disk in disks)
        {
            disk.FreeBytesLeft = free;
        }
    }
}
