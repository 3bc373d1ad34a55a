using Flotilla.Raft;
using Flotilla.Storage.Snapshots;
using Flotilla.Testing;

namespace Flotilla.Storage.Tests.Snapshots;

/// <summary>
/// Snapshots and log on one disk that loses power at any operation, in recovery too: log and snapshots always fit together
/// afterwards, and hold all that was promised.
/// </summary>
[Trait("Hazard", "15")]
[Trait("Hazard", "24")]
[Trait("Hazard", "27")]
[Trait("Hazard", "29")]
public sealed class SnapshotCrashTests
{
    [Fact]
    public void Log_and_snapshots_fit_together_over_hundreds_of_seeds_of_crashes()
    {
        // FLOTILLA_SNAPSHOT_SEEDS=20000 runs more.
        var seeds = ulong.Parse(Environment.GetEnvironmentVariable("FLOTILLA_SNAPSHOT_SEEDS") ?? "300");
        for (ulong seed = 1; seed <= seeds; seed++)
        {
            try
            {
                Live(seed);
            }
            catch (Exception e) when (e is not OutOfMemoryException)
            {
                throw new Xunit.Sdk.XunitException($"Seed {seed}: {e.Message}\n{e.StackTrace}", e);
            }
        }
    }

    [Fact]
    public void A_snapshot_is_durable_once_completed_and_whole_or_absent_before_whatever_operation_is_the_last()
    {
        for (var operations = 0; ; operations++)
        {
            var completed = false;
            for (ulong seed = 1; seed <= 12; seed++)
            {
                var disk = new SimulatedDisk();
                var store = Small.Open(disk);
                var before = Small.Write(store, 5);
                disk.PowerOffAfter(operations);
                SnapshotInfo? after = null;
                try
                {
                    after = Small.Write(store, 9, Small.Blocks(9, 4, 2000));
                    store.Retire(Small.G);
                    completed = true;
                }
                catch (PowerOffException)
                {
                }

                disk.Crash(seed);
                store = Small.Open(disk);
                var latest = store.Latest(Small.G)!;
                Assert.True(latest == before || latest.Index == new LogIndex(9));
                Assert.True(after is null || latest == after, "what was completed is there");
                Small.AssertHolds(store, latest, latest == before ? null : Small.Blocks(9, 4, 2000));
                store.Retire(Small.G);
                Assert.Equal([latest.FileName], disk.List());
            }

            if (completed)
            {
                Assert.InRange(operations, 5, 20);
                return;
            }
        }
    }

    private static void Live(ulong seed)
    {
        var random = new SplitMix64(seed);
        var disk = new SimulatedDisk();
        var options = new WalOptions { SegmentBytes = random.Below(2) == 0 ? 2 << 10 : 8 << 10, GenerationSeed = seed };
        var promises = new Promises();
        for (var life = 0; life < 8; life++)
        {
            var (wal, store) = OpenUnderFire(disk, options, promises, ref random);
            var node = new NodeLife(disk, wal, store, promises);
            node.Begin();
            if (random.Chance(0.9))
            {
                disk.PowerOffAfter(random.Below(150));
            }

            try
            {
                for (var deeds = 20 + random.Below(150); deeds > 0; deeds--)
                {
                    node.Act(ref random);
                }

                disk.Kill();
            }
            catch (PowerOffException)
            {
                Die(disk, ref random);
            }
        }

        _ = OpenUnderFire(disk, options, promises, ref random);
    }

    private static (Wal Wal, SnapshotStore Store) OpenUnderFire(SimulatedDisk disk, WalOptions options, Promises promises, ref SplitMix64 random)
    {
        for (var attempt = 0; ; attempt++)
        {
            if (attempt < 5 && random.Chance(0.5))
            {
                disk.PowerOffAfter(random.Below(20));
            }

            try
            {
                var wal = Wal.Open(disk.Folder("wal"), options);
                var store = SnapshotStore.Open(disk.Folder("snapshots"), new SnapshotOptions { IdSeed = random.Next() });
                NodeLife.Settle(wal, store);
                disk.PowerOffAfter(long.MaxValue);
                foreach (var group in Workload.Groups)
                {
                    Check(wal, store, group, promises.Of(group));
                }

                Assert.All(disk.Folder("snapshots").List(), static n => Assert.EndsWith(".snap", n, StringComparison.Ordinal));
                return (wal, store);
            }
            catch (PowerOffException)
            {
                Die(disk, ref random);
            }
        }
    }

    private static void Check(Wal wal, SnapshotStore store, GroupId group, Promises.GroupPromise promise)
    {
        var recovered = wal.Recovered(group);
        var latest = store.Latest(group);
        var snapshot = latest?.Index ?? LogIndex.Zero;
        Assert.True(snapshot >= promise.Snapshot, $"a snapshot of {promise.Snapshot} was completed, and {snapshot} is the latest");
        Assert.True(recovered.Base.Index <= snapshot && snapshot <= recovered.LastIndex, $"the snapshot is of {snapshot}, the log is ({recovered.Base.Index}, {recovered.LastIndex}]");
        if (latest is not null)
        {
            Assert.True(NodeLife.Holds(recovered, latest.Meta));
            Assert.Equal(NodeLife.TermOf(snapshot), latest.Term);
            Small.AssertHolds(store, latest, NodeLife.State(group, snapshot));
        }

        var entries = WalModel.ReadAll(wal, group);
        var held = entries.FindAll(e => e.Index > snapshot && e.Index <= promise.Entries);
        Assert.Equal(promise.Entries > snapshot ? (int)(promise.Entries - snapshot) : 0, held.Count);
        Assert.All(held, e =>
        {
            var truth = NodeLife.Truth(group, e.Index);
            Assert.Equal(truth.Term, e.Term);
            Assert.True(truth.Payload.Span.SequenceEqual(e.Payload.Span));
        });
    }

    // Sometimes only the process dies, and what was not synced is lost with the next loss of power.
    private static void Die(SimulatedDisk disk, ref SplitMix64 random)
    {
        if (random.Chance(0.3))
        {
            disk.Kill();
        }
        else
        {
            disk.Crash(random.Next());
        }
    }
}
