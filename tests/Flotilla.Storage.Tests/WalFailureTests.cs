using Flotilla.Raft;
using Flotilla.Testing;

namespace Flotilla.Storage.Tests;

public sealed class WalFailureTests
{
    private static readonly WalOptions Small = new() { SegmentBytes = 4 << 10, GenerationSeed = 7 };
    private static readonly GroupId G = new(42);

    // Of 400-byte entries, each a batch of its own, in a segment of 4 KiB.
    private const ulong BatchesPerSegment = 6;

    [Theory]
    [Trait("Hazard", "9")]
    [InlineData(DiskOperation.Sync)]
    [InlineData(DiskOperation.Write)]
    public void A_failed_write_or_sync_is_final_and_never_tried_again(DiskOperation operation)
    {
        var disk = new SimulatedDisk();
        var wal = Wal.Open(disk, Small);
        wal.Append(G, Workload.Persist(Workload.Entries(1, 1, 2, 30)));
        wal.Sync();
        wal.Append(G, Workload.Persist(Workload.Entries(3, 1, 2, 30)));
        disk.Fail(operation);
        _ = Assert.Throws<IOException>(wal.Sync);

        var operations = disk.Operations;
        Assert.Contains("failed before", Assert.Throws<IOException>(wal.Sync).Message, StringComparison.Ordinal);
        _ = Assert.Throws<IOException>(() => wal.Append(G, Workload.Persist(Workload.Entries(3, 1, 1, 30))));
        _ = Assert.Throws<IOException>(() => wal.Release(G, new LogIndex(1)));

        // What was durable can still be read; the rest was never promised to anyone.
        var entries = new List<Entry>();
        Assert.True(wal.TryRead(G, new LogIndex(1), new LogIndex(9), 10_000, entries));
        Assert.Equal(2, entries.Count);
        wal.Dispose();
        Assert.Equal(operations, disk.Operations);

        disk.Crash(1);
        using var again = Wal.Open(disk, Small);
        Assert.Equal(new LogIndex(2), again.Recovered(G).LastIndex);
    }

    [Theory]
    [Trait("Hazard", "9")]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    public void A_sync_that_fails_while_a_segment_is_begun_is_final_too(int syncsBefore)
    {
        // The batch that begins a segment takes three syncs: header, seal of the old one, batch.
        for (ulong seed = 0; seed < 20; seed++)
        {
            var disk = new SimulatedDisk();
            var wal = Wal.Open(disk, Small);
            wal.PrepareSpare();
            for (ulong i = 1; i <= BatchesPerSegment; i++)
            {
                wal.Append(G, Workload.Persist(Workload.Entries(i, 1, 1, 400)));
                wal.Sync();
            }

            Assert.Equal(1, wal.SegmentCount);
            FailSync(disk, syncsBefore);
            wal.Append(G, Workload.Persist(Workload.Entries(BatchesPerSegment + 1, 1, 1, 400)));
            _ = Assert.Throws<IOException>(wal.Sync);
            _ = Assert.Throws<IOException>(wal.Sync);
            wal.Dispose();

            disk.Observer = null;
            disk.Crash(seed);
            using var again = Wal.Open(disk, Small);
            Assert.Equal(BatchesPerSegment, (ulong)WalModel.ReadAll(again, G).Count);
        }
    }

    [Theory]
    [Trait("Hazard", "12")]
    [InlineData(false)]
    [InlineData(true)]
    public void What_was_not_synced_may_be_gone_and_what_was_synced_is_not(bool synced)
    {
        for (ulong seed = 0; seed < 50; seed++)
        {
            var disk = new SimulatedDisk();
            var wal = Wal.Open(disk, Small);
            wal.Append(G, Workload.Vote(5, "n1"));
            if (synced)
            {
                wal.Sync();
            }

            disk.Crash(seed);
            using var again = Wal.Open(disk, Small);
            Assert.Equal(synced ? 5UL : 0UL, again.Recovered(G).HardState.Term.Value);
        }
    }

    [Fact]
    [Trait("Hazard", "15")]
    public void A_new_segment_is_named_durably_before_anything_in_it_counts()
    {
        var disk = new SimulatedDisk();
        var nameIsDurable = new Dictionary<string, bool>(StringComparer.Ordinal);
        var unnamed = new List<string>();
        disk.Observer = (operation, name) =>
        {
            switch (operation)
            {
                case DiskOperation.Create:
                    nameIsDurable[name] = false;
                    break;
                case DiskOperation.SyncDirectory:
                    foreach (var known in nameIsDurable.Keys.ToArray())
                    {
                        nameIsDurable[known] = true;
                    }

                    break;
                case DiskOperation.Sync when !nameIsDurable[name] && disk.Content(name).AsSpan(0, 8).IndexOfAnyExcept((byte)0) >= 0:
                    unnamed.Add(name);
                    break;
                default:
                    break;
            }
        };
        using var wal = Wal.Open(disk, Small);
        for (ulong i = 1; i < 50; i++)
        {
            wal.Append(G, Workload.Persist(Workload.Entries(i, 1, 1, 400)));
            wal.Sync();
        }

        Assert.True(nameIsDurable.Count > 3);
        Assert.Empty(unnamed);
    }

