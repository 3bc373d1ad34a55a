using Flotilla.Raft;
using Flotilla.Storage.Snapshots;
using Flotilla.Testing;

namespace Flotilla.Storage.Tests.Snapshots;

/// <summary>A snapshot that the disk refuses is an <see cref="IOException"/> that harms nothing: the last one stays, the log goes on, another may be tried.</summary>
[Trait("Hazard", "9")]
[Trait("Hazard", "16")]
public sealed class SnapshotFailureTests
{
    private static readonly WalOptions LogOptions = new() { SegmentBytes = 4 << 10, GenerationSeed = 7 };

    [Theory]
    [InlineData(DiskOperation.Create)]
    [InlineData(DiskOperation.Write)]
    [InlineData(DiskOperation.Sync)]
    [InlineData(DiskOperation.Rename)]
    [InlineData(DiskOperation.SyncDirectory)]
    public void A_failed_operation_costs_that_snapshot_only(DiskOperation operation)
    {
        var disk = new SimulatedDisk();
        var store = Small.Open(disk);
        var before = Small.Write(store, 5);
        disk.Fail(operation);
        _ = Assert.Throws<IOException>(() => Small.Write(store, 6));
        Assert.Equal([before.FileName], disk.List());
        Assert.Equal(before, store.Latest(Small.G));

        var after = Small.Write(store, 6);
        Assert.Equal(after, store.Latest(Small.G));
        store.Retire(Small.G);
        disk.Crash(3);
        store = Small.Open(disk);
        Assert.Equal(after, store.Latest(Small.G));
        Small.AssertHolds(store, after);
    }

    [Theory]
    [InlineData(DiskOperation.Create)]
    [InlineData(DiskOperation.Write)]
    [InlineData(DiskOperation.Sync)]
    [InlineData(DiskOperation.Rename)]
    [InlineData(DiskOperation.SyncDirectory)]
    public void A_failed_operation_costs_that_transfer_only(DiskOperation operation)
    {
        var (disk, source) = (new SimulatedDisk(), Small.Open(new SimulatedDisk(), seed: 2));
        var store = Small.Open(disk);
        var before = Small.Write(store, 5);
        var offered = Small.Write(source, 6);
        disk.Fail(operation);
        _ = Assert.Throws<IOException>(() => Small.Transfer(source, store, offered));
        Assert.Equal([before.FileName], disk.List());
        Assert.Equal(before, store.Latest(Small.G));

        // Nothing of it is taken up again: it begins anew.
        using (var receiver = Small.Receive(store, offered))
        {
            Assert.Equal(0, receiver.NextOffset);
        }

        Assert.Equal(offered, Small.Transfer(source, store, offered));
        Small.AssertHolds(store, offered);
    }

    [Fact]
    public void A_sync_that_fails_in_the_middle_of_a_long_snapshot_ends_it()
    {
        var disk = new SinkThatFails();
        var store = Small.Open(disk);
        using var writer = store.Create(Small.G, new LogIndex(1), new Term(1));
        var block = new byte[1 << 20];
        _ = Assert.Throws<IOException>(() =>
        {
            for (var i = 0; i < 20; i++)
            {
                writer.Append(block);
            }
        });
        Assert.Equal(1, disk.Deleted);
        _ = Assert.Throws<InvalidOperationException>(() => writer.Complete());
    }

    [Fact]
    public void A_failed_deletion_is_made_up_for_later()
    {
        var disk = new SimulatedDisk();
        var store = Small.Open(disk);
        _ = Small.Write(store, 5);
        var latest = Small.Write(store, 6);
        disk.Fail(DiskOperation.Delete, 2);
        store.Retire(Small.G);
        store.Create(Small.G, new LogIndex(7), new Term(1)).Dispose();
        Assert.Equal(3, disk.List().Count);
        Assert.Equal(latest, store.Latest(Small.G));
        store.Retire(Small.G);
        Assert.Equal([latest.FileName], disk.List());
    }

    [Fact]
    public void A_full_disk_refuses_the_snapshot_and_the_log_goes_on()
    {
        var disk = new SimulatedDisk();
        using var wal = Wal.Open(disk.Folder("wal"), LogOptions);
        wal.Append(Small.G, Workload.Persist(Workload.Entries(1, 1, 5, 50)));
        wal.Sync();
        var store = Small.Open(disk.Folder("snapshots"));
        var before = Small.Write(store, 3);
        disk.CapacityBytes = disk.CapacityBytes - disk.FreeBytes + 10_000;
        var free = disk.FreeBytes;
        for (var round = 0; round < 3; round++)
        {
            _ = Assert.Throws<IOException>(() => Small.Write(store, 5, Small.Blocks(5, 4, 8000)));
            Assert.Equal(free, disk.FreeBytes);
            var offered = Small.Write(Small.Open(new SimulatedDisk(), seed: 2), 5, Small.Blocks(5, 4, 8000));
            Assert.Contains("No room", Assert.Throws<IOException>(() => Small.Receive(store, offered)).Message, StringComparison.Ordinal);
            Assert.Equal(free, disk.FreeBytes);
            wal.Append(Small.G, Workload.Persist(Workload.Entries(6 + (ulong)round, 1, 1, 50)));
            wal.Sync();
        }

        Assert.Equal(before, store.Latest(Small.G));
        disk.CapacityBytes = long.MaxValue;
        var after = Small.Write(store, 5, Small.Blocks(5, 4, 8000));
        store.Retire(Small.G);
        Small.AssertHolds(store, after, Small.Blocks(5, 4, 8000));
    }

    /// <summary>The second sync of a file fails: in the middle of one that is longer than what is synced at a time.</summary>
    private sealed class SinkThatFails : Storage.Disk.IDisk
    {
        private readonly SinkDisk _sink = new();

        public int Deleted { get; private set; }

        public long FreeBytes => long.MaxValue;

        public IReadOnlyList<string> List() => _sink.List();

        public Storage.Disk.IDiskFile Open(string name) => new File(_sink.Open(name));

        public void Rename(string from, string to) => _sink.Rename(from, to);

        public void Delete(string name) => Deleted++;

        public void SyncDirectory() => _sink.SyncDirectory();

        private sealed class File(Storage.Disk.IDiskFile file) : Storage.Disk.IDiskFile
        {
            private int _syncs;

            public long Length => file.Length;

            public int Read(long offset, Span<byte> into) => file.Read(offset, into);

            public void Write(long offset, ReadOnlySpan<byte> bytes) => file.Write(offset, bytes);

            public void Sync()
            {
                if (++_syncs == 2)
                {
                    throw new IOException("Input/output error");
                }
            }

            public void Dispose() => file.Dispose();
        }
    }
}
