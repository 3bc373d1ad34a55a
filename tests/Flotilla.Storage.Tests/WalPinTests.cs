using Flotilla.Raft;
using Flotilla.Storage.Segments;
using Flotilla.Testing;

namespace Flotilla.Storage.Tests;

/// <summary>A group that writes nothing must not hold on to the segments that the others have written since.</summary>
public sealed class WalPinTests
{
    private static readonly WalOptions Small = new() { SegmentBytes = 4 << 10, GenerationSeed = 7 };
    private static readonly GroupId Idle = new(1);
    private static readonly GroupId Idle2 = new(2);
    private static readonly GroupId Busy = new(3);

    [Fact]
    public void The_groups_that_pin_the_oldest_segment_are_named_and_a_release_frees_it()
    {
        using var wal = Wal.Open(new SimulatedDisk(), Small);
        Assert.Empty(wal.OldestPins());
        wal.Append(Idle, Workload.Persist(Workload.Entries(1, 1, 5, 50)));
        wal.Append(Idle2, Workload.Persist(Workload.Entries(1, 1, 3, 50)));
        wal.Sync();
        Assert.Empty(wal.OldestPins());
        Write(wal, 1, 200);
        var pins = wal.OldestPins();
        Assert.Equal([(Idle, 5UL), (Idle2, 3UL)], pins.Select(static p => (p.Group, p.Through.Value)));
        Assert.Equal(wal.SegmentCount - 1, pins[0].SegmentsBehind);
        Assert.InRange(wal.SegmentCount, 8, 40);

        wal.Release(pins[0].Group, pins[0].Through);
        Write(wal, 201, 2);
        Assert.Equal([Idle2], wal.OldestPins().Select(static p => p.Group));
        Assert.InRange(wal.SegmentCount, 8, 40);

        wal.Release(pins[1].Group, pins[1].Through);
        Write(wal, 203, 2);
        Assert.DoesNotContain(wal.OldestPins(), static p => p.Group != Busy);
        Assert.InRange(wal.SegmentCount, 1, 3);
    }

    [Fact]
    public void A_group_whose_entries_can_not_be_released_is_rewritten_and_pins_no_more()
    {
        var disk = new SimulatedDisk();
        string expected;
        using (var wal = Wal.Open(disk, Small))
        {
            wal.Append(Idle, Workload.Persist(Workload.Entries(1, 1, 9, 50)));
            wal.Append(Idle, Workload.Persist(Workload.Entries(8, 2, 5, 50)));
            wal.Append(Idle, Workload.Vote(2, "n1", commit: 4));
            wal.Sync();
            wal.Release(Idle, new LogIndex(3));
            Write(wal, 1, 200);
            expected = WalModel.Describe(wal, [Idle]);
            Assert.False(wal.Rewrite(Idle, 100));
            Assert.True(wal.Rewrite(Idle, 10_000));
            _ = Assert.Throws<InvalidOperationException>(() => wal.Rewrite(Idle, 10_000));
            Assert.True(wal.MustSync);
            Write(wal, 201, 2);
            Assert.InRange(wal.SegmentCount, 1, 3);
            Assert.Equal(expected, WalModel.Describe(wal, [Idle]));
        }

        using var again = Wal.Open(disk, Small);
        Assert.Equal(expected, WalModel.Describe(again, [Idle]));
        Assert.Equal(8 * 98, again.Recovered(Idle).BytesAboveCommit);
        Assert.True(again.Rewrite(new GroupId(99), 100));
    }

    [Fact]
    public void The_bytes_of_log_behind_an_entry_are_told_to_within_a_run()
    {
        using var wal = Wal.Open(new SimulatedDisk(), new WalOptions { SegmentBytes = 256 << 10 });
        for (ulong i = 1; i <= 2000; i++)
        {
            wal.Append(Busy, Workload.Persist(Workload.Entries(i, 1, 1, 200)));
            wal.Append(Idle, Workload.Persist(Workload.Entries(i, 1, 1, 100)));
            wal.Sync();
        }

        const int record = 40 + 5 + 200 + 3;
        Assert.Equal(2000 * record, wal.LogBytes(Busy));
        Assert.InRange(wal.LogBytes(Busy, new LogIndex(1500)), (500 * record) - (16 << 10), (500 * record) + (16 << 10));
        Assert.Equal(0, wal.LogBytes(Busy, new LogIndex(2000)));
        Assert.Equal(0, wal.LogBytes(Busy, new LogIndex(9000)));
        Assert.Equal(0, wal.LogBytes(new GroupId(77)));

        wal.Release(Busy, new LogIndex(1000));
        wal.Append(Busy, Workload.Persist(Workload.Entries(1901, 2, 1, 200)));
        wal.Sync();
        Assert.InRange(wal.LogBytes(Busy), (901 * record) - (16 << 10), (901 * record) + (16 << 10));
        Assert.InRange(wal.LogBytes(Busy, new LogIndex(1900)), record, record);
    }

    private static void Write(Wal wal, ulong first, int count)
    {
        for (var i = first; i < first + (ulong)count; i++)
        {
            wal.Append(Busy, Workload.Persist(Workload.Entries(i, 1, 1, 200)));
            wal.Release(Busy, new LogIndex(i - 1));
            wal.Sync();
            wal.PrepareSpare();
        }
    }

    [Fact]
    public void A_replaced_suffix_that_leaves_only_released_entries_in_a_segment_pins_it_no_more()
    {
        var log = new GroupLog(Idle);
        var (old, current) = (new Segment(null!, default), new Segment(null!, default));
        log.Publish(new LogIndex(1), 5, new Term(1), old, 512, 100);
        log.Publish(new LogIndex(6), 5, new Term(1), old, 612, 100);
        log.Release(new LogBase(new LogIndex(3), new Term(1)));
        log.Publish(new LogIndex(4), 2, new Term(2), current, 512, 100);
        Assert.Equal(0, old.LiveRuns);
        Assert.Equal(1, current.LiveRuns);
        Assert.Equal(100, log.BytesAfter(LogIndex.Zero));
    }
}
