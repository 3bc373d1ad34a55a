using Flotilla.Raft;
using Flotilla.Testing;

namespace Flotilla.Storage.Tests;

public sealed class WalTests
{
    private static readonly WalOptions Small = new() { SegmentBytes = 4 << 10, GenerationSeed = 7 };
    private static readonly GroupId G = new(42);

    [Fact]
    public void A_log_that_is_opened_again_holds_what_was_synced()
    {
        var disk = new SimulatedDisk();
        var model = new WalModel();
        var identity = new IdentityState(true, [new KnownPeer(new NodeId("ü-2"), new Incarnation(9), true), new KnownPeer(new NodeId("n3"), new Incarnation(10), false)]);
        Effect.Persist[] persists =
        [
            Workload.Vote(3, "n2"),
            new(default, null, identity, [], true),
            Workload.Persist(Workload.Entries(1, 3, 5, 30)),
            Workload.Persist(Workload.Entries(4, 5, 7, 11)),
            new(default, new HardState(new Term(6), default, new LogIndex(9)), null, Workload.Entries(11, 6, 1, 0), true),
        ];
        using (var wal = Wal.Open(disk, Small))
        {
            foreach (var persist in persists)
            {
                wal.Append(G, persist);
                model.Apply(G, persist);
                Assert.True(wal.MustSync);
                wal.Sync();
                Assert.False(wal.MustSync);
                Assert.Equal(model.Describe([G]), WalModel.Describe(wal, [G]));
            }
        }

        using var again = Wal.Open(disk, Small);
        Assert.Equal(model.Describe([G]), WalModel.Describe(again, [G]));
        Assert.Equal([(new LogIndex(1), new Term(3)), (new LogIndex(4), new Term(5)), (new LogIndex(11), new Term(6))], again.Recovered(G).TermStarts);
        Assert.Equal(identity.Known, again.Recovered(G).Identity.Known);
        Assert.Same(RaftRecovery.Empty, again.Recovered(new GroupId(1)));
    }

    [Fact]
    public void A_commit_hint_costs_no_sync_and_rides_along_with_the_next_batch()
    {
        var disk = new SimulatedDisk();
        using (var wal = Wal.Open(disk, Small))
        {
            wal.Append(G, Workload.Persist(Workload.Entries(1, 1, 3, 10)));
            wal.Sync();
            var before = disk.Operations;
            for (ulong commit = 1; commit <= 3; commit++)
            {
                wal.Append(G, Workload.CommitHint(1, commit));
                Assert.False(wal.MustSync);
            }

            Assert.Equal(before, disk.Operations);
            wal.Append(G, Workload.Persist(Workload.Entries(4, 1, 1, 10)));
            wal.Sync();
            Assert.Equal(before + 2, disk.Operations);
        }

        using var again = Wal.Open(disk, Small);
        Assert.Equal(new LogIndex(3), again.Recovered(G).HardState.Commit);
    }

    [Fact]
    public void A_batch_is_one_write_and_one_sync_however_many_groups_it_is_for()
    {
        var disk = new SimulatedDisk();
        using var wal = Wal.Open(disk, new WalOptions { SegmentBytes = 64 << 10 });
        var operations = new List<DiskOperation>();
        disk.Observer = (operation, _) => operations.Add(operation);
        for (ulong group = 1; group <= 20; group++)
        {
            wal.Append(new GroupId(group), Workload.Persist(Workload.Entries(1, 1, 3, 50)));
            wal.Append(new GroupId(group), Workload.Vote(2, "n1"));
        }

        wal.Sync();
        Assert.Equal([DiskOperation.Write, DiskOperation.Sync], operations);
    }

    [Fact]
    public void Entries_that_leave_a_gap_are_refused_and_nothing_of_them_is_appended()
    {
        using var wal = Wal.Open(new SimulatedDisk(), Small);
        wal.Append(G, Workload.Persist(Workload.Entries(1, 1, 3, 10)));
        _ = Assert.Throws<ArgumentException>(() => wal.Append(G, Workload.Persist(Workload.Entries(5, 1, 1, 10))));
        _ = Assert.Throws<ArgumentException>(() => wal.Append(G, Workload.Persist(Workload.Entries(4, 1, 1, 10)[0], Workload.Entries(6, 1, 1, 10)[0])));
        wal.Sync();
        wal.Release(G, new LogIndex(2));
        _ = Assert.Throws<ArgumentException>(() => wal.Append(G, Workload.Persist(Workload.Entries(2, 2, 1, 10))));
        Assert.Equal(3, WalModel.ReadAll(wal, G).Count);
    }

