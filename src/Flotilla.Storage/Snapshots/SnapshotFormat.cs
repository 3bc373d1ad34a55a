using System.Buffers.Binary;
using Flotilla.Raft;
using Flotilla.Wire.Log;

namespace Flotilla.Storage.Snapshots;

/// <summary>
/// The bytes of a snapshot file: a header, blocks, a footer. Each checksum continues the one before it, and the first
/// covers the file's random id: so no byte is without one, and a block fits nowhere but in its own place. Format: <c>docs/snapshots.md</c>.
/// </summary>
internal static class SnapshotFormat
{
    internal const uint Version = 1;

    internal const int HeaderBytes = 64;

    /// <summary>Length and checksum in front of each block.</summary>
    internal const int BlockHeadBytes = 8;

    internal const int FooterBytes = 32;

    /// <summary>The shortest file: one without blocks.</summary>
    internal const int MinFileBytes = HeaderBytes + FooterBytes;

    private const int ChecksumBytes = sizeof(uint);

    private static ReadOnlySpan<byte> Magic => "FLTSNP\r\n"u8;

    /// <summary>Writes the header, and returns its checksum, which the first block's continues.</summary>
    public static uint WriteHeader(Span<byte> to, SnapshotInfo info)
    {
        to = to[..HeaderBytes];
        to.Clear();
        Magic.CopyTo(to);
        BinaryPrimitives.WriteUInt32LittleEndian(to[8..], Version);
        BinaryPrimitives.WriteUInt64LittleEndian(to[16..], info.Group.Value);
        BinaryPrimitives.WriteUInt64LittleEndian(to[24..], info.Index.Value);
        BinaryPrimitives.WriteUInt64LittleEndian(to[32..], info.Term.Value);
        BinaryPrimitives.WriteUInt64LittleEndian(to[40..], info.Id);
        return Seal(to, 0);
    }

    /// <summary>Whether the bytes begin as a snapshot of any version does, and which version it is.</summary>
    public static bool TryReadVersion(ReadOnlySpan<byte> from, out uint version)
    {
        var ok = from.Length >= 12 && from[..8].SequenceEqual(Magic);
        version = ok ? BinaryPrimitives.ReadUInt32LittleEndian(from[8..]) : 0;
        return ok;
    }

    /// <summary>Whether a whole header fits its checksum: then an unknown version is one, and no damage.</summary>
    public static bool IsSealed(ReadOnlySpan<byte> header) => header.Length >= HeaderBytes && Verify(header[..HeaderBytes], 0, out _);

    /// <summary>Reads a header of <see cref="Version"/>. <paramref name="bytes"/> is what the file's length is.</summary>
    public static bool TryReadHeader(ReadOnlySpan<byte> from, long bytes, out SnapshotInfo info, out uint checksum)
    {
        info = new SnapshotInfo(default, default, default, 0, bytes);
        checksum = 0;
        if (from.Length < HeaderBytes || !TryReadVersion(from, out var version) || version != Version || !Verify(from = from[..HeaderBytes], 0, out checksum))
        {
            return false;
        }

        info = new SnapshotInfo(
            new GroupId(BinaryPrimitives.ReadUInt64LittleEndian(from[16..])),
            new LogIndex(BinaryPrimitives.ReadUInt64LittleEndian(from[24..])),
            new Term(BinaryPrimitives.ReadUInt64LittleEndian(from[32..])),
            BinaryPrimitives.ReadUInt64LittleEndian(from[40..]),
            bytes);
        return true;
    }

    /// <summary>Writes what stands in front of a block, and returns the block's checksum.</summary>
    public static uint WriteBlockHead(Span<byte> to, ReadOnlySpan<byte> block, uint previous)
    {
        BinaryPrimitives.WriteInt32LittleEndian(to, block.Length);
        var checksum = BlockChecksum(to, block, previous);
        BinaryPrimitives.WriteUInt32LittleEndian(to[4..], checksum);
        return checksum;
    }

    /// <summary>The checksum of a block whose length stands in the first four bytes of <paramref name="head"/>.</summary>
    public static uint BlockChecksum(ReadOnlySpan<byte> head, ReadOnlySpan<byte> block, uint previous) =>
        Crc32C.Compute(Crc32C.Compute(previous, head[..4]), block);

    /// <summary>Writes the footer. No block has the length 0 that it begins with.</summary>
    public static void WriteFooter(Span<byte> to, ulong blocks, long totalBytes, uint previous)
    {
        to = to[..FooterBytes];
        to.Clear();
        BinaryPrimitives.WriteUInt32LittleEndian(to[4..], previous);
        BinaryPrimitives.WriteUInt64LittleEndian(to[8..], blocks);
        BinaryPrimitives.WriteUInt64LittleEndian(to[16..], (ulong)totalBytes);
        _ = Seal(to, previous);
    }

    /// <summary>Reads a footer: sound in itself, and of a file of <paramref name="totalBytes"/>. What it continues it names in <paramref name="previous"/>.</summary>
    public static bool TryReadFooter(ReadOnlySpan<byte> from, long totalBytes, out ulong blocks, out uint previous)
    {
        blocks = 0;
        previous = 0;
        if (from.Length < FooterBytes)
        {
            return false;
        }

        from = from[..FooterBytes];
        previous = BinaryPrimitives.ReadUInt32LittleEndian(from[4..]);
        blocks = BinaryPrimitives.ReadUInt64LittleEndian(from[8..]);
        return BinaryPrimitives.ReadUInt32LittleEndian(from) == 0
            && BinaryPrimitives.ReadUInt64LittleEndian(from[16..]) == (ulong)totalBytes
            && Verify(from, previous, out _);
    }

    // The last four bytes hold the checksum of all before them.
    private static uint Seal(Span<byte> bytes, uint seed)
    {
        var checksum = Crc32C.Compute(seed, bytes[..^ChecksumBytes]);
        BinaryPrimitives.WriteUInt32LittleEndian(bytes[^ChecksumBytes..], checksum);
        return checksum;
    }

    private static bool Verify(ReadOnlySpan<byte> bytes, uint seed, out uint checksum)
    {
        checksum = Crc32C.Compute(seed, bytes[..^ChecksumBytes]);
        return checksum == BinaryPrimitives.ReadUInt32LittleEndian(bytes[^ChecksumBytes..]);
    }
}
