using Flotilla.Raft;
using Flotilla.Testing;

namespace Flotilla.Storage.Tests;

/// <summary>A sync fails, the process ends as it must, and starts again on the same machine (fsyncgate).</summary>
[Trait("Hazard", "9")]
public sealed class WalFailedSyncTests
{
    private static readonly GroupId Group = new(7);

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(5)]
    public void What_a_restart_finds_after_a_failed_sync_outlives_the_next_power_loss(int syncedBefore)
    {
        // Found by the simulator: the kernel keeps the pages of a failed sync and calls them clean, so a restart reads them,
        // and its own sync succeeds without writing them.
        for (ulong seed = 1; seed <= 20; seed++)
        {
            var disk = new SimulatedDisk();
            var options = new WalOptions { SegmentBytes = WalOptions.MinSegmentBytes, GenerationSeed = 1 };
            var wal = Wal.Open(disk, options);
            for (var i = 1; i <= syncedBefore; i++)
            {
                wal.Append(Group, Vote(i));
                wal.Sync();
            }

            disk.Fail(DiskOperation.Sync);
            wal.Append(Group, Vote(syncedBefore + 1));
            Assert.Throws<IOException>(wal.Sync);
            disk.Kill();

            // Whatever this start finds it may act upon: the vote is out.
            var found = Wal.Open(disk, options).Recovered(Group).HardState;
            disk.Crash(seed);
            using var last = Wal.Open(disk, options);
            Assert.Equal(found, last.Recovered(Group).HardState);
        }
    }

    [Fact]
    public void A_header_that_was_wiped_in_the_cache_only_does_not_come_back_under_a_number_used_again()
    {
        // Seed 5583 of the crash test, made shorter. A segment is begun and the power fails, so that its header is there and
        // its head is not; the next start wipes it, but that sync fails; the one after reads zeros, and uses another file.
        const string begun = "00000006.wal";
        var met = 0;
        for (ulong seed = 1; seed <= 100; seed++)
        {
            var disk = new SimulatedDisk();
            var options = new WalOptions { SegmentBytes = WalOptions.MinSegmentBytes, GenerationSeed = 1 };
            disk.SetContent("00000005.wal", new byte[WalOptions.MinSegmentBytes]);
            var wal = Wal.Open(disk, options);
            wal.PrepareSpare();
            var term = 0;
            disk.Observer = (operation, name) =>
            {
                if (operation == DiskOperation.Write && name == begun)
                {
                    disk.PowerOffAfter(0);
                }
            };
            Assert.Throws<PowerOffException>(() =>
            {
                while (term < 100)
                {
                    wal.Append(Group, Large(++term));
                    wal.Sync();
                }
            });
            disk.Crash(seed);

            disk.SetContent("00000002.wal", new byte[WalOptions.MinSegmentBytes]);
            disk.Observer = (operation, name) =>
            {
                if (operation == DiskOperation.Sync && name == begun)
                {
                    disk.Fail(DiskOperation.Sync);
                }
            };
            try
            {
                Wal.Open(disk, options).Dispose();
            }
            catch (IOException e) when (e is not WalCorruptException)
            {
                met++;
            }

            disk.Observer = null;
            disk.Kill();
            wal = Wal.Open(disk, options);
            wal.Append(Group, Large(++term));
            wal.Sync();
            var found = wal.Recovered(Group).HardState;
            disk.Crash(seed);
            using var last = Wal.Open(disk, options);
            Assert.Equal(found, last.Recovered(Group).HardState);
        }

        Assert.True(met > 5, $"{met} starts failed");
    }

    // The vote's name fills the batch, so that few go into a segment.
    private static Effect.Persist Large(int term) =>
        new(new PersistSequence((ulong)term), new HardState(new Term((ulong)term), new NodeId(new string('n', 150)), LogIndex.Zero), null, [], MustSync: true);

    private static Effect.Persist Vote(int term) =>
        new(new PersistSequence((ulong)term), new HardState(new Term((ulong)term), new NodeId("n1"), LogIndex.Zero), null, [], MustSync: true);
}
