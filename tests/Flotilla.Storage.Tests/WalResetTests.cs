using Flotilla.Raft;
using Flotilla.Testing;

namespace Flotilla.Storage.Tests;

/// <summary>A follower that has installed a snapshot forgets its log, a conflicting suffix too.</summary>
[Trait("Hazard", "24")]
public sealed class WalResetTests
{
    private static readonly WalOptions Small = new() { SegmentBytes = 4 << 10, GenerationSeed = 7 };
    private static readonly GroupId G = new(42);
    private static readonly GroupId Other = new(43);

    [Fact]
    public void A_reset_forgets_a_conflicting_suffix_beyond_it()
    {
        var disk = new SimulatedDisk();
        using (var wal = Wal.Open(disk, Small))
        {
            wal.Append(G, Workload.Persist(Workload.Entries(1, 2, 30, 40)));
            wal.Sync();
            wal.Append(G, Reset(20, 5));
            Assert.True(wal.MustSync);
            wal.Sync();
            AssertEmptyBehind(wal, 20, 5);
        }

        using var again = Wal.Open(disk, Small);
        AssertEmptyBehind(again, 20, 5);
        _ = Assert.Throws<ArgumentException>(() => again.Append(G, Workload.Persist(Workload.Entries(31, 5, 1, 10))));
        again.Append(G, Workload.Persist(Workload.Entries(21, 6, 2, 10)));
        again.Sync();
        Assert.Equal([21UL, 22UL], WalModel.ReadAll(again, G).Select(static e => e.Index.Value));
        Assert.Equal([(new LogIndex(20), new Term(5)), (new LogIndex(21), new Term(6))], again.Recovered(G).TermStarts);
    }

    [Fact]
    public void A_reset_beyond_the_end_begins_the_log_there()
    {
        var disk = new SimulatedDisk();
        using (var wal = Wal.Open(disk, Small))
        {
            wal.Append(G, Workload.Persist(Workload.Entries(1, 2, 3, 40)));
            wal.Append(G, Reset(1000, 5, new HardState(new Term(6), new NodeId("n1"), new LogIndex(1000)), Workload.Entries(1001, 6, 3, 10)));
            wal.Sync();
            Assert.Equal([1001UL, 1002UL, 1003UL], WalModel.ReadAll(wal, G).Select(static e => e.Index.Value));
        }

        using var again = Wal.Open(disk, Small);
        var recovered = again.Recovered(G);
        Assert.Equal(new LogBase(new LogIndex(1000), new Term(5)), recovered.Base);
        Assert.Equal(new HardState(new Term(6), new NodeId("n1"), new LogIndex(1000)), recovered.HardState);
        Assert.Equal(3 * 58, recovered.BytesAboveCommit);
        Assert.Equal([1001UL, 1002UL, 1003UL], WalModel.ReadAll(again, G).Select(static e => e.Index.Value));
    }

    [Fact]
    public void A_reset_and_what_comes_with_it_are_there_in_one_piece_or_not_at_all()
    {
        for (var operations = 0; ; operations++)
        {
            var completed = false;
            foreach (var seed in new ulong[] { 1, 2, 3, 4, 5, 6 })
            {
                var disk = new SimulatedDisk();
                var wal = Wal.Open(disk, Small);
                wal.Append(G, Workload.Persist(Workload.Entries(1, 2, 60, 40)));
                wal.Append(G, Workload.Vote(2, "n1", commit: 10));
                wal.Sync();
                var before = WalModel.Describe(wal, [G]);
                disk.PowerOffAfter(operations);
                var told = false;
                try
                {
                    wal.Append(G, Reset(40, 3, new HardState(new Term(4), default, new LogIndex(40)), Workload.Entries(41, 4, 10, 40)));
                    wal.Sync();
                    told = true;
                    wal.Append(Other, Workload.Persist(Workload.Entries(1, 1, 40, 100)));
                    wal.Sync();
                    completed = true;
                }
                catch (PowerOffException)
                {
                }

                disk.Crash(seed);
                using var again = Wal.Open(disk, Small);
                var found = WalModel.Describe(again, [G]);
                if (told || found != before)
                {
                    var recovered = again.Recovered(G);
                    Assert.Equal(new LogBase(new LogIndex(40), new Term(3)), recovered.Base);
                    Assert.Equal(new HardState(new Term(4), default, new LogIndex(40)), recovered.HardState);
                    Assert.Equal(Enumerable.Range(41, 10).Select(static i => (ulong)i), WalModel.ReadAll(again, G).Select(static e => e.Index.Value));
                }
            }

            if (completed)
            {
                Assert.InRange(operations, 3, 100);
                return;
            }
        }
    }

