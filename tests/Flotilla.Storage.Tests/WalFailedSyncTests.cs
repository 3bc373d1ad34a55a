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

    private static Effect.Persist Vote(int term) =>
        new(new PersistSequence((ulong)term), new HardState(new Term((ulong)term), new NodeId("n1"), LogIndex.Zero), null, [], MustSync: true);
}