    [Fact]
    public void A_batch_larger_than_a_segment_gets_a_segment_of_its_own_size()
    {
        var disk = new SimulatedDisk();
        var model = new WalModel();
        using (var wal = Wal.Open(disk, Small))
        {
            foreach (var persist in new[] { Workload.Persist(Workload.Entries(1, 1, 2, 10)), Workload.Persist(Workload.Entries(3, 1, 30, 3000)), Workload.Persist(Workload.Entries(33, 1, 1, 200_000)), Workload.Persist(Workload.Entries(34, 1, 2, 10)) })
            {
                wal.Append(G, persist);
                model.Apply(G, persist);
                wal.Sync();
            }
        }

        using var again = Wal.Open(disk, Small);
        Assert.Equal(model.Describe([G]), WalModel.Describe(again, [G]));
    }

    [Fact]
    public void Reading_stops_at_the_limits_but_gives_at_least_one_entry()
    {
        using var wal = Wal.Open(new SimulatedDisk(), new WalOptions { SegmentBytes = 16 << 10 });
        for (ulong i = 1; i <= 200; i += 5)
        {
            wal.Append(G, Workload.Persist(Workload.Entries(i, 1, 5, 100)));
            wal.Append(new GroupId(2), Workload.Persist(Workload.Entries(i, 1, 5, 300)));
            wal.Sync();
        }

        var entries = new List<Entry> { default };
        Assert.True(wal.TryRead(G, new LogIndex(7), new LogIndex(200), 0, entries));
        Assert.Equal(2, entries.Count);
        Assert.Equal(Workload.Entries(6, 1, 5, 100)[1].Payload.ToArray(), entries[1].Payload.ToArray());

        entries.Clear();
        Assert.True(wal.TryRead(G, new LogIndex(7), new LogIndex(200), 10 * 148, entries));
        Assert.Equal(10, entries.Count);

        entries.Clear();
        Assert.True(wal.TryRead(G, new LogIndex(3), new LogIndex(150), int.MaxValue, entries));
        Assert.Equal(Enumerable.Range(3, 148).Select(static i => (ulong)i), entries.Select(static e => e.Index.Value));
        Assert.False(wal.TryRead(G, new LogIndex(201), new LogIndex(300), 1000, entries));
        Assert.False(wal.TryRead(new GroupId(99), new LogIndex(1), new LogIndex(1), 1000, entries));
    }

    [Fact]
    public void Entries_that_are_not_synced_yet_are_not_read()
    {
        using var wal = Wal.Open(new SimulatedDisk(), Small);
        wal.Append(G, Workload.Persist(Workload.Entries(1, 1, 3, 10)));
        Assert.False(wal.TryRead(G, new LogIndex(1), new LogIndex(3), 1000, []));
        wal.Sync();
        Assert.True(wal.TryRead(G, new LogIndex(1), new LogIndex(3), 1000, []));
    }

    [Fact]
    public void Released_segments_are_recycled_and_every_groups_small_states_survive()
    {
        var disk = new SimulatedDisk();
        var quiet = new GroupId(5);
        var identity = new IdentityState(true, [new KnownPeer(new NodeId("n2"), new Incarnation(4), false)]);
        using (var wal = Wal.Open(disk, Small))
        {
            wal.Append(quiet, new Effect.Persist(default, new HardState(new Term(7), new NodeId("n3"), default), identity, [], true));
            wal.Sync();
            for (ulong i = 1; i <= 1000; i++)
            {
                wal.Append(G, Workload.Persist(Workload.Entries(i, 1, 1, 100)));
                wal.Sync();
                if (i % 10 == 0)
                {
                    wal.Release(G, new LogIndex(i - 5));
                    wal.PrepareSpare();
                }
            }

            wal.Sync();
            wal.Append(G, Workload.Vote(2, "n1"));
            wal.Sync();
            Assert.InRange(wal.SegmentCount, 1, 3);
            Assert.InRange(disk.List().Count, 1, 5);
            Assert.InRange(wal.DiskBytes, 1, 5 * Small.SegmentBytes);
        }

        using var again = Wal.Open(disk, Small);
        Assert.Equal(new HardState(new Term(7), new NodeId("n3"), default), again.Recovered(quiet).HardState);
        Assert.Equal(identity.Known, again.Recovered(quiet).Identity.Known);
        Assert.True(again.Recovered(quiet).Identity.Admitted);
        Assert.Equal(new LogIndex(996), again.FirstIndex(G));
        Assert.Equal(5, WalModel.ReadAll(again, G).Count);
    }