    [Fact]
    public void A_reset_frees_segments_and_its_base_outlives_them()
    {
        var disk = new SimulatedDisk();
        using (var wal = Wal.Open(disk, Small))
        {
            wal.Append(G, Workload.Persist(Workload.Entries(1, 2, 20, 100)));
            wal.Sync();
            wal.Append(G, Reset(15, 3));
            for (ulong i = 1; i <= 300; i++)
            {
                wal.Append(Other, Workload.Persist(Workload.Entries(i, 1, 1, 100)));
                wal.Sync();
                wal.Release(Other, new LogIndex(i - 1));
                wal.PrepareSpare();
            }

            Assert.InRange(wal.SegmentCount, 1, 3);
        }

        using var again = Wal.Open(disk, Small);
        AssertEmptyBehind(again, 15, 3);
    }

    [Fact]
    public void A_reset_never_goes_back_behind_what_was_released()
    {
        using var wal = Wal.Open(new SimulatedDisk(), Small);
        wal.Append(G, Workload.Persist(Workload.Entries(1, 2, 20, 100)));
        wal.Release(G, new LogIndex(10));
        _ = Assert.Throws<ArgumentException>(() => wal.Append(G, Reset(9, 2)));
        _ = Assert.Throws<ArgumentException>(() => wal.Append(G, Reset(12, 2, null, Workload.Entries(14, 2, 1, 10))));
        wal.Append(G, Workload.Persist(Workload.Entries(21, 2, 1, 10)));
        wal.Sync();
        Assert.Equal(11, WalModel.ReadAll(wal, G).Count);
    }

    [Fact]
    public void A_reader_never_joins_entries_from_before_and_after_a_reset()
    {
        using var wal = Wal.Open(new SimulatedDisk(), Small);
        for (ulong i = 1; i <= 100; i++)
        {
            wal.Append(G, Workload.Persist(Workload.Entries(i, 2, 1, 100)));
            wal.Sync();
        }

        wal.Append(G, Reset(50, 3, null, Workload.Entries(51, 3, 10, 100)));
        Assert.True(wal.TryRead(G, new LogIndex(1), new LogIndex(100), int.MaxValue, []));
        wal.Sync();
        Assert.False(wal.TryRead(G, new LogIndex(50), new LogIndex(100), int.MaxValue, []));
        var entries = new List<Entry>();
        Assert.True(wal.TryRead(G, new LogIndex(51), new LogIndex(100), int.MaxValue, entries));
        Assert.All(entries, static e => Assert.Equal(new Term(3), e.Term));
        Assert.Equal(10, entries.Count);
    }

    private static Effect.Persist Reset(ulong index, ulong term, HardState? hardState = null, params Entry[] entries) =>
        new(default, hardState, null, entries, true, new LogBase(new LogIndex(index), new Term(term)));

    private static void AssertEmptyBehind(Wal wal, ulong index, ulong term)
    {
        var recovered = wal.Recovered(G);
        Assert.Equal(new LogBase(new LogIndex(index), new Term(term)), recovered.Base);
        Assert.Equal(new LogIndex(index), recovered.LastIndex);
        Assert.Equal([(new LogIndex(index), new Term(term))], recovered.TermStarts);
        Assert.Equal(new LogIndex(index + 1), wal.FirstIndex(G));
        Assert.Empty(WalModel.ReadAll(wal, G));
    }
}
