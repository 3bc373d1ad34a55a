using Flotilla.Raft;
using Flotilla.Testing;

namespace Flotilla.Storage.Tests;

/// <summary>
/// Random work on a disk that loses power at random points, over and over: what a <see cref="Wal.Sync"/> returned for is
/// there ever after, and nothing is there that was not written. A batch is there whole or not at all.
/// </summary>
[Trait("Hazard", "2")]
[Trait("Hazard", "10")]
[Trait("Hazard", "12")]
[Trait("Hazard", "15")]
[Trait("Hazard", "24")]
public sealed class WalCrashTests
{
    [Fact]
    public void Nothing_synced_is_lost_and_nothing_unwritten_appears_over_hundreds_of_seeds_of_crashes()
    {
        // FLOTILLA_WAL_SEEDS=20000 runs more.
        var seeds = ulong.Parse(Environment.GetEnvironmentVariable("FLOTILLA_WAL_SEEDS") ?? "400");
        for (ulong seed = 1; seed <= seeds; seed++)
        {
            try
            {
                Live(seed);
            }
            catch (Exception e) when (e is not OutOfMemoryException)
            {
                throw new Xunit.Sdk.XunitException($"Seed {seed}: {e.Message}", e);
            }
        }
    }

    private static void Live(ulong seed)
    {
        var random = new SplitMix64(seed);
        var disk = new SimulatedDisk();
        var options = new WalOptions { SegmentBytes = random.Below(3) switch { 0 => 2 << 10, 1 => 4 << 10, _ => 16 << 10 }, GenerationSeed = seed };
        var durable = new WalModel();
        WalModel? underWay = null;
        for (var life = 0; life < 12; life++)
        {
            var wal = OpenUnderFire(disk, options, ref random, ref durable, ref underWay);
            if (random.Chance(0.9))
            {
                disk.PowerOffAfter(random.Below(60));
            }

            try
            {
                underWay = null;
                Work(wal, disk, ref durable, ref underWay, ref random);
                if (random.Chance(0.3))
                {
                    wal.Dispose();
                }

                // Neither closed nor out of power: the process is killed, and what was appended last was never written.
                disk.Kill();
            }
            catch (IOException e) when (IsSimulated(e))
            {
                Die(disk, ref random);
            }
        }

        using var last = OpenUnderFire(disk, options, ref random, ref durable, ref underWay);
    }

    private static void Work(Wal wal, SimulatedDisk disk, ref WalModel durable, ref WalModel? underWay, ref SplitMix64 random)
    {
        var next = durable.Copy();
        var rounds = 5 + random.Below(40);
        for (var round = 0; round < rounds; round++)
        {
            for (var changes = 1 + random.Below(3); changes > 0; changes--)
            {
                Workload.Change(wal, next, ref random);
            }

            if (random.Chance(0.2))
            {
                wal.PrepareSpare();
            }

            if (random.Chance(0.2))
            {
                continue;
            }

            underWay = next.Copy();
            if (random.Chance(0.02))
            {
                disk.Fail(DiskOperation.Sync);
            }

            wal.Sync();
            durable = underWay;
            underWay = null;
            if (random.Chance(0.05))
            {
                // Changes where entries lie, and nothing else.
                Assert.True(wal.Rewrite(Workload.Groups[random.Below(Workload.Groups.Length)], long.MaxValue));
            }

            if (random.Chance(0.1))
            {
                Assert.Equal(durable.Describe(Workload.Groups), WalModel.Describe(wal, Workload.Groups));
            }
        }
    }

    // Recovery itself loses power, again and again, until it is let through.
    private static Wal OpenUnderFire(SimulatedDisk disk, WalOptions options, ref SplitMix64 random, ref WalModel durable, ref WalModel? underWay)
    {
        for (var attempt = 0; ; attempt++)
        {
            if (attempt < 5 && random.Chance(0.5))
            {
                disk.PowerOffAfter(random.Below(10));
            }
            else if (attempt < 5 && random.Chance(0.1))
            {
                disk.Fail(DiskOperation.Sync);
            }

            try
            {
                var wal = Wal.Open(disk, options);
                disk.PowerOffAfter(long.MaxValue);
                var found = WalModel.Describe(wal, Workload.Groups);
                if (underWay is not null && found == underWay.Describe(Workload.Groups))
                {
                    durable = underWay;
                }
                else
                {
                    Assert.Equal(durable.Describe(Workload.Groups), found);
                }

                durable.CheckRecovered(wal);
                underWay = null;
                return wal;
            }
            catch (IOException e) when (IsSimulated(e))
            {
                Die(disk, ref random);
            }
        }
    }

    private static bool IsSimulated(IOException e) => e is PowerOffException || e.Message.StartsWith("Simulated failure", StringComparison.Ordinal);

    // Sometimes only the process dies: what it wrote is seen by the next one, and is lost if the power fails after that.
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
