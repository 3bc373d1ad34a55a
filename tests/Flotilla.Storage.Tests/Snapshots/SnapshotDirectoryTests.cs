using Flotilla.Raft;
using Flotilla.Storage.Identity;
using Flotilla.Storage.Snapshots;
using Flotilla.Topology;

namespace Flotilla.Storage.Tests.Snapshots;

/// <summary>Snapshots in a real data directory.</summary>
public sealed class SnapshotDirectoryTests : IDisposable
{
    private static readonly WalOptions LogOptions = new() { SegmentBytes = 4 << 10 };
    private readonly string _root = Directory.CreateTempSubdirectory("flotilla-snapshots-").FullName;

    private string DataPath => Path.Combine(_root, "data");

    public void Dispose() => Directory.Delete(_root, recursive: true);

    [Fact]
    [Trait("Hazard", "27")]
    public void A_snapshot_and_the_log_behind_it_are_there_at_the_next_start_and_a_missing_one_is_refused()
    {
        SnapshotInfo info;
        using (var directory = DataDirectory.Open(Options()))
        using (var wal = directory.OpenLog(LogOptions))
        {
            var store = directory.OpenSnapshots(wal);
            wal.Append(Small.G, Workload.Persist(Workload.Entries(1, 3, 40, 10)));
            wal.Sync();
            _ = Small.Write(store, 20);
            info = Small.Write(store, 30, Small.Blocks(30, 5, 200_000));
            wal.Release(Small.G, new LogIndex(25));
            wal.Sync();
            File.WriteAllText(Path.Combine(directory.SnapshotDisk.PathOf(info.FileName + ".tmp")), "cut off");
        }

        using (var directory = DataDirectory.Open(Options()))
        using (var wal = directory.OpenLog(LogOptions))
        {
            var store = directory.OpenSnapshots(wal);
            Assert.Equal(info, store.Latest(Small.G));
            Small.AssertHolds(store, info, Small.Blocks(30, 5, 200_000));
            Assert.Equal([info.FileName], directory.SnapshotDisk.List());
            Assert.Equal(15, WalModel.ReadAll(wal, Small.G).Count);
            Assert.Equal(info.Bytes, new FileInfo(directory.SnapshotDisk.PathOf(info.FileName)).Length);

            File.Delete(directory.SnapshotDisk.PathOf(info.FileName));
        }

        using (var directory = DataDirectory.Open(Options()))
        using (var wal = directory.OpenLog(LogOptions))
        {
            var e = Assert.Throws<SnapshotMissingException>(() => directory.OpenSnapshots(wal));
            Assert.Contains(Path.Combine(DataPath, "snapshots", "feed000000000042-00000000000000000025-*"), e.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    [Trait("Hazard", "20")]
    public void What_is_left_of_a_retired_shard_is_removed_at_the_next_start_and_asked_for_nothing()
    {
        var retired = new RetiredShard(new ShardId(7), Small.G);
        SnapshotInfo info;
        using (var directory = DataDirectory.Open(Options()))
        using (var wal = directory.OpenLog(LogOptions))
        {
            var store = directory.OpenSnapshots(wal);
            directory.Host(new LateShard(new ShardId(7), Small.G, BornHere: true));
            directory.Host(new LateShard(new ShardId(8), new GroupId(8), BornHere: false));
            wal.Append(Small.G, Workload.Persist(Workload.Entries(1, 3, 40, 10)));
            wal.Append(new GroupId(8), Workload.Persist(Workload.Entries(1, 3, 5, 10)));
            wal.Sync();
            info = Small.Write(store, 30);
            wal.Release(Small.G, new LogIndex(25));
            wal.Sync();
            directory.Retire(retired);
            File.WriteAllText(directory.SnapshotDisk.PathOf(info.FileName), "damaged, and nobody minds");
        }

        for (var start = 0; start < 2; start++)
        {
            using var directory = DataDirectory.Open(Options());
            using var wal = directory.OpenLog(LogOptions);
            var store = directory.OpenSnapshots(wal);
            Assert.Equal([retired], directory.Identity.Retired);
            Assert.Equal([new ShardId(8)], directory.Identity.LateShards.Select(static late => late.Shard));
            Assert.Null(store.Latest(Small.G));
            Assert.Empty(directory.SnapshotDisk.List());
            Assert.Equal([new GroupId(8)], wal.Groups);
            wal.Sync();
        }
    }

    [Fact]
    public void The_snapshots_of_a_group_go_together_once_nobody_reads_them()
    {
        var store = Small.Open(new Disk.FileDisk(DataPath), seed: 3);
        var info = Small.Write(store, 20);
        using (store.OpenRead(info))
        {
            store.Remove(Small.G);
            Assert.Null(store.Latest(Small.G));
            Assert.NotEmpty(Directory.GetFiles(DataPath));
        }

        Assert.Empty(Directory.GetFiles(DataPath));
    }

    [Fact]
    [Trait("Hazard", "25")]
    public void A_snapshot_goes_from_one_directory_to_another()
    {
        var from = Small.Open(new Disk.FileDisk(Path.Combine(_root, "from")), seed: 2);
        var to = new Disk.FileDisk(Path.Combine(_root, "to"));
        var info = Small.Write(from, 30, Small.Blocks(30, 5, 200_000));
        using var source = from.OpenSource(info);
        var store = Small.Open(to);
        using (var receiver = Small.Receive(store, info))
        {
            Small.Send(source, receiver, 64 << 10, chunks: 3);
        }

        using (var receiver = Small.Receive(store, info))
        {
            Assert.Equal(3 * (64 << 10), receiver.NextOffset);
            Small.Send(source, receiver, 64 << 10);
            _ = receiver.Complete();
        }

        Small.AssertHolds(Small.Open(to), info, Small.Blocks(30, 5, 200_000));
    }

    [Fact]
    [Trait("Hazard", "17")]
    public void Snapshots_without_an_identity_or_without_a_log_are_refused()
    {
        var folder = Path.Combine(DataPath, "snapshots");
        _ = Small.Write(Small.Open(new Disk.FileDisk(folder)), 30);
        Assert.Contains("holds a snapshot but no identity.json", Assert.Throws<DataDirectoryException>(() => DataDirectory.Open(Options())).Message, StringComparison.Ordinal);

        Directory.Delete(folder, recursive: true);
        DataDirectory.Open(Options()).Dispose();
        _ = Small.Write(Small.Open(new Disk.FileDisk(folder)), 30);
        using var directory = DataDirectory.Open(Options());
        Assert.Contains("has had no log yet", Assert.Throws<DataDirectoryException>(() => directory.OpenLog(LogOptions)).Message, StringComparison.Ordinal);
    }

    private DataDirectoryOptions Options() => new()
    {
        Path = DataPath,
        Node = new NodeId("a"),
        Genesis = new GenesisFlags([], 1, 1),
        ClusterId = 77,
    };
}