    [Fact]
    [Trait("Hazard", "15")]
    public void A_file_whose_name_was_not_durable_when_the_process_died_is_named_durably_before_it_is_used()
    {
        // Seed 375 of the crash test: killed between the creation of the first file and the sync of the directory.
        for (ulong seed = 0; seed < 20; seed++)
        {
            var disk = new SimulatedDisk();
            disk.PowerOffAfter(3);
            _ = Assert.Throws<PowerOffException>(() => Wal.Open(disk, Small));
            disk.Kill();
            var wal = Wal.Open(disk, Small);
            wal.Append(G, Workload.Vote(1, "n1"));
            wal.Sync();
            disk.Crash(seed);
            using var again = Wal.Open(disk, Small);
            Assert.Equal(new NodeId("n1"), again.Recovered(G).HardState.VotedFor);
        }
    }

    [Fact]
    [Trait("Hazard", "16")]
    public void A_full_disk_stops_the_log_and_harms_nothing_in_it()
    {
        for (long capacity = 10_000; capacity < 40_000; capacity += 1777)
        {
            var disk = new SimulatedDisk { CapacityBytes = capacity };
            var wal = Wal.Open(disk, Small);
            ulong last = 0;
            try
            {
                for (; last < 1000; last++)
                {
                    wal.Append(G, Workload.Persist(Workload.Entries(last + 1, 1, 1, 300)));
                    wal.Sync();
                }

                Assert.Fail("The disk never filled up.");
            }
            catch (IOException e)
            {
                Assert.Contains("No space left", e.Message, StringComparison.Ordinal);
            }

            Assert.Equal(last, (ulong)WalModel.ReadAll(wal, G).Count);
            wal.Dispose();

            // Read again while the disk is still full: there is room in the current segment, and none is cut.
            using (var full = Wal.Open(disk, Small))
            {
                Assert.Equal(last, (ulong)WalModel.ReadAll(full, G).Count);
            }

            disk.CapacityBytes = long.MaxValue;
            using var roomy = Wal.Open(disk, Small);
            roomy.Append(G, Workload.Persist(Workload.Entries(last + 1, 1, 5, 300)));
            roomy.Sync();
            Assert.Equal(last + 5, (ulong)WalModel.ReadAll(roomy, G).Count);
        }
    }

    [Fact]
    [Trait("Hazard", "16")]
    public void A_spare_that_finds_no_room_fails_alone_and_gives_its_room_back()
    {
        var disk = new SimulatedDisk { CapacityBytes = 6 << 10 };
        using var wal = Wal.Open(disk, Small);
        Assert.True(wal.WantsSpare);
        Assert.Contains("No space left", Assert.Throws<IOException>(wal.PrepareSpare).Message, StringComparison.Ordinal);
        Assert.Equal(2 << 10, disk.FreeBytes);
        wal.Append(G, Workload.Persist(Workload.Entries(1, 1, 1, 300)));
        wal.Sync();

        disk.CapacityBytes = 1 << 20;
        wal.PrepareSpare();
        Assert.False(wal.WantsSpare);
    }

    [Fact]
    public void A_spare_that_is_ready_spares_the_log_the_zeros()
    {
        var disk = new SimulatedDisk();
        using var wal = Wal.Open(disk, Small);
        wal.PrepareSpare();
        var creations = 0;
        disk.Observer = (operation, _) => creations += operation == DiskOperation.Create ? 1 : 0;
        for (ulong i = 1; wal.SegmentCount == 1; i++)
        {
            wal.Append(G, Workload.Persist(Workload.Entries(i, 1, 1, 400)));
            wal.Sync();
        }

        Assert.Equal(0, creations);
        Assert.True(wal.WantsSpare);
    }

    // Lets a number of syncs through, then makes one fail.
    private static void FailSync(SimulatedDisk disk, int after)
    {
        var left = after;
        disk.Observer = (operation, _) =>
        {
            if (operation == DiskOperation.Sync && left-- == 0)
            {
                disk.Fail(DiskOperation.Sync);
            }
        };
    }
}
