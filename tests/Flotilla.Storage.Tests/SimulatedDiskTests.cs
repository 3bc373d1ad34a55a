using Flotilla.Storage.Disk;
using Flotilla.Testing;

namespace Flotilla.Storage.Tests;

/// <summary>The simulated disk must really do the harm that it promises, or the tests on it prove nothing.</summary>
public sealed class SimulatedDiskTests
{
    [Fact]
    public void What_is_synced_survives_every_crash()
    {
        for (ulong seed = 0; seed < 200; seed++)
        {
            var disk = Written(synced: true, named: true);
            disk.Crash(seed);
            Assert.Equal(Enumerable.Repeat((byte)1, 2048), disk.Content("a"));
        }
    }

    [Fact]
    public void Unsynced_bytes_are_lost_kept_or_torn_by_the_sector()
    {
        var seen = new HashSet<string>(StringComparer.Ordinal);
        for (ulong seed = 0; seed < 400; seed++)
        {
            var disk = Written(synced: true, named: true);
            using var file = disk.Open("a");
            file.Write(100, Enumerable.Repeat((byte)2, 1600).ToArray());
            file.Write(600, Enumerable.Repeat((byte)3, 100).ToArray());
            disk.Crash(seed);
            var content = disk.Content("a");
            for (var sector = 0; sector < 4; sector++)
            {
                // A sector is of one time: before, after the first write, or after both.
                Assert.True(content.AsSpan(sector * 512, 512).ToArray().Distinct().Count() <= 3);
            }

            Assert.Equal(1, content[0]);
            _ = seen.Add($"{content[200]}{content[550]}{content[650]}{content[1200]}{content[1600]}");
        }

        Assert.Contains("11111", seen);
        Assert.Contains("22322", seen);
        Assert.Contains("12322", seen);
        Assert.Contains("21111", seen);
        Assert.Contains("22222", seen);
        Assert.True(seen.Count >= 16, string.Join(' ', seen));
    }

    [Fact]
    public void An_unsynced_name_may_be_lost_with_all_its_bytes()
    {
        var outcomes = Enumerable.Range(0, 100).Select(seed =>
        {
            var disk = Written(synced: true, named: false);
            disk.Crash((ulong)seed);
            return disk.List().Count;
        }).ToHashSet();
        Assert.Equal([0, 1], outcomes.Order());
    }

    [Fact]
    public void An_unsynced_rename_or_deletion_may_come_back()
    {
        var outcomes = Enumerable.Range(0, 200).Select(seed =>
        {
            var disk = Written(synced: true, named: true);
            disk.Rename("a", "b");
            disk.Delete("b");
            disk.Crash((ulong)seed);
            return string.Join(',', disk.List());
        }).ToHashSet(StringComparer.Ordinal);
        Assert.Equal("|a|b", string.Join("|", outcomes.Order(StringComparer.Ordinal)));
    }

    [Fact]
    public void A_file_that_grew_without_a_sync_may_end_anywhere_and_hold_zeros()
    {
        var lengths = new HashSet<int>();
        for (ulong seed = 0; seed < 300; seed++)
        {
            var disk = Written(synced: true, named: true);
            using var file = disk.Open("a");
            file.Write(2048, Enumerable.Repeat((byte)4, 1024).ToArray());
            disk.Crash(seed);
            var content = disk.Content("a");
            _ = lengths.Add(content.Length);
            Assert.InRange(content.Length, 2048, 3072);
            Assert.True(content.Skip(2048).All(static b => b is 0 or 4));
        }

        Assert.True(lengths.Count > 10);
    }

    [Fact]
    [Trait("Hazard", "9")]
    public void After_a_failed_sync_the_next_one_succeeds_and_the_bytes_are_gone_all_the_same()
    {
        var disk = Written(synced: true, named: true);
        using var file = disk.Open("a");
        file.Write(0, [9]);
        disk.Fail(DiskOperation.Sync);
        _ = Assert.Throws<IOException>(file.Sync);
        file.Sync();
        Assert.Equal(9, disk.Content("a")[0]);
        disk.Crash(1);
        Assert.Equal(1, disk.Content("a")[0]);
    }

    [Fact]
    public void The_same_seed_does_the_same_harm()
    {
        for (ulong seed = 0; seed < 20; seed++)
        {
            var contents = new byte[2][];
            for (var i = 0; i < 2; i++)
            {
                var disk = Written(synced: false, named: true);
                disk.Crash(seed);
                contents[i] = disk.Content("a");
            }

            Assert.Equal(contents[0], contents[1]);
        }
    }

    [Fact]
    public void Without_power_nothing_works_and_old_handles_stay_dead()
    {
        var disk = Written(synced: true, named: true);
        var file = disk.Open("a");
        disk.PowerOffAfter(1);
        file.Write(0, [5]);
        _ = Assert.Throws<PowerOffException>(file.Sync);
        _ = Assert.Throws<PowerOffException>(() => file.Read(0, new byte[1]));
        _ = Assert.Throws<PowerOffException>(() => disk.List());
        disk.Crash(3);
        _ = Assert.Throws<IOException>(() => file.Write(0, [5]));
        Assert.Single(disk.List());
    }

    [Fact]
    [Trait("Hazard", "16")]
    public void A_full_disk_tears_the_write_that_fills_it()
    {
        var disk = new SimulatedDisk { CapacityBytes = 1000 };
        using var file = disk.Open("a");
        file.Write(0, new byte[900]);
        Assert.Contains("No space left", Assert.Throws<IOException>(() => file.Write(900, new byte[200])).Message, StringComparison.Ordinal);
        Assert.Equal(1000, file.Length);
        Assert.Equal(0, disk.FreeBytes);
        file.Write(0, new byte[900]);
    }

    private static SimulatedDisk Written(bool synced, bool named)
    {
        var disk = new SimulatedDisk();
        using IDiskFile file = disk.Open("a");
        if (named)
        {
            disk.SyncDirectory();
        }

        file.Write(0, Enumerable.Repeat((byte)1, 2048).ToArray());
        if (synced)
        {
            file.Sync();
        }

        return disk;
    }
}
