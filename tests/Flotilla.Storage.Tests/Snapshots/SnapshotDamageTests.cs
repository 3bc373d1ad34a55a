using System.Buffers.Binary;
using Flotilla.Raft;
using Flotilla.Storage.Snapshots;
using Flotilla.Testing;
using Flotilla.Wire.Log;

namespace Flotilla.Storage.Tests.Snapshots;

/// <summary>Whatever happens to a snapshot's bytes, it is refused with file, offset and the next step, or reads back as it was written.</summary>
[Trait("Hazard", "25")]
public sealed class SnapshotDamageTests
{
    private readonly SimulatedDisk _disk = new();
    private readonly SnapshotInfo _info;
    private readonly byte[] _content;

    public SnapshotDamageTests()
    {
        _info = Small.Write(Small.Open(_disk), 7);
        _content = _disk.Content(_info.FileName);
    }

    [Fact]
    public void Every_flipped_bit_is_noticed()
    {
        for (var bit = 0; bit < _content.Length * 8; bit++)
        {
            var content = _content.ToArray();
            content[bit / 8] ^= (byte)(1 << (bit % 8));
            AssertRefused(content, $"bit {bit}");
        }
    }

    [Fact]
    public void A_file_cut_at_any_byte_is_noticed_already_at_the_start()
    {
        for (var length = 0; length < _content.Length; length++)
        {
            var disk = With(_content[..length]);
            var e = Assert.Throws<SnapshotCorruptException>(() => Small.Open(disk));
            AssertTellsWhatToDo(e, $"cut at {length}");
        }
    }

    [Fact]
    public void A_file_with_bytes_behind_its_end_or_with_zeros_from_any_byte_on_is_noticed()
    {
        AssertRefused([.. _content, 0], "a zero behind");
        AssertRefused([.. _content, .. _content], "itself behind");
        AssertRefused([.. _content, .. _content.AsSpan(_content.Length - SnapshotFormat.FooterBytes)], "a second footer behind");
        for (var from = 0; from < _content.Length; from++)
        {
            var content = _content.ToArray();
            content.AsSpan(from).Clear();
            if (!content.AsSpan().SequenceEqual(_content))
            {
                AssertRefused(content, $"zeros from {from}");
            }
        }
    }

    [Fact]
    public void Blocks_in_another_order_left_out_or_from_another_file_are_noticed()
    {
        byte[] a = [1, 2, 3], b = [4, 5, 6];
        var disk = new SimulatedDisk();
        var store = Small.Open(disk);
        var info = Small.Write(store, 7, [a, b, a]);
        var other = Small.Write(store, 7, [b, a, b]);
        var (content, foreign) = (disk.Content(info.FileName), disk.Content(other.FileName));
        const int block = SnapshotFormat.BlockHeadBytes + 3;
        Range At(int i) => (SnapshotFormat.HeaderBytes + (i * block))..(SnapshotFormat.HeaderBytes + ((i + 1) * block));
        var rest = content[(SnapshotFormat.HeaderBytes + (3 * block))..];
        var header = content[..SnapshotFormat.HeaderBytes];

        void Refused(byte[] bytes) => AssertRefused(bytes, info, "blocks moved");
        Refused([.. header, .. content[At(1)], .. content[At(0)], .. content[At(2)], .. rest]);
        Refused([.. header, .. content[At(2)], .. content[At(1)], .. content[At(0)], .. rest]);
        Refused([.. header, .. content[At(0)], .. content[At(1)], .. rest]);
        Refused([.. header, .. content[At(0)], .. content[At(1)], .. content[At(2)], .. content[At(2)], .. rest]);
        Refused([.. header, .. foreign[SnapshotFormat.HeaderBytes..]]);
        Refused([.. content[..^SnapshotFormat.FooterBytes], .. foreign[^SnapshotFormat.FooterBytes..]]);
        for (var i = 0; i < 3; i++)
        {
            // The same bytes in the same place, but of a file with another id.
            var moved = content.ToArray();
            foreign[At(i)].CopyTo(moved.AsSpan(At(i).Start.Value));
            Refused(moved);
        }
    }

