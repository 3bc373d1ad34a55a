using System.Globalization;
using Flotilla.Node.Tests.Clusters;
using Flotilla.Raft;
using Flotilla.Storage;
using Flotilla.Storage.Disk;
using Flotilla.Storage.Identity;
using Flotilla.Topology;
using Flotilla.Wire.Peers;

namespace Flotilla.Node.Tests;

/// <summary>What becomes of the replicas of a shard that was removed.</summary>
public sealed class RetiredShardTests
{
    private static readonly ShardId First = new(1);
    private static readonly ShardId Second = new(2);

    [Fact, Trait("Hazard", "20")]
    public async Task A_retired_shard_goes_from_every_disk_also_from_that_of_a_node_that_was_down_and_never_comes_back()
    {
        // One that genesis made: a start with empty disks would begin it anew, with its first slots.
        await using var cluster = await TestCluster.StartAsync(3, shards: 2, change: static o => o with { RetiredPatience = TimeSpan.FromMilliseconds(100) });
        for (var i = 0; i < 50; i++)
        {
            await cluster[0].Gateway.PutSurelyAsync($"k{i}", $"v{i}");
        }

        await cluster[0].Changes.SnapshotAsync(ShardChoice.One(Second), TimeSpan.FromSeconds(20));
        await cluster.KillAsync(2);
        await Eventually.IsTrueAsync(async () => (await cluster[0].Changes.RemoveShardAsync(Second, TimeSpan.FromSeconds(20))).Code == ChangeCode.Done, "it leaves", seconds: 60);
        await Eventually.IsTrueAsync(() => cluster.Running.All(i => Forgotten(cluster, i) is not null), "those that were up have let it go", seconds: 90);
        var group = Forgotten(cluster, 0)!.Value;
        await Eventually.IsTrueAsync(() => cluster.Log.Has(2410, "Shard 2 is retired"), "it is said");

        // Not even those that know keep it anywhere but in their identity; the third still has all of it.
        await cluster.KillAsync(0);
        await cluster.KillAsync(1);
        File.Delete(Path.Combine(cluster.OptionsOf(0).DataDir, "topology"));
        File.Delete(Path.Combine(cluster.OptionsOf(1).DataDir, "topology"));
        Assert.Contains(group, GroupsOnDisk(cluster, 2));
        for (var i = 0; i < 3; i++)
        {
            await cluster.StartNodeAsync(i);
        }

        await Eventually.IsTrueAsync(() => Forgotten(cluster, 2) == group, "the one that was down has heard of it and let it go", seconds: 60);
        await Eventually.IsTrueAsync(() => cluster.Running.All(i => cluster[i].Gateway.View.Shards is [{ Shard: var only }] && only == First), "nobody shows it");
        Assert.Equal(ChangeCode.Refused, (await cluster[2].Changes.AddShardAsync(Second, address: null)).Code);
        for (var i = 0; i < 50; i++)
        {
            Assert.Equal($"v{i}", await cluster[2].Gateway.ReadAsync($"k{i}"));
        }

        for (var i = 0; i < 3; i++)
        {
            await cluster.StopAsync(i);
            Assert.DoesNotContain(group, GroupsOnDisk(cluster, i));
        }
    }

    [Fact]
    public async Task A_crash_in_the_midst_of_the_removal_leaves_nothing_that_the_next_start_takes_for_a_shard()
    {
        await using var cluster = await TestCluster.StartAsync(1, shards: 1, replicas: 1, change: static o => o with { RetiredPatience = TimeSpan.Zero });
        await cluster[0].Gateway.PutSurelyAsync("k", "v");
        Assert.Equal(ChangeCode.Done, (await cluster[0].Changes.AddShardAsync(Second, address: null)).Code);
        await Eventually.IsTrueAsync(() => cluster[0].Gateway.View.Local.Any(static r => r.Shard == Second && r.Slots > 1000), "it has slots", seconds: 60);
        Assert.Equal(ChangeCode.Done, (await cluster[0].Changes.RemoveShardAsync(Second, TimeSpan.FromSeconds(20))).Code);

        // As soon as it is durable that it is never hosted again, and perhaps before anything of it is removed.
        await Eventually.IsTrueAsync(() => Forgotten(cluster, 0) is not null, "it is retired", seconds: 90);
        await cluster.KillAsync(0);
        var group = Forgotten(cluster, 0)!.Value;
        await cluster.StartNodeAsync(0);
        await Eventually.IsTrueAsync(() => cluster[0].Gateway.View.Local is [{ Shard: var only, Role: Role.Leader, Slots: Slot.Count }] && only == First, "the other one has everything", seconds: 60);
        await cluster[0].Gateway.PutSurelyAsync("k", "w");
        Assert.Equal(ChangeCode.Refused, (await cluster[0].Changes.AddShardAsync(Second, address: null)).Code);
        await cluster.StopAsync(0);
        Assert.DoesNotContain(group, GroupsOnDisk(cluster, 0));
    }

    /// <summary>The group of the second shard, once a node's identity says that it is retired.</summary>
    private static GroupId? Forgotten(TestCluster cluster, int node) =>
        IdentityFile.Read(new FileDisk(cluster.OptionsOf(node).DataDir)).Retired.FirstOrDefault(static r => r.Shard == Second)?.Group;

    /// <summary>Of which groups log or snapshots have anything. The node must not run.</summary>
    private static HashSet<GroupId> GroupsOnDisk(TestCluster cluster, int node)
    {
        var dir = cluster.OptionsOf(node).DataDir;
        using var wal = Wal.Open(new FileDisk(Path.Combine(dir, "wal")), cluster.OptionsOf(node).Wal);
        var snapshots = Directory.GetFiles(Path.Combine(dir, "snapshots")).Select(static path => Path.GetFileName(path).Split('-')[0]);
        return [.. wal.Groups, .. snapshots.Select(static hex => new GroupId(ulong.Parse(hex, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture)))];
    }
}
