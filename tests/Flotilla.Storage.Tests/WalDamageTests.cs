using Flotilla.Raft;
using Flotilla.Testing;

namespace Flotilla.Storage.Tests;

/// <summary>Damage that no crash explains is refused (hazard 11); what a crash leaves behind is not (hazard 10).</summary>
[Trait("Hazard", "11")]
public sealed class WalDamageTests
{
    [Theory]
    [InlineData(7, false)]
    [InlineData(7, true)]
    [InlineData(20, false)]
    [InlineData(20, true)]
    public void A_flipped_bit_anywhere_loses_at_most_the_very_last_batch_of_a_log_that_was_not_closed(int batches, bool closed)
    {
        var log = SmallLog.Make(batches, closed);
        var refused = 0;
        var shorter = 0;
        foreach (var name in log.Disk.List())
        {
            var content = log.Disk.Content(name);
            for (var bit = 0; bit < content.Length * 8; bit++)
            {
                content[bit / 8] ^= (byte)(1 << (bit % 8));
                var disk = log.Disk.Copy();
                disk.SetContent(name, content);
                var state = log.Open(disk, $"{name} bit {bit}");
                content[bit / 8] ^= (byte)(1 << (bit % 8));
                if (state is null)
                {
                    refused++;
                }
                else if (state != batches)
                {
                    // Nothing on the disk says that the last batch was ever synced: it looks like a torn one.
                    Assert.Equal(batches - 1, state);
                    Assert.False(closed, $"{name} bit {bit}: a batch that the closing one vouches for was lost");
                    Assert.Equal(log.CurrentFile, name);
                    shorter++;
                }
            }
        }

        Assert.True(refused > 1000);
        Assert.Equal(closed, shorter == 0);
    }