    [Fact]
    public void A_release_beyond_the_end_empties_the_log_which_goes_on_behind_it()
    {
        var disk = new SimulatedDisk();
        using (var wal = Wal.Open(disk, Small))
        {
            wal.Append(G, Workload.Persist(Workload.Entries(1, 1, 9, 100)));
            wal.Sync();
            wal.Release(G, new LogIndex(500));
            wal.Append(G, Workload.Persist(Workload.Entries(501, 3, 2, 10)));
            wal.Sync();
        }

        using var again = Wal.Open(disk, Small);
        Assert.Equal(new LogIndex(501), again.FirstIndex(G));
        Assert.Equal([501UL, 502UL], WalModel.ReadAll(again, G).Select(static e => e.Index.Value));
        Assert.Equal([(new LogIndex(501), new Term(3))], again.Recovered(G).TermStarts);
    }

    [Fact]
    public void Segments_may_change_their_size_from_one_start_to_the_next()
    {
        var disk = new SimulatedDisk();
        var model = new WalModel();
        ulong next = 1;
        foreach (var bytes in new long[] { 4 << 10, 16 << 10, 2 << 10, 8 << 10 })
        {
            using var wal = Wal.Open(disk, new WalOptions { SegmentBytes = bytes });
            Assert.Equal(model.Describe([G]), WalModel.Describe(wal, [G]));
            for (var i = 0; i < 30; i++, next += 2)
            {
                var persist = Workload.Persist(Workload.Entries(next, 1, 2, 200));
                wal.Append(G, persist);
                model.Apply(G, persist);
                wal.Sync();
                wal.Release(G, new LogIndex(next / 2));
                model.Release(G, new LogIndex(next / 2));
                wal.PrepareSpare();
            }

            wal.Sync();
        }
    }

    [Fact]
    public void The_index_does_not_grow_with_the_number_of_entries()
    {
        var log = new Segments.GroupLog(G);
        var segment = new Segments.Segment(null!, default);
        for (ulong i = 1; i <= 100_000; i++)
        {
            log.Publish(new LogIndex(i), 1, new Term(1), segment, 512 + ((long)i * 250), 250);
        }

        Assert.InRange(log.RunCount, 1, 100_000 * 250 / Segments.GroupLog.RunBytes + 1);
        Assert.True(log.TryFind(new LogIndex(77_777), out var run));
        Assert.InRange(77_777UL, run.First.Value, run.Last.Value);
    }

    [Fact]
    public void Appending_allocates_nothing_per_entry()
    {
        using var wal = Wal.Open(new SimulatedDisk(), new WalOptions { SegmentBytes = 32 << 20 });
        var entries = Workload.Entries(1, 1, 4000, 150);
        wal.Append(G, Workload.Persist(entries));
        var persist = Workload.Persist(Workload.Entries(4001, 1, 4000, 150));
        var before = GC.GetAllocatedBytesForCurrentThread();
        wal.Append(G, persist);
        var allocated = GC.GetAllocatedBytesForCurrentThread() - before;

        // The batch buffer and the list of changes may double once; entries alone would cost 4000 times more than nothing.
        Assert.InRange(allocated, 0, 2_200_000);
        wal.Sync();
        wal.Append(G, Workload.Persist(Workload.Entries(8001, 1, 4000, 150)));
        var again = Workload.Persist(Workload.Entries(12001, 1, 4000, 150));
        before = GC.GetAllocatedBytesForCurrentThread();
        wal.Append(G, again);
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2L << 30)]
    public void A_segment_size_out_of_range_is_refused(long bytes) =>
        Assert.Throws<ArgumentException>(() => Wal.Open(new SimulatedDisk(), new WalOptions { SegmentBytes = bytes }));
}
