using Flotilla.Raft;
using Flotilla.Storage.Snapshots;
using Flotilla.Testing;

namespace Flotilla.Storage.Tests.Snapshots;

/// <summary>A log and a snapshot at a start: they fit, are made to fit, or are refused with what to do.</summary>
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
        Assert.Null(store.Reconcile(Small.G, wal.Recovered(Small.G)));
        Assert.Null(store.Reconcile(new GroupId(1), RaftRecovery.Empty));
    }

    [Fact]
    public void A_crash_between_a_durable_snapshot_and_a_durable_release_changes_nothing()
    {
        var (wal, store) = Open();
        wal.Append(Small.G, Workload.Persist(Workload.Entries(1, 3, 9, 10)));
        wal.Sync();
        _ = Small.Write(store, 7);
        wal.Release(Small.G, new LogIndex(5));
        _disk.Crash(1);

        (wal, store) = Open();
        Assert.Empty(SnapshotRecovery.Settle(wal, store));
        Assert.Equal(new LogIndex(1), wal.FirstIndex(Small.G));
        wal.Release(Small.G, new LogIndex(5));
        wal.Sync();
        _disk.Crash(1);

        (wal, store) = Open();
        Assert.Empty(SnapshotRecovery.Settle(wal, store));
        Assert.Equal(new LogIndex(6), wal.FirstIndex(Small.G));
        Assert.Equal(new LogBase(new LogIndex(5), new Term(3)), wal.Recovered(Small.G).Base);
    }

    [Theory]
    [Trait("Hazard", "24")]
    [InlineData(20)] // beyond the end of the log
    [InlineData(7)] // within a suffix that conflicts with it
    public void A_crash_between_an_installed_snapshot_and_the_reset_is_made_up_for(ulong index)
    {
        var (wal, store) = Open();
        wal.Append(Small.G, Workload.Persist(Workload.Entries(1, 3, 9, 10)));
        wal.Append(Small.G, Workload.Vote(4, "n2", commit: 5));
        wal.Sync();
        var peer = Small.Open(new SimulatedDisk(), seed: 2);
        _ = Small.Transfer(peer, store, Small.Write(peer, index, term: 6));
        _disk.Crash(1);

        for (var start = 0; start < 2; start++)
        {
            (wal, store) = Open();
            Assert.Equal(start == 0 ? [Small.G] : [], SnapshotRecovery.Settle(wal, store));
            var recovered = wal.Recovered(Small.G);
            Assert.Equal(new LogBase(new LogIndex(index), new Term(6)), recovered.Base);
            Assert.Equal(new LogIndex(index), recovered.LastIndex);
            // A term above its own, in which it has not voted.
            Assert.Equal(new HardState(new Term(6), default, new LogIndex(index)), recovered.HardState);
            Assert.Equal(0, recovered.BytesAboveCommit);
            wal.Dispose();
        }
    }

    [Fact]
    public void A_vote_in_a_term_that_is_not_older_is_kept_when_the_reset_is_made_up_for()
    {
        var (wal, store) = Open();
        wal.Append(Small.G, Workload.Vote(8, "n2", commit: 50));
        wal.Sync();
        _ = Small.Write(store, 40, term: 6);
        _ = SnapshotRecovery.Settle(wal, store);
        Assert.Equal(new HardState(new Term(8), new NodeId("n2"), new LogIndex(50)), wal.Recovered(Small.G).HardState);
        Assert.Equal(new LogIndex(40), wal.Recovered(Small.G).LastIndex);
    }

    [Fact]
    public void A_log_that_holds_the_snapshots_last_entry_keeps_what_follows()
    {
        var (wal, store) = Open();
        wal.Append(Small.G, Workload.Persist(Workload.Entries(1, 3, 9, 10)));
        wal.Append(Small.G, Workload.Persist(Workload.Entries(10, 5, 9, 10)));
        wal.Sync();
        _ = Small.Write(store, 9, term: 3);
        Assert.Empty(SnapshotRecovery.Settle(wal, store));
        Assert.Equal(18, WalModel.ReadAll(wal, Small.G).Count);
    }

    [Fact]
    public void A_snapshot_of_a_group_that_the_log_does_not_know_begins_its_log()
    {
        var (wal, store) = Open();
        _ = Small.Write(store, 12, term: 4);
        Assert.Equal([Small.G], SnapshotRecovery.Settle(wal, store));
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
        var e = Assert.Throws<SnapshotMissingException>(() => SnapshotRecovery.Settle(wal, store));
        Assert.Contains("snapshots/feed000000000042-00000000000000000025-* or a later one must be there, but there is none", e.Message, StringComparison.Ordinal);
        Assert.Contains("stop it, move its data directory away, and start it again", e.Message, StringComparison.Ordinal);
        Assert.Equal(15, WalModel.ReadAll(wal, Small.G).Count);

        // An older one, put back from somewhere, does not help.
        var older = Small.Write(store, 24);
        e = Assert.Throws<SnapshotMissingException>(() => SnapshotRecovery.Settle(wal, store));
        Assert.Contains($"snapshots/{older.FileName}, includes entries up to 24 only", e.Message, StringComparison.Ordinal);

        _ = Small.Write(store, 25);
        Assert.Empty(SnapshotRecovery.Settle(wal, store));
    }

    [Fact]
    public void A_snapshot_that_contradicts_the_logs_beginning_is_refused()
    {
        var (wal, store) = Open();
        wal.Append(Small.G, Workload.Persist(Workload.Entries(1, 3, 40, 10)));
        wal.Release(Small.G, new LogIndex(25));
        wal.Sync();
        _ = Small.Write(store, 25, term: 4);
        Assert.Contains("begins behind it with 25/t3", Assert.Throws<SnapshotCorruptException>(() => SnapshotRecovery.Settle(wal, store)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Nothing_is_reset_if_any_group_is_refused()
    {
        var (wal, store) = Open();
        var other = new GroupId(1);
        wal.Append(other, Workload.Persist(Workload.Entries(1, 3, 9, 10)));
        wal.Append(Small.G, Workload.Persist(Workload.Entries(1, 3, 40, 10)));
        wal.Release(Small.G, new LogIndex(25));
        wal.Sync();
        _ = Small.Write(store, 100, group: other);
        _ = Assert.Throws<SnapshotMissingException>(() => SnapshotRecovery.Settle(wal, store));
        wal.Sync();
        Assert.Equal(9, WalModel.ReadAll(wal, other).Count);
    }

    private (Wal Wal, SnapshotStore Store) Open() => (Wal.Open(_disk.Folder("wal"), Options), Small.Open(_disk.Folder("snapshots")));
}
