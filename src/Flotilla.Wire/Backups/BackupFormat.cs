using System.Buffers.Binary;

namespace Flotilla.Wire.Backups;

/// <summary>What a backup is made of (docs/backup.md). Explicit and append-only: backups are kept for years.</summary>
public static class BackupFormat
{
    /// <summary>
    /// The format that is written. In format 1 each shard was there once, so that slots which moved meanwhile could be missing or there twice. In
    /// format 2 there may be several images of one shard, and together they have every slot.
    /// </summary>
    public const ushort Version = 2;

    /// <summary>A frame without its content: kind, length and checksum.</summary>
    public const int FrameOverheadBytes = 1 + sizeof(uint) + sizeof(uint);

    /// <summary>No content is longer.</summary>
    public const int MaxContentBytes = 256 << 10;

    /// <summary>What every file begins with.</summary>
    public static ReadOnlySpan<byte> Magic => "FLBACKUP"u8;
}

/// <summary>What a frame holds.</summary>
public enum BackupFrameKind : byte
{
    /// <summary>A <see cref="BackupHead"/>: the first frame of a file.</summary>
    Head = 1,

    /// <summary>A <see cref="BackupShard"/>: the blocks of a shard follow.</summary>
    Shard = 2,

    /// <summary>A block of a shard's state image.</summary>
    Block = 3,

    /// <summary>A <see cref="BackupShardEnd"/>: the shard is complete.</summary>
    ShardEnd = 4,

    /// <summary>A <see cref="BackupFoot"/>: the file is complete.</summary>
    Foot = 5,
}

/// <summary>Where a backup came from.</summary>
/// <param name="ClusterId">The cluster.</param>
/// <param name="BegunAtMs">When it was begun, in milliseconds since the Unix epoch, by the clock of whoever wrote it.</param>
/// <param name="Shards">How many shards the cluster had when it was begun; in format 1 so many follow.</param>
public readonly record struct BackupHead(ulong ClusterId, long BegunAtMs, int Shards)
{
    /// <summary>The format of the file.</summary>
    public ushort Format { get; init; } = BackupFormat.Version;

    /// <summary>Its content: format, cluster, time, shards; little-endian.</summary>
    public byte[] Encode()
    {
        var to = new byte[22];
        BinaryPrimitives.WriteUInt16LittleEndian(to, Format);
        BinaryPrimitives.WriteUInt64LittleEndian(to.AsSpan(2), ClusterId);
        BinaryPrimitives.WriteInt64LittleEndian(to.AsSpan(10), BegunAtMs);
        BinaryPrimitives.WriteInt32LittleEndian(to.AsSpan(18), Shards);
        return to;
    }

    /// <summary>Reads what <see cref="Encode"/> wrote.</summary>
    /// <exception cref="BackupDamagedException">It is none, or of another format.</exception>
    public static BackupHead Decode(in BackupFrame frame)
    {
        var content = frame.Content.Span;
        frame.Require(content.Length >= 2, "the head has no format");
        var format = BinaryPrimitives.ReadUInt16LittleEndian(content);
        frame.Require(format is > 0 and <= BackupFormat.Version, $"the format is {format}, and this program knows 1 to {BackupFormat.Version}: use a newer one");
        frame.Require(content.Length == 22, "the head has not its length");
        var head = new BackupHead(BinaryPrimitives.ReadUInt64LittleEndian(content[2..]), BinaryPrimitives.ReadInt64LittleEndian(content[10..]), BinaryPrimitives.ReadInt32LittleEndian(content[18..])) { Format = format };
        frame.Require(head.Shards > 0 && head.BegunAtMs >= 0, "the head makes no sense");
        return head;
    }
}

/// <summary>Whose blocks follow.</summary>
/// <param name="ClusterId">The cluster.</param>
/// <param name="Shard">The shard's number.</param>
public readonly record struct BackupShard(ulong ClusterId, int Shard)
{
    /// <summary>Its content: cluster, shard; little-endian.</summary>
    public byte[] Encode()
    {
        var to = new byte[12];
        BinaryPrimitives.WriteUInt64LittleEndian(to, ClusterId);
        BinaryPrimitives.WriteInt32LittleEndian(to.AsSpan(8), Shard);
        return to;
    }

    /// <summary>Reads what <see cref="Encode"/> wrote.</summary>
    /// <exception cref="BackupDamagedException">It is none.</exception>
    public static BackupShard Decode(in BackupFrame frame)
    {
        var content = frame.Content.Span;
        frame.Require(content.Length == 12, "the head of a shard has not its length");
        return new BackupShard(BinaryPrimitives.ReadUInt64LittleEndian(content), BinaryPrimitives.ReadInt32LittleEndian(content[8..]));
    }
}

/// <summary>What a shard came to.</summary>
/// <param name="Blocks">How many blocks there were.</param>
/// <param name="Records">How many records are in them.</param>
public readonly record struct BackupShardEnd(long Blocks, long Records)
{
    /// <summary>Its content: blocks, records; little-endian.</summary>
    public byte[] Encode()
    {
        var to = new byte[16];
        BinaryPrimitives.WriteInt64LittleEndian(to, Blocks);
        BinaryPrimitives.WriteInt64LittleEndian(to.AsSpan(8), Records);
        return to;
    }

    /// <summary>Reads what <see cref="Encode"/> wrote.</summary>
    /// <exception cref="BackupDamagedException">It is none.</exception>
    public static BackupShardEnd Decode(in BackupFrame frame)
    {
        var content = frame.Content.Span;
        frame.Require(content.Length == 16, "the end of a shard has not its length");
        return new BackupShardEnd(BinaryPrimitives.ReadInt64LittleEndian(content), BinaryPrimitives.ReadInt64LittleEndian(content[8..]));
    }
}

/// <summary>What a file came to.</summary>
/// <param name="Shards">How many images of shards there are.</param>
/// <param name="Blocks">How many blocks in all of them.</param>
/// <param name="Records">How many records, those included that do not count.</param>
/// <param name="Bytes">How many bytes of the file are before this frame.</param>
public readonly record struct BackupFoot(int Shards, long Blocks, long Records, long Bytes)
{
    /// <summary>Its content: shards, blocks, records, bytes; little-endian.</summary>
    public byte[] Encode()
    {
        var to = new byte[28];
        BinaryPrimitives.WriteInt32LittleEndian(to, Shards);
        BinaryPrimitives.WriteInt64LittleEndian(to.AsSpan(4), Blocks);
        BinaryPrimitives.WriteInt64LittleEndian(to.AsSpan(12), Records);
        BinaryPrimitives.WriteInt64LittleEndian(to.AsSpan(20), Bytes);
        return to;
    }

    /// <summary>Reads what <see cref="Encode"/> wrote.</summary>
    /// <exception cref="BackupDamagedException">It is none.</exception>
    public static BackupFoot Decode(in BackupFrame frame)
    {
        var content = frame.Content.Span;
        frame.Require(content.Length == 28, "the foot has not its length");
        return new BackupFoot(
            BinaryPrimitives.ReadInt32LittleEndian(content), BinaryPrimitives.ReadInt64LittleEndian(content[4..]),
            BinaryPrimitives.ReadInt64LittleEndian(content[12..]), BinaryPrimitives.ReadInt64LittleEndian(content[20..]));
    }
}
