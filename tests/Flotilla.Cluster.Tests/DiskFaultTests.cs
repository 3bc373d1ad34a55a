using System.Text;
using Flotilla.Client;
using Flotilla.Cluster.Tests.Harness;

namespace Flotilla.Cluster.Tests;

/// <summary>Disks that fail or hang under a running node: strace injects the fault into the node's own system calls.</summary>
public sealed class DiskFaultTests
{
    [Fact]
    [Trait("Hazard", "9")]
    public async Task A_failed_sync_stops_the_node_with_a_clear_message_and_the_others_go_on()
    {
        await using var cluster = await TestCluster.StartAsync();
        var leader = await cluster.LeaderAsync(1);
        using var strace = Inject(leader, "error=EIO");
        using var client = Client(cluster);
        await Shell.EventuallyAsync(
            async () =>
            {
                await client.PutAsync(Encoding.UTF8.GetBytes($"k{Random.Shared.Next(100)}"), "v"u8.ToArray());
                return leader.Process!.HasExited;
            },
            "the node whose fdatasync failed stops");
        Assert.Equal(1, leader.Process!.ExitCode);
        Assert.Contains("fdatasync", leader.Said, StringComparison.Ordinal);
        await Shell.EventuallyAsync(async () => (await client.PutAsync("after"u8.ToArray(), "v"u8.ToArray())).Outcome == CallOutcome.Ok, "the other two go on");

        // What was written is in the log or it isn't; either way the node comes back and catches up.
        cluster.Start(leader);
        await TestCluster.ReadyAsync(leader);
        await cluster.ConvergedAsync();
    }

    [Fact]
    [Trait("Hazard", "5")]
    public async Task A_leader_whose_disk_hangs_hands_leadership_over()
    {
        await using var cluster = await TestCluster.StartAsync();
        var leader = await cluster.LeaderAsync(1);
        var strace = Inject(leader, "delay_enter=20000000");
        using var client = Client(cluster);
        await Shell.EventuallyAsync(
            async () =>
            {
                await client.PutAsync(Encoding.UTF8.GetBytes($"k{Random.Shared.Next(100)}"), "v"u8.ToArray());
                var others = cluster.Nodes.Where(n => n != leader);
                var leaders = await Task.WhenAll(others.Select(TestCluster.StatusAsync));
                return leaders.SelectMany(s => s!.Shards).Count(s => s.Role == "leader") == 3;
            },
            "the other two lead all shards");
        strace.Kill();
        await strace.WaitForExitAsync(TestContext.Current.CancellationToken);
        await leader.KillAsync();
        cluster.Start(leader);
        await TestCluster.ReadyAsync(leader);
        await cluster.ConvergedAsync();
    }

    private static System.Diagnostics.Process Inject(TestNode node, string fault) =>
        Shell.Start("strace", ["-f", "-q", "-e", "trace=fdatasync,fsync", "-e", $"inject=fdatasync,fsync:{fault}", "-o", "/dev/null", "-p", node.Process!.Id.ToString()]);

    private static FlotillaClient Client(TestCluster cluster) => new(new FlotillaClientOptions
    {
        Endpoints = cluster.Endpoints,
        Timeout = TimeSpan.FromSeconds(2),
        WriteAttemptTimeout = TimeSpan.FromSeconds(1),
    });
}
