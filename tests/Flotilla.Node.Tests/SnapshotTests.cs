using Flotilla.Node.Tests.Clusters;
using Flotilla.Topology;

namespace Flotilla.Node.Tests;

public sealed class SnapshotTests
{
    private static readonly ShardId First = new(1);

    [Fact]
    public async Task The_log_is_truncated_behind_snapshots_and_a_restart_of_all_nodes_finds_everything()
    {
        await using var cluster = await SmallSnapshotsAsync();
        await FillAsync(cluster, "a", 300);
        await Eventually.IsTrueAsync(() => cluster.Running.All(i => SnapshotOf(cluster, i) > 0), "every node has taken a snapshot");
        for (var i = 0; i < 3; i++)
        {
            await (i == 1 ? cluster.StopAsync(i) : cluster.KillAsync(i));
        }

        for (var i = 0; i < 3; i++)
        {
            await cluster.StartNodeAsync(i);
        }

        await cluster.LeadersAsync();
        for (var k = 0; k < 300; k += 17)
        {
            Assert.Equal(Value, await cluster[k % 3].Gateway.ReadAsync($"a{k}"));
        }
    }

    [Fact]
    [Trait("Hazard", "28")]
    public async Task A_node_that_was_away_for_long_gets_a_snapshot_while_writes_go_on()
    {
        await using var cluster = await SmallSnapshotsAsync();
        await FillAsync(cluster, "a", 50);
        var away = Enumerable.Range(0, 3).First(i => i != cluster.LeaderOf(First));
        await cluster.KillAsync(away);

        // One at a time: an entry each. The node that is away has stored 52 at most (two no-ops, and one for each write).
        var gateway = cluster[cluster.Running.First()].Gateway;
        for (var k = 0; k < 300; k++)
        {
            await gateway.PutSurelyAsync($"b{k % 20}", Value);
        }

        await Eventually.IsTrueAsync(() => cluster.Running.All(i => cluster[i].Gateway.View.Local[0].LogBase.Value > 60), "the log that it needs is gone");

        using var stop = new CancellationTokenSource();
        var writes = WriteAsync(gateway, stop.Token);
        await cluster.StartNodeAsync(away);
        await Eventually.IsTrueAsync(() => cluster.Log.Has(2304, ""), "it has installed a snapshot");
        await stop.CancelAsync();
        await writes;
        var end = cluster[await cluster.LeaderAsync(First)].Gateway.View.Local[0].LastApplied;
        await Eventually.IsTrueAsync(() => cluster[away].Gateway.View.Local[0].LastApplied >= end, "it has caught up");
        var stale = new CallOptions(true, Stale: true, 0);
        for (var k = 0; k < 20; k++)
        {
            Assert.Equal(Value, await cluster[away].Gateway.ReadAsync($"b{k}", stale));
        }
    }

    [Fact]
    [Trait("Hazard", "62")]
    public async Task Shards_that_write_nothing_do_not_keep_the_log_of_another()
    {
        await using var cluster = await TestCluster.StartAsync(1, shards: 4, replicas: 1, change: o => o with
        {
            Wal = o.Wal with { SegmentBytes = 1 << 20 },
            Replica = o.Replica with { SnapshotLogBytes = 500_000, Raft = o.Replica.Raft with { LogTailBytes = 0 } },
        });
        var gateway = cluster[0].Gateway;
        for (var k = 0; k < 20; k++)
        {
            await gateway.PutSurelyAsync($"idle{k}", "once");
        }

        // Forty segments' worth, all of one shard: a hash tag keeps the keys together.
        var value = new string('x', 50_000);
        for (var k = 0; k < 800; k++)
        {
            await gateway.PutSurelyAsync($"{{busy}}{k % 5}", value);
        }

        var files = Directory.GetFiles(Path.Combine(cluster.OptionsOf(0).DataDir, "wal"));
        Assert.InRange(files.Length, 1, 16);
        await cluster.KillAsync(0);
        await cluster.StartNodeAsync(0);
        await cluster.LeadersAsync();
        for (var k = 0; k < 20; k++)
        {
            Assert.Equal("once", await cluster[0].Gateway.ReadAsync($"idle{k}"));
        }
    }

    [Fact]
    public async Task A_snapshot_damaged_in_its_middle_refuses_the_start_with_the_file_the_offset_and_the_next_command()
    {
        await using var cluster = await SmallSnapshotsAsync();
        await FillAsync(cluster, "a", 300);
        await Eventually.IsTrueAsync(() => SnapshotOf(cluster, 0) > 0, "there is a snapshot");
        await cluster.StopAsync(0);

        // Another one may have become durable just before the end, and the older one not have been removed any more.
        var files = Directory.GetFiles(Path.Combine(cluster.OptionsOf(0).DataDir, "snapshots"), "*.snap");
        foreach (var file in files)
        {
            var bytes = await File.ReadAllBytesAsync(file, TestContext.Current.CancellationToken);
            bytes[bytes.Length / 2] ^= 1;
            await File.WriteAllBytesAsync(file, bytes, TestContext.Current.CancellationToken);
        }

        var refused = await Assert.ThrowsAsync<NodeFailedException>(() => cluster.StartNodeAsync(0));
        Assert.Contains(files, file => refused.Message.Contains(file, StringComparison.Ordinal));
        Assert.Matches(@"offset \d+: the block of \d+ bytes", refused.Message);
        Assert.Contains("flotilla remove-node", refused.Message, StringComparison.Ordinal);
    }

    private static string Value { get; } = new('x', 5000);

    private static Task<TestCluster> SmallSnapshotsAsync() => TestCluster.StartAsync(3, shards: 1, change: o => o with
    {
        Replica = o.Replica with
        {
            SnapshotLogBytes = 200_000,
            Raft = o.Replica.Raft with { LogTailBytes = 0, LogCacheBytes = 64 << 10, SnapshotChunkBytes = 64 << 10 },
        },
    });

    private static async Task WriteAsync(IGateway gateway, CancellationToken stop)
    {
        for (var k = 0; !stop.IsCancellationRequested; k++)
        {
            await gateway.PutSurelyAsync($"c{k % 20}", Value);
        }
    }

    private static ulong SnapshotOf(TestCluster cluster, int node) => cluster[node].Gateway.View.Local[0].SnapshotIndex.Value;

    private static async Task FillAsync(TestCluster cluster, string prefix, int count)
    {
        var gateway = cluster[cluster.Running.First()].Gateway;
        for (var k = 0; k < count; k += 50)
        {
            await Task.WhenAll(Enumerable.Range(k, Math.Min(50, count - k)).Select(i => gateway.PutSurelyAsync($"{prefix}{i}", Value)));
        }
    }
}
