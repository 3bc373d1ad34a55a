using System.Net.Http.Json;
using System.Text.Json;
using Flotilla.Node.Loops;
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
        var full = await cluster.LeaderAsync(Shard);
        disks[full].FreeBytesLeft = 1000;
        await Eventually.IsTrueAsync(() => cluster.LeaderOf(Shard) is var leader && leader >= 0 && leader != full, "another node leads");
        await cluster[full].Gateway.PutSurelyAsync("k", "through the others");
        Fill(disks, 1000);
        await Eventually.IsTrueAsync(async () => (await cluster[full].Gateway.PutAsync("k", "nowhere to go")).Result.Code == ResultCode.Overloaded, "no node takes writes");
        var got = await cluster[full].Gateway.GetAsync("k"u8.ToArray(), CallOptions.Default);
        Assert.True(got.Result.Code == ResultCode.Ok, $"{got.Result.Code} {got.Detail} | {string.Join(" ; ", cluster.Running.SelectMany(i => cluster[i].Gateway.View.Local).Select(v => $"{v.Role} {v.Term} c{v.CommitIndex} a{v.LastApplied} l{v.LastLogIndex}"))}\n{string.Join("\n", cluster.Log.Lines.TakeLast(25).Select(l => l.Text))}");
        Fill(disks, null);
        await Eventually.IsTrueAsync(async () => (await cluster[full].Gateway.PutAsync("k", "again")).Result.Code == ResultCode.Ok, "writes are taken again");
    }

    [Fact, Trait("Hazard", "16")]
    public async Task Whoever_asks_is_told_that_a_disk_is_nearly_full_and_whose()
    {
        await using var cluster = TestCluster.Make(2, shards: 1, replicas: 1);
        var disks = await StartAsync(cluster);
        var leader = await cluster.LeaderAsync(Shard);
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
        var leader = await cluster.LeaderAsync(Shard);
        var full = cluster.Running.First(i => i != leader);
        var other = cluster.Running.Single(i => i != leader && i != full);
        await cluster.VotersAsync();
        disks[full].FreeBytesLeft = DiskWatch.ReserveFor(cluster.OptionsOf(full).Wal) * 3 / 4;
        await Eventually.IsTrueAsync(() => cluster[full].Gateway.View.Warnings is [_], "the low disk is seen");
        var elections = Elections(cluster);
        await cluster.KillAsync(leader);
        await Eventually.IsTrueAsync(() => cluster.LeaderOf(Shard) == other, "the one with room leads");
        Assert.Equal(elections + 1, Elections(cluster));
        await cluster[full].Gateway.PutSurelyAsync("k", "v");
    }

    [Fact, Trait("Hazard", "16")]
    public async Task A_follower_whose_disk_is_full_keeps_nothing_serves_reads_and_catches_up_by_itself()
    {
        await using var cluster = TestCluster.Make(3, shards: 1);
        var disks = await StartAsync(cluster);
        var leader = await cluster.LeaderAsync(Shard);
        var full = cluster.Running.First(i => i != leader);
        await cluster[leader].Gateway.PutSurelyAsync("k", "before");
        await Eventually.IsTrueAsync(() => AppliedOf(cluster, full) == AppliedOf(cluster, leader), "all have applied it");
        disks[full].FreeBytesLeft = 1000;
        await Eventually.IsTrueAsync(() => cluster.Log.Lines.Any(l => l.Id.Id == 2008), "the full disk is seen");
        for (var i = 0; i < 20; i++)
        {
            await cluster[leader].Gateway.PutSurelyAsync("k", $"{i}");
        }

        // Its own state is older, a linearizable read through it is not.
        Assert.Equal("19", await cluster[full].Gateway.ReadAsync("k"));
        Assert.NotEqual("19", await cluster[full].Gateway.ReadAsync("k", CallOptions.Default with { Stale = true, Forward = false }), StringComparer.Ordinal);
        disks[full].FreeBytesLeft = null;
        await Eventually.IsTrueAsync(() => AppliedOf(cluster, full) >= AppliedOf(cluster, leader), "it has caught up");
    }

    [Fact, Trait("Hazard", "16")]
    public async Task Where_a_majority_of_disks_is_full_writes_are_refused_in_words_and_reads_are_served()
    {
        await using var cluster = TestCluster.Make(3, shards: 1);
        var disks = await StartAsync(cluster);
        var leader = await cluster.LeaderAsync(Shard);
        await cluster[leader].Gateway.PutSurelyAsync("k", "before");
        var full = cluster.Running.Where(i => i != leader).ToArray();
        foreach (var node in full)
        {
            disks[node].FreeBytesLeft = 1000;
        }

        // What was taken before the leader knew may be in its log: that one write is indeterminate.
        var last = "before";
        await Eventually.IsTrueAsync(
            async () =>
            {
                var refused = await cluster[full[0]].Gateway.PutAsync("k", "not seen yet");
                last = refused.Result.Code == ResultCode.Ok ? "not seen yet" : last;

                // The first may have been taken before the leader knew, and waits in vain.
                return refused is { Result.Code: ResultCode.Overloaded, Detail: { } words } && words.Contains("are full, so that no majority of shard 1 can keep a write", StringComparison.Ordinal);
            },
            "writes are refused",
            seconds: 60);
        Assert.Equal(last, await cluster[full[0]].Gateway.ReadAsync("k"));
        Assert.Equal(leader, cluster.LeaderOf(Shard));
        disks[full[1]].FreeBytesLeft = null;
        await Eventually.IsTrueAsync(async () => (await cluster[full[0]].Gateway.PutAsync("k", "again")).Result.Code == ResultCode.Ok, "writes are taken again");
    }

    private static ulong AppliedOf(TestCluster cluster, int node) => cluster[node].Gateway.View.Local.Single().LastApplied.Value;

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