    [Theory]
    [InlineData(7)]
    [InlineData(20)]
    public void A_file_cut_short_anywhere_is_refused(int batches)
    {
        var log = SmallLog.Make(batches, close: false);
        foreach (var name in log.Disk.List())
        {
            var content = log.Disk.Content(name);
            for (var length = 0; length < content.Length; length++)
            {
                var disk = log.Disk.Copy();
                disk.SetContent(name, content.AsSpan(0, length));
                Assert.Null(log.Open(disk, $"{name} cut at {length}"));
            }
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    [Trait("Hazard", "10")]
    public void Zeros_from_any_byte_on_leave_whole_batches_or_are_refused(bool recycled)
    {
        var log = SmallLog.Make(recycled ? 40 : 7, close: false, release: recycled);
        var states = new HashSet<int>();
        foreach (var name in log.Disk.List())
        {
            var content = log.Disk.Content(name);
            for (var from = content.Length - 1; from >= 0; from--)
            {
                content[from] = 0;
                var disk = log.Disk.Copy();
                disk.SetContent(name, content);
                if (log.Open(disk, $"{name} zero from {from}") is { } state)
                {
                    Assert.True(name == log.CurrentFile || state == log.States.Count - 1, $"{name} from {from}: another file than the newest lost batches");
                    _ = states.Add(state);
                }
            }
        }

        Assert.Contains(log.States.Count - 1, states);
        Assert.Contains(log.States.Count - 2, states);
    }

    [Fact]
    [Trait("Hazard", "10")]
    public void A_torn_tail_of_any_shape_starts_fine_and_the_log_goes_on()
    {
        // The last batch spans several sectors: any of them may be missing or old.
        for (var lost = 1; lost < 32; lost++)
        {
            var disk = new SimulatedDisk();
            var options = new WalOptions { SegmentBytes = 16 << 10, GenerationSeed = 5 };
            string before;
            var sectors = new List<byte[]>();
            var wal = Wal.Open(disk, options);
            wal.Append(Workload.Groups[0], Workload.Persist(Workload.Entries(1, 1, 3, 40)));
            wal.Sync();
            before = WalModel.Describe(wal, Workload.Groups);
            var name = disk.List()[0];
            var old = disk.Content(name);
            wal.Append(Workload.Groups[0], Workload.Persist(Workload.Entries(4, 1, 10, 220)));
            wal.Sync();
            var after = WalModel.Describe(wal, Workload.Groups);
            var content = disk.Content(name);
            var first = 0;
            while (old.AsSpan(first * 512, 512).SequenceEqual(content.AsSpan(first * 512, 512)))
            {
                first++;
            }

            for (var sector = 0; sector < 5; sector++)
            {
                if ((lost & (1 << sector)) != 0)
                {
                    old.AsSpan((first + sector) * 512, 512).CopyTo(content.AsSpan((first + sector) * 512));
                }
            }

            disk.SetContent(name, content);
            using (var recovered = Wal.Open(disk, options))
            {
                Assert.Equal(before, WalModel.Describe(recovered, Workload.Groups));

                // What is left of the batch is behind the old segment's end now, and never read again.
                Assert.Equal(content.AsSpan().SequenceEqual(old) ? 1 : 2, recovered.SegmentCount);
                recovered.Append(Workload.Groups[0], Workload.Persist(Workload.Entries(4, 1, 10, 220)));
                recovered.Sync();
                Assert.Equal(after, WalModel.Describe(recovered, Workload.Groups));
            }

            using var again = Wal.Open(disk, options);
            Assert.Equal(after, WalModel.Describe(again, Workload.Groups));
        }
    }

    [Fact]
    public void Damage_in_the_middle_names_file_and_offset_and_what_to_do()
    {
        var log = SmallLog.Make(5, close: false);
        var content = log.Disk.Content(log.CurrentFile);
        content[700] ^= 1;
        log.Disk.SetContent(log.CurrentFile, content);
        var e = Assert.Throws<WalCorruptException>(() => Wal.Open(log.Disk, SmallLog.Options));
        Assert.Matches($@"{log.CurrentFile}, offset \d+: the batch here is damaged: the one at offset \d+ says that everything below \d+ was durable", e.Message);
        Assert.Contains("start the node with an empty directory", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_missing_segment_is_refused_also_if_it_is_the_newest_or_the_only_one()
    {
        foreach (var batches in new[] { 5, 30 })
        {
            var log = SmallLog.Make(batches, close: false);
            foreach (var name in log.Disk.List())
            {
                var disk = log.Disk.Copy();
                disk.Remove(name);
                Assert.Null(log.Open(disk, $"without {name}"));
            }
        }
    }

    [Fact]
    public void A_flipped_bit_in_a_segment_just_begun_after_a_cut_is_refused_or_does_no_harm()
    {
        var log = SmallLog.Make(7, close: false);
        var torn = log.Disk.Content(log.CurrentFile);
        torn[torn.AsSpan().LastIndexOfAnyExcept((byte)0)] ^= 1;
        log.Disk.SetContent(log.CurrentFile, torn);
        _ = Wal.Open(log.Disk, SmallLog.Options);
        log.Disk.Kill();
        var begun = log.Disk.List()[^1];
        Assert.True(begun != log.CurrentFile);
        var content = log.Disk.Content(begun);
        var refused = 0;
        for (var bit = 0; bit < content.Length * 8; bit++)
        {
            content[bit / 8] ^= (byte)(1 << (bit % 8));
            var disk = log.Disk.Copy();
            disk.SetContent(begun, content);
            content[bit / 8] ^= (byte)(1 << (bit % 8));
            var state = log.Open(disk, $"bit {bit}");
            Assert.True(state is null or 6, $"bit {bit} led to state {state}");
            refused += state is null ? 1 : 0;
        }

        Assert.True(refused > 512 * 8);
    }

    [Fact]
    public void A_spare_or_recycled_file_may_go_missing()
    {
        var log = SmallLog.Make(84, close: true, release: true);
        var kept = 0;
        foreach (var name in log.Disk.List())
        {
            var disk = log.Disk.Copy();
            disk.Remove(name);
            if (log.Open(disk, $"without {name}") is { } state)
            {
                Assert.Equal(84, state);
                kept++;
            }
        }

        Assert.InRange(kept, 1, log.Disk.List().Count - 1);
    }

    [Fact]
    public void A_copied_segment_is_refused()
    {
        var log = SmallLog.Make(20, close: false);
        log.Disk.SetContent("00000077.wal", log.Disk.Content(log.Disk.List()[0]));
        var e = Assert.Throws<WalCorruptException>(() => Wal.Open(log.Disk, SmallLog.Options));
        Assert.Contains("a file was added or copied", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    [Trait("Hazard", "17")]
    public void A_segment_or_a_whole_log_of_another_data_directory_is_refused()
    {
        var mine = SmallLog.Make(20, close: false);
        var foreign = new SimulatedDisk();
        using (var wal = Wal.Open(foreign, new WalOptions { SegmentBytes = 2 << 10, Owner = 12345 }))
        {
            wal.Append(Workload.Groups[0], Workload.Persist(Workload.Entries(1, 1, 60, 80)));
            wal.Sync();
        }

        var both = mine.Disk.Copy();
        both.SetContent("00000099.wal", foreign.Content(foreign.List()[^1]));
        Assert.Contains("another data directory", Assert.Throws<WalCorruptException>(() => Wal.Open(both, SmallLog.Options)).Message, StringComparison.Ordinal);
        Assert.Contains("another data directory", Assert.Throws<WalCorruptException>(() => Wal.Open(foreign, SmallLog.Options with { Owner = 54321 })).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void An_older_state_of_one_segment_is_refused()
    {
        // A backup of a single file put back: every batch in it is sound, and yet it is not the log.
        var disk = new SimulatedDisk();
        var wal = Wal.Open(disk, SmallLog.Options with { MustExist = false });
        wal.Append(Workload.Groups[0], Workload.Persist(Workload.Entries(1, 1, 2, 40)));
        wal.Sync();
        var name = disk.List()[0];
        var backup = disk.Content(name);
        for (ulong i = 3; i < 40; i++)
        {
            wal.Append(Workload.Groups[0], Workload.Persist(Workload.Entries(i, 1, 1, 40)));
            wal.Sync();
        }

        disk.SetContent(name, backup);
        _ = Assert.Throws<WalCorruptException>(() => Wal.Open(disk, SmallLog.Options));
    }

    [Fact]
    [Trait("Hazard", "17")]
    public void A_log_that_must_exist_is_not_made_anew()
    {
        var e = Assert.Throws<WalCorruptException>(() => Wal.Open(new SimulatedDisk(), SmallLog.Options));
        Assert.Contains("holds no log, but this node has had one", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_format_of_another_version_is_refused_without_advice_to_rebuild()
    {
        var log = SmallLog.Make(3, close: false);
        var content = log.Disk.Content(log.CurrentFile);
        content[8] = 2;
        System.Buffers.Binary.BinaryPrimitives.WriteUInt32LittleEndian(content.AsSpan(508), Wire.Log.Crc32C.Compute(0, content.AsSpan(0, 508)));
        log.Disk.SetContent(log.CurrentFile, content);
        var e = Assert.Throws<WalFormatException>(() => Wal.Open(log.Disk, SmallLog.Options));
        Assert.Contains("format 2", e.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("move", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void An_entry_that_rots_while_the_node_runs_is_not_returned()
    {
        var log = SmallLog.Make(1, close: false);
        using var wal = Wal.Open(log.Disk, SmallLog.Options);
        var name = log.Disk.List()[0];
        var content = log.Disk.Content(name);
        var entries = WalModel.ReadAll(wal, Workload.Groups[0]);
        content[content.AsSpan().IndexOf(entries[0].Payload.Span) + 3] ^= 4;
        log.Disk.SetContent(name, content);
        var e = Assert.Throws<WalCorruptException>(() => wal.TryRead(Workload.Groups[0], new LogIndex(1), new LogIndex(1), 1000, []));
        Assert.Contains(name, e.Message, StringComparison.Ordinal);
    }
}