    [Fact]
    public void A_file_under_the_name_of_another_is_noticed()
    {
        foreach (var other in new[] { _info with { Group = new GroupId(1) }, _info with { Index = new LogIndex(8) }, _info with { Term = new Term(9) }, _info with { Id = 5 } })
        {
            var disk = new SimulatedDisk();
            disk.SetContent(other.FileName, _content);
            Assert.Contains("not what its name says", Assert.Throws<SnapshotCorruptException>(() => Small.Open(disk)).Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void An_unknown_version_is_refused_as_that_and_not_as_damage()
    {
        var content = _content.ToArray();
        BinaryPrimitives.WriteUInt32LittleEndian(content.AsSpan(8), 2);
        BinaryPrimitives.WriteUInt32LittleEndian(content.AsSpan(60), Crc32C.Compute(0, content.AsSpan(0, 60)));
        Assert.Contains("format 2", Assert.Throws<SnapshotFormatException>(() => Small.Open(With(content))).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_damaged_older_snapshot_harms_nothing_and_goes_with_the_next_retirement()
    {
        var store = Small.Open(_disk);
        var newer = Small.Write(store, 8);
        _disk.SetContent(_info.FileName, _content.AsSpan(0, 70));
        store = Small.Open(_disk);
        Assert.Equal(newer, store.Latest(Small.G));
        Small.AssertHolds(store, newer);
        store.Retire(Small.G);
        Assert.Equal([newer.FileName], _disk.List());
    }

    [Fact]
    public void Bytes_that_nobody_wrote_are_refused_and_nothing_else()
    {
        var random = new SplitMix64(5);
        for (var round = 0; round < 3000; round++)
        {
            var content = _content.ToArray();
            var from = (int)random.Below(content.Length);
            foreach (ref var value in content.AsSpan(from, (int)random.Below(content.Length - from + 1)))
            {
                value = (byte)random.Next();
            }

            if (!content.AsSpan().SequenceEqual(_content))
            {
                AssertRefused(content, $"round {round}");
            }
        }
    }

    /// <summary>Lengths that lie, under a block whose other bytes are as they were: nothing is allocated for them, and nothing else happens.</summary>
    [Fact]
    public void A_length_that_lies_is_refused()
    {
        foreach (var length in new[] { 0u, 1u, 2u, 4u << 20, (4u << 20) + 1, 0x7FFF_FFFFu, 0x8000_0000u, uint.MaxValue })
        {
            var content = _content.ToArray();
            BinaryPrimitives.WriteUInt32LittleEndian(content.AsSpan(SnapshotFormat.HeaderBytes), length);
            if (!content.AsSpan().SequenceEqual(_content))
            {
                AssertRefused(content, $"length {length}");
            }
        }
    }

    [Fact]
    public void The_bytes_of_the_format_are_these()
    {
        // Changing what is on disk must be meant: then raise SnapshotFormat.Version, and say in docs/snapshots.md how old files are read.
        var disk = new SimulatedDisk();
        var info = new SnapshotInfo(new GroupId(0x0102030405060708), new LogIndex(9), new Term(4), 0x1122334455667788, 0);
        var bytes = new byte[SnapshotFormat.HeaderBytes + SnapshotFormat.BlockHeadBytes + 5 + SnapshotFormat.FooterBytes];
        var checksum = SnapshotFormat.WriteHeader(bytes, info);
        checksum = SnapshotFormat.WriteBlockHead(bytes.AsSpan(64), "hello"u8, checksum);
        "hello"u8.CopyTo(bytes.AsSpan(72));
        SnapshotFormat.WriteFooter(bytes.AsSpan(77), 1, bytes.Length, checksum);
        Assert.Equal(
            "464C54534E500D0A010000000000000008070605040302010900000000000000"
            + "04000000000000008877665544332211000000000000000000000000A780DF60",
            Convert.ToHexString(bytes.AsSpan(0, 64)));
        Assert.Equal("050000001E38B33A68656C6C6F000000001E38B33A01000000000000006D0000000000000000000000AF11A3E8", Convert.ToHexString(bytes.AsSpan(64)));
        Assert.Equal("0102030405060708-00000000000000000009-00000000000000000004-1122334455667788.snap", info.FileName);
        disk.SetContent(info.FileName, bytes);
        Assert.Equal(["hello"u8.ToArray()], Small.Read(Small.Open(disk), info with { Bytes = bytes.Length }));
    }

    private SimulatedDisk With(byte[] content)
    {
        var disk = new SimulatedDisk();
        disk.SetContent(_info.FileName, content);
        return disk;
    }

    private void AssertRefused(byte[] content, string what) => AssertRefused(content, _info, what);

    private static void AssertRefused(byte[] content, SnapshotInfo info, string what)
    {
        var disk = new SimulatedDisk();
        disk.SetContent(info.FileName, content);
        try
        {
            var store = Small.Open(disk);
            _ = Small.Read(store, store.Latest(info.Group)!);
        }
        catch (SnapshotCorruptException e)
        {
            AssertTellsWhatToDo(e, what);
            return;
        }

        Assert.Fail($"{what}: nothing was noticed");
    }

    private static void AssertTellsWhatToDo(SnapshotCorruptException e, string what)
    {
        Assert.True(e.Message.Contains(".snap, offset ", StringComparison.Ordinal), $"{what}: {e.Message}");
        Assert.Contains("then start the node with an empty directory", e.Message, StringComparison.Ordinal);
    }
}
