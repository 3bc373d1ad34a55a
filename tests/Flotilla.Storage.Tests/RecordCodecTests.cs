using System.Text;
using Flotilla.Raft;
using Flotilla.Wire.Log;

namespace Flotilla.Storage.Tests;

public sealed class RecordCodecTests
{
    [Theory]
    [InlineData("", 0u)]
    [InlineData("123456789", 0xE3069283u)]
    [InlineData("The quick brown fox jumps over the lazy dog", 0x22620404u)]
    public void The_checksum_is_CRC32C(string text, uint expected) => Assert.Equal(expected, Crc32C.Compute(0, Encoding.ASCII.GetBytes(text)));

    [Fact]
    public void A_checksum_continues_where_it_was_cut()
    {
        var bytes = Encoding.ASCII.GetBytes("a batch's checksum is seeded with the one before it");
        for (var cut = 0; cut <= bytes.Length; cut++)
        {
            Assert.Equal(Crc32C.Compute(0, bytes), Crc32C.Compute(Crc32C.Compute(0, bytes.AsSpan(0, cut)), bytes.AsSpan(cut)));
        }
    }

    [Fact]
    public void Every_record_reads_back_as_it_was_written()
    {
        var batch = new BatchWriter();
        var group = new GroupId(ulong.MaxValue - 1);
        var entries = Workload.Entries(9, 4, 3, 17);
        Assert.Equal(3, batch.AddEntries(group, entries, 0, out var offset));
        Assert.Equal(BatchHeader.Bytes, offset);
        batch.AddHardState(group, new HardState(new Term(5), new NodeId("nö"), new LogIndex(7)));
        batch.AddHardState(group, default);
        batch.AddIdentity(group, new IdentityState(true, [new KnownPeer(new NodeId("a"), new Incarnation(3), true), new KnownPeer(new NodeId("bb"), new Incarnation(4), false)]));
        batch.AddReleased(group, new LogBase(new LogIndex(11), new Term(2)));
        batch.AddLast(group, new LogIndex(12), new Term(6));
        batch.AddOldest(13);
        batch.AddContinues(14, 15);
        batch.AddReset(group, new LogBase(new LogIndex(16), new Term(7)));
        batch.AddForgotten(group);
        var bytes = batch.Complete(BatchKind.Data, 77, 512, 99, out var checksum);

        Assert.True(BatchHeader.TryRead(bytes, out var header));
        Assert.Equal(new BatchHeader(BatchKind.Data, 10, 77, 512, (uint)bytes.Length, 99, checksum), header);
        var rest = bytes[BatchHeader.Bytes..];
        Assert.Equal(checksum, header.ComputeChecksum(rest, verify: true));

        var reader = Take(ref rest);
        Assert.True(reader.TryReadEntriesHead(out var id, out var first, out var term, out var count));
        Assert.Equal((group, new LogIndex(9), new Term(4), 3), (id, first, term, count));
        var cursor = reader.Entries;
        foreach (var entry in entries)
        {
            Assert.True(cursor.TryNext());
            Assert.Equal(entry.Kind, cursor.Kind);
            Assert.True(entry.Payload.Span.SequenceEqual(cursor.Payload));
        }

        Assert.False(cursor.TryNext());
        Assert.Equal(0, cursor.Left);

        Assert.True(Take(ref rest).TryReadHardState(out _, out var hard));
        Assert.Equal(new HardState(new Term(5), new NodeId("nö"), new LogIndex(7)), hard);
        Assert.True(Take(ref rest).TryReadHardState(out _, out hard));
        Assert.True(hard.VotedFor.IsNone);
        Assert.True(Take(ref rest).TryReadIdentity(out _, out var identity));
        Assert.True(identity.Admitted);
        Assert.Equal([new KnownPeer(new NodeId("a"), new Incarnation(3), true), new KnownPeer(new NodeId("bb"), new Incarnation(4), false)], identity.Known);
        Assert.True(Take(ref rest).TryReadReleased(out id, out var released));
        Assert.Equal((group, new LogBase(new LogIndex(11), new Term(2))), (id, released));
        Assert.True(Take(ref rest).TryReadLast(out id, out var last, out term));
        Assert.Equal((group, new LogIndex(12), new Term(6)), (id, last, term));
        Assert.True(Take(ref rest).TryReadOldest(out var oldest));
        Assert.Equal(13UL, oldest);
        Assert.True(Take(ref rest).TryReadContinues(out var sequence, out var generation));
        Assert.Equal((14UL, 15UL), (sequence, generation));
        Assert.True(Take(ref rest).TryReadReset(out id, out var to));
        Assert.Equal((group, new LogBase(new LogIndex(16), new Term(7))), (id, to));
        Assert.True(Take(ref rest).TryReadForgotten(out id));
        Assert.Equal(group, id);
        Assert.True(rest.IsEmpty);
    }

    [Fact]
    public void A_record_of_entries_ends_where_the_term_changes_or_it_grows_long()
    {
        var batch = new BatchWriter();
        Entry[] twoTerms = [.. Workload.Entries(1, 1, 2, 10), .. Workload.Entries(3, 2, 2, 10)];
        Assert.Equal(2, batch.AddEntries(new GroupId(1), twoTerms, 0, out _));
        Assert.Equal(2, batch.AddEntries(new GroupId(1), twoTerms, 2, out _));

        var many = Workload.Entries(5, 2, 100, 1000);
        Assert.InRange(batch.AddEntries(new GroupId(1), many, 0, out _), 20, 40);
        var large = Workload.Entries(5, 2, 2, 100_000);
        Assert.Equal(1, batch.AddEntries(new GroupId(1), large, 0, out _));
    }

    [Fact]
    public void The_bytes_of_the_format_are_these()
    {
        // Changing what is on disk must be meant: then raise SegmentHeader.FormatVersion, and say in docs/wal.md how old logs are read.
        var batch = new BatchWriter();
        _ = batch.AddEntries(new GroupId(0x0102030405060708), [new Entry(new LogIndex(9), new Term(4), EntryKind.Command, "hello"u8.ToArray())], 0, out _);
        batch.AddHardState(new GroupId(2), new HardState(new Term(5), new NodeId("n1"), new LogIndex(7)));
        var bytes = Convert.ToHexString(batch.Complete(BatchKind.Data, 0x1122334455667788, 512, 0xA1B2C3D4, out _));
        Assert.Equal(
            "9F4D908330000000010000000200000088776655443322110002000000000000"
            + "98000000D4C3B2A1045C7FDD00000000C4412795380000000200000001000000"
            + "080706050403020109000000000000000400000000000000010500000068656C"
            + "6C6F00000000000035E91BAD3000000003000000030000000200000000000000"
            + "050000000000000007000000000000006E31000000000000",
            bytes);

        var sector = new byte[SegmentHeader.Bytes];
        var checksum = new SegmentHeader(1, 2, 3 << 20, 4, 5, 6, 7).Write(sector);
        Assert.Equal("464C5457414C0D0A0100000000000000", Convert.ToHexString(sector.AsSpan(0, 16)));
        Assert.Equal(SegmentHeaderState.Valid, SegmentHeader.Read(sector, out var header, out var read, out _));
        Assert.Equal(new SegmentHeader(1, 2, 3 << 20, 4, 5, 6, 7), header);
        Assert.Equal(checksum, read);
    }

    private static RecordReader Take(ref ReadOnlySpan<byte> rest)
    {
        Assert.True(RecordHead.TryTake(ref rest, out var record));
        Assert.True(RecordHead.Verify(record));
        return new RecordReader(record);
    }
}
