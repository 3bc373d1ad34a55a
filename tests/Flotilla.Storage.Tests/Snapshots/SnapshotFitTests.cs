using Flotilla.Raft;
using Flotilla.Storage.Snapshots;
using Flotilla.Testing;

namespace Flotilla.Storage.Tests.Snapshots;

/// <summary>A log and a snapshot at a start: they fit, or are refused with what to do.</summary>
[Trait("Hazard", "27")]
public sealed class SnapshotFitTests
{
    private static readonly WalOptions Options = new() { SegmentBytes = 4 << 10, GenerationSeed = 7 };
    private readonly SimulatedDisk _disk = new();

    [Fact]
    public void A_log_from_its_beginning_needs_no_snapshot()
    {
        var (wal, store) = Open();
        wal.Append(Small.G, Workload.Persist(Workload.Entries(1, 3, 9, 10)));
        wal.Sync();
        Assert.Null(store.Recover(Small.G, wal.Recovered(Small.G)).Snapshot);
        Assert.Equal(RaftRecovery.Empty, store.Recover(new GroupId(1), RaftRecovery.Empty));
    }

    [Fact]
    public void A_crash_between_a_durable_snapshot_and_a_durable_release_changes_nothing()
    {
        var (wal, store) = Open();
        wal.Append(Small.G, Workload.Persist(Workload.Entries(1, 3, 9, 10)));
        wal.Sync();
        var info = Small.Write(store, 7);
        wal.Release(Small.G, new LogIndex(5));
        _disk.Crash(1);

        (wal, store) = Open();
        Assert.Equal(info.Meta, store.Recover(Small.G, wal.Recovered(Small.G)).Snapshot);
        Assert.Equal(new LogIndex(1), wal.FirstIndex(Small.G));
        wal.Release(Small.G, new LogIndex(5));
        wal.Sync();
        _disk.Crash(1);

        (wal, store) = Open();
        Assert.Equal(info.Meta, store.Recover(Small.G, wal.Recovered(Small.G)).Snapshot);
        Assert.Equal(new LogIndex(6), wal.FirstIndex(Small.G));
        Assert.Equal(new LogBase(new LogIndex(5), new Term(3)), wal.Recovered(Small.G).Base);
    }

    [Theory]
    [Trait("Hazard", "24")]
    [InlineData(20)] // beyond the end of the log
    [InlineData(7)] // within a suffix that conflicts with it
    public void A_crash_between_an_installed_snapshot_and_the_reset_leaves_both_for_the_next_start(ulong index)
    {
        var (wal, store) = Open();
        wal.Append(Small.G, Workload.Persist(Workload.Entries(1, 3, 9, 10)));
        wal.Sync();
        var peer = Small.Open(new SimulatedDisk(), seed: 2);
        var info = Small.Transfer(peer, store, Small.Write(peer, index, term: 6));
        _disk.Crash(1);

        (wal, store) = Open();
        var recovered = store.Recover(Small.G, wal.Recovered(Small.G));
        Assert.Equal(info.Meta, recovered.Snapshot);
        Assert.Equal((new LogBase(), new LogIndex(9)), (recovered.Base, recovered.LastIndex));
        Assert.False(NodeLife.Holds(recovered, info.Meta));
        NodeLife.Settle(wal, store);
        _disk.Crash(2);

        (wal, store) = Open();
        recovered = store.Recover(Small.G, wal.Recovered(Small.G));
        Assert.Equal((new LogBase(new LogIndex(index), new Term(6)), new LogIndex(index)), (recovered.Base, recovered.LastIndex));
    }

    [Fact]
    public void A_group_that_only_a_snapshot_knows_is_recovered_from_it()
    {
        var (wal, store) = Open();
        var info = Small.Write(store, 12, term: 4);
        Assert.Equal(info.Meta, store.Recover(Small.G, wal.Recovered(Small.G)).Snapshot);
        NodeLife.Settle(wal, store);
        wal.Append(Small.G, Workload.Persist(Workload.Entries(13, 5, 1, 10)));
        wal.Sync();
        Assert.Single(WalModel.ReadAll(wal, Small.G));
    }

    [Fact]
    public void A_missing_snapshot_is_refused_with_the_file_that_is_missed_and_the_next_step()
    {
        var (wal, store) = Open();
        wal.Append(Small.G, Workload.Persist(Workload.Entries(1, 3, 40, 10)));
        wal.Sync();
        var info = Small.Write(store, 30);
        wal.Release(Small.G, new LogIndex(25));
        wal.Sync();
        _disk.Remove("snapshots/" + info.FileName);
        _disk.Crash(1);

        (wal, store) = Open();
        var e = Assert.Throws<SnapshotMissingException>(() => store.Recover(Small.G, wal.Recovered(Small.G)));
        Assert.Contains("snapshots/feed000000000042-00000000000000000025-* or a later one must be there, but there is none", e.Message, StringComparison.Ordinal);
        Assert.Contains("then start the node with an empty directory", e.Message, StringComparison.Ordinal);
        Assert.Equal(15, WalModel.ReadAll(wal, Small.G).Count);

        // An older one, put back from somewhere, does not help.
        var older = Small.Write(store, 24);
        e = Assert.Throws<SnapshotMissingException>(() => store.Recover(Small.G, wal.Recovered(Small.G)));
        Assert.Contains($"snapshots/{older.FileName}, includes entries up to 24 only", e.Message, StringComparison.Ordinal);

        var enough = Small.Write(store, 25);
        Assert.Equal(enough.Meta, store.Recover(Small.G, wal.Recovered(Small.G)).Snapshot);
    }

    [Fact]
    public void A_snapshot_that_contradicts_the_logs_beginning_is_refused()
    {
        var (wal, store) = Open();
        wal.Append(Small.G, Workload.Persist(Workload.Entries(1, 3, 40, 10)));
        wal.Release(Small.G, new LogIndex(25));
        wal.Sync();
        _ = Small.Write(store, 25, term: 4);
        Assert.Contains("begins behind it with 25/t3", Assert.Throws<SnapshotCorruptException>(() => store.Recover(Small.G, wal.Recovered(Small.G))).Message, StringComparison.Ordinal);
    }

    private (Wal Wal, SnapshotStore Store) Open() => (Wal.Open(_disk.Folder("wal"), Options), Small.Open(_disk.Folder("snapshots")));
}
