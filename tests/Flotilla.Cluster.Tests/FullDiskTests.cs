using System.Text;
using Flotilla.Client;
using Flotilla.Cluster.Tests.Harness;
using Flotilla.Contracts;

namespace Flotilla.Cluster.Tests;

/// <summary>
/// Disks that run full under running nodes: a node's data directory lies on a tmpfs of limited size, which a file beside it
/// fills. With segments of 8 MiB a disk is low below 32 MiB and full below 16.
/// </summary>
public sealed class FullDiskTests
{
    private const int DiskMiB = 96;
    private static readonly string[] Segments = ["--segment-size", "8MiB"];

    [Fact]
    [Trait("Hazard", "16")]
    public async Task A_follower_on_a_full_disk_falls_behind_while_the_others_go_on_and_catches_up_when_space_returns()
    {
        await using var cluster = await TestCluster.StartAsync(3, DiskMiB, Segments);
        using var client = Client(cluster);
        await PutAllAsync(client, 0, 100);
        var full = cluster.Nodes[0];
        cluster.FillDisk(full, leaveMiB: 10);
        await WarnedAsync(full, "keeps nothing that others write");
        await Shell.EventuallyAsync(async () => (await TestCluster.StatusAsync(full))!.Shards.All(s => s.Role == "follower"), "it leads nothing");

        // 30 MiB: more than was left. A node that went on to append would run into the end of its disk.
        var value = new byte[64 << 10];
        for (var i = 0; i < 480; i++)
        {
            var put = await client.PutAsync(Encoding.UTF8.GetBytes($"large{i}"), value, null, Cancel);
            Assert.True(put.Outcome == CallOutcome.Ok, $"{i}: {put.Outcome} {put.Error}");
        }

        Assert.True(full.IsRunning, full.Said);
        Assert.InRange(cluster.FreeMiB(full), 5, 16);
        Assert.NotEqual(await AppliedAsync(cluster.Nodes[1]), await AppliedAsync(full), StringComparer.Ordinal);

        // It passes reads and writes on, serves old reads itself, and says what is amiss.
        using (var through = Client(new HostPort("127.0.0.1", full.HttpPort)))
        {
            Assert.Equal(value.Length, (await through.GetAsync("large479"u8.ToArray(), cancel: Cancel)).Value.Length);
            Assert.Equal(CallOutcome.Ok, (await through.GetAsync("k7"u8.ToArray(), stale: true, Cancel)).Outcome);
            Assert.Equal(CallOutcome.Ok, (await through.PutAsync("through"u8.ToArray(), "v"u8.ToArray(), null, Cancel)).Outcome);
        }

        Assert.Contains($"the disk of node {full.Id} is nearly full", cluster.Flotilla("status").Output + cluster.Flotilla("status").Error, StringComparison.Ordinal);

        cluster.FreeDisk(full);
        await cluster.ConvergedAsync();
        await WarnedAsync(full, null);
    }

    [Fact]
    [Trait("Hazard", "16")]
    public async Task Two_full_disks_of_three_refuse_writes_in_words_serve_reads_and_end_to_do_so_by_themselves()
    {
        await using var cluster = await TestCluster.StartAsync(3, DiskMiB, Segments);
        using var client = Client(cluster);
        await PutAllAsync(client, 0, 100);
        foreach (var node in cluster.Nodes.Skip(1))
        {
            cluster.FillDisk(node, leaveMiB: 10);
        }

        foreach (var node in cluster.Nodes.Skip(1))
        {
            await WarnedAsync(node, "keeps nothing that others write");
        }

        await Shell.EventuallyAsync(
            async () => await client.PutAsync("k1"u8.ToArray(), "v"u8.ToArray()) is { Outcome: CallOutcome.Unavailable, Error: { Code: "overloaded", Status: 429 } error }
                && error.Message.Contains("are full, so that no majority", StringComparison.Ordinal),
            "writes are refused");
        Assert.Equal("v50", Encoding.UTF8.GetString((await client.GetAsync("k50"u8.ToArray(), cancel: Cancel)).Value.Span));

        // One of them is enough.
        cluster.FreeDisk(cluster.Nodes[1]);
        await Shell.EventuallyAsync(async () => (await client.PutAsync("k1"u8.ToArray(), "again"u8.ToArray())).Outcome == CallOutcome.Ok, "writes are taken again");
        cluster.FreeDisk(cluster.Nodes[2]);
        await cluster.ConvergedAsync();
        Assert.All(cluster.Nodes, node => Assert.True(node.IsRunning, node.Said));
    }

    [Fact]
    [Trait("Hazard", "16")]
    public async Task A_node_alone_on_a_full_disk_serves_reads_restarts_and_takes_writes_again_when_space_returns()
    {
        await using var cluster = await TestCluster.StartAsync(1, DiskMiB, Segments);
        using var client = Client(cluster);
        await PutAllAsync(client, 0, 100);
        var node = cluster.Nodes[0];
        cluster.FillDisk(node, leaveMiB: 10);
        await RefusedAsync();
        await node.KillAsync();
        cluster.Start(node);
        await TestCluster.ReadyAsync(node);
        await RefusedAsync();
        Assert.Equal("v50", Encoding.UTF8.GetString((await client.GetAsync("k50"u8.ToArray(), cancel: Cancel)).Value.Span));
        cluster.FreeDisk(node);
        await Shell.EventuallyAsync(async () => (await client.PutAsync("k1"u8.ToArray(), "again"u8.ToArray())).Outcome == CallOutcome.Ok, "writes are taken again");

        Task RefusedAsync() => Shell.EventuallyAsync(
            async () => await client.PutAsync("k1"u8.ToArray(), "v"u8.ToArray()) is { Outcome: CallOutcome.Unavailable, Error: { Code: "overloaded", Status: 429 } error }
                && error.Message.Contains("the disk of node n1 is nearly full", StringComparison.Ordinal),
            "writes are refused");
    }

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    private static async Task PutAllAsync(FlotillaClient client, int from, int to)
    {
        for (var i = from; i < to; i++)
        {
            Assert.Equal(CallOutcome.Ok, (await client.PutAsync(Encoding.UTF8.GetBytes($"k{i}"), Encoding.UTF8.GetBytes($"v{i}"))).Outcome);
        }
    }

    private static Task WarnedAsync(TestNode node, string? words) => Shell.EventuallyAsync(
        async () => (await TestCluster.StatusAsync(node))?.Warnings is var warnings && (words is null ? warnings is null or [] : warnings is [var only] && only.Contains(words, StringComparison.Ordinal)),
        $"{node.Id} warns: {words ?? "nothing"}");

    private static async Task<string> AppliedAsync(TestNode node) => string.Join(',', (await TestCluster.StatusAsync(node))!.Shards.OrderBy(s => s.Shard).Select(s => s.LastApplied));

    private static FlotillaClient Client(TestCluster cluster) => Client([.. cluster.Endpoints]);

    private static FlotillaClient Client(params HostPort[] endpoints) => new(new FlotillaClientOptions { Endpoints = endpoints, Timeout = TimeSpan.FromSeconds(10) });
}
