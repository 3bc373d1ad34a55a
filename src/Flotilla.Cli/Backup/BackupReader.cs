using System.Globalization;
using Flotilla.Shards.ExactlyOnce;
using Flotilla.Shards.Image;
using Flotilla.Topology;
using Flotilla.Wire.Backups;
using Flotilla.Wire.Log;

namespace Flotilla.Cli.Backup;

/// <summary>What a backup holds.</summary>
/// <param name="File">Its name.</param>
/// <param name="ClusterId">The cluster that it came from.</param>
/// <param name="BegunAt">When it was begun, as ISO 8601 in UTC: every write acknowledged before is in it.</param>
/// <param name="Shards">How many shards the cluster had.</param>
/// <param name="Records">How many records, those among them that have expired since; what a later image replaces left out.</param>
/// <param name="Bytes">The file's length.</param>
/// <param name="Content">A digest of keys and values, which does not depend on shards.</param>
internal sealed record BackupSummary(string File, string ClusterId, string BegunAt, int Shards, long Records, long Bytes, string Content);

/// <summary>
/// Reads a backup from its beginning to its end and checks everything that can be checked: each frame, their order, their
/// counts, and that each shard's blocks are an image. Owns the file.
/// </summary>
internal sealed class BackupReader(string name, Stream file) : IDisposable
{
    private readonly ContentDigest _digest = new();
    private readonly HashSet<int> _shards = [];
    private BackupHead _head;
    private readonly SlotCover _cover = new();
    private long _blocks;
    private long _records;
    private long _all;
    private long _offset;

    /// <summary>Opens a file.</summary>
    /// <exception cref="IOException">There is none that can be read.</exception>
    public static BackupReader Open(string path)
    {
        try
        {
            return new BackupReader(path, new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete, 1 << 20, FileOptions.SequentialScan));
        }
        catch (Exception problem) when (problem is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new IOException($"there is no file {path}", problem);
        }
        catch (UnauthorizedAccessException problem)
        {
            throw new IOException($"{path} can't be read: it is a directory, or not ours to read", problem);
        }
    }

    /// <summary>The file's length.</summary>
    public long Bytes => file.Length;

    /// <summary>Records seen so far.</summary>
    public long Records => Volatile.Read(ref _records);

    /// <summary>Bytes read so far.</summary>
    public long Offset => Volatile.Read(ref _offset);

    /// <summary>Which image counts for each slot, once all is read.</summary>
    public SlotCover Cover => _cover;

    /// <summary>Reads it all.</summary>
    /// <param name="counting">By an earlier reading: which image counts for each slot. Null to check alone.</param>
    /// <param name="record">Is shown every record that counts; null to check alone.</param>
    /// <param name="key">Is shown every idempotency key that counts, those of a shard before its records; null for nobody.</param>
    /// <param name="afterBlock">Called after each block, when what is in it has been shown.</param>
    /// <param name="cancel">Ends it.</param>
    /// <exception cref="BackupDamagedException">It is no whole backup. Records may have been shown.</exception>
    public async Task<BackupSummary> ReadAsync(SlotCover? counting, ImageRecordHandler? record, Action<RestoredKey>? key, Func<ValueTask>? afterBlock, CancellationToken cancel)
    {
        var magic = new byte[BackupFormat.Magic.Length];
        var got = await file.ReadAtLeastAsync(magic, magic.Length, throwOnEndOfStream: false, cancel);
        if (!magic.AsSpan(0, got).SequenceEqual(BackupFormat.Magic[..got]))
        {
            throw new BackupDamagedException("it is no backup of Flotilla, or its beginning is damaged", 0);
        }

        if (got < magic.Length)
        {
            throw new BackupDamagedException("it is cut here", got);
        }

        var frames = new BackupFrameReader(file, Crc32C.Compute(0, magic), magic.Length);
        var frame = await NextAsync(frames, cancel);
        frame.Require(frame.Kind == BackupFrameKind.Head, "it does not begin with its head");
        _head = BackupHead.Decode(frame);
        while ((frame = await NextAsync(frames, cancel)).Kind != BackupFrameKind.Foot)
        {
            frame.Require(frame.Kind == BackupFrameKind.Shard, "the blocks of a shard, or the end, should follow");
            var shard = BackupShard.Decode(frame);
            frame.Require(shard.ClusterId == _head.ClusterId, "a shard is of another cluster");
            frame.Require(_shards.Add(shard.Shard) || _head.Format > 1, "a shard is there twice");
            var image = _cover.Images + 1;
            _cover.Begin();
            var blocks = new ShardBlocks(
                (name, value, version, expiresAtMs) =>
                {
                    var slot = Slot.Of(name);
                    _cover.Add(slot, _digest.Of(name, value));
                    Volatile.Write(ref _records, _records + 1);
                    if (counting?.ImageOf(slot) == image)
                    {
                        record?.Invoke(name, value, version, expiresAtMs);
                    }
                },
                known =>
                {
                    if (counting?.ImageOf(known.Slot) == image)
                    {
                        key?.Invoke(known);
                    }
                });
            while (!blocks.Take(frame = await NextAsync(frames, cancel)))
            {
                _blocks++;
                if (afterBlock is not null)
                {
                    await afterBlock();
                }
            }

            _cover.End(blocks.Owned, blocks.Frozen);
            _all += blocks.Records;
        }

        frame.Require(_head.Format > 1 || _shards.Count == _head.Shards, $"the head announced {_head.Shards} shards, and there are {_shards.Count}");
        frame.Require(BackupFoot.Decode(frame) == new BackupFoot(_cover.Images, _blocks, _all, frame.Offset), "the foot counts otherwise than what is there");
        frame.Require(_head.Format == 1 || _cover.Missing.IsEmpty, "not all slots are in it");
        if (await frames.ReadAsync(cancel) is { } more)
        {
            more.Require(false, "something follows its end");
        }

        return new BackupSummary(
            name, _head.ClusterId.ToString("x16", CultureInfo.InvariantCulture),
            DateTimeOffset.FromUnixTimeMilliseconds(Math.Min(_head.BegunAtMs, DateTimeOffset.MaxValue.ToUnixTimeMilliseconds())).ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'", CultureInfo.InvariantCulture),
            _shards.Count, _cover.Records, frames.Offset, ContentDigest.Show(_cover.Content));
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _digest.Dispose();
        file.Dispose();
    }

    private async ValueTask<BackupFrame> NextAsync(BackupFrameReader frames, CancellationToken cancel)
    {
        var frame = await frames.ReadAsync(cancel) ?? throw new BackupDamagedException("it is cut here", frames.Offset);
        Volatile.Write(ref _offset, frames.Offset);
        return frame;
    }
}

/// <summary>The blocks of one shard as they come, in a file or from a node.</summary>
internal sealed class ShardBlocks(ImageRecordHandler? record, Action<RestoredKey>? key = null)
{
    private readonly ImageReader _image = ImageReader.Passing(record, key);

    /// <summary>How many came.</summary>
    public long Blocks { get; private set; }

    /// <summary>How many records the image has, by its first block.</summary>
    public long Records => _image.RecordsAnnounced;

    /// <summary>What the shard owned, and what of that nobody served; once it is complete.</summary>
    public SlotEpochs Owned => _image.OwnedEpochs;

    /// <summary>See <see cref="Owned"/>.</summary>
    public SlotSet Frozen => _image.FrozenSlots;

    /// <summary>Takes the next frame. True if it was the shard's end.</summary>
    /// <exception cref="BackupDamagedException">It can't be the next one.</exception>
    public bool Take(in BackupFrame frame)
    {
        if (frame.Kind == BackupFrameKind.ShardEnd)
        {
            frame.Require(_image.IsComplete && BackupShardEnd.Decode(frame) == new BackupShardEnd(Blocks, Records), "the shard is not complete, or its end counts otherwise than what is there");
            return true;
        }

        frame.Require(frame.Kind == BackupFrameKind.Block && !_image.IsComplete, "it is not what should follow in a shard");
        try
        {
            _image.Read(frame.Content);
        }
        catch (MalformedImageException e)
        {
            throw new BackupDamagedException($"block {Blocks} of the shard is malformed: {e.What}", frame.Offset);
        }

        Blocks++;
        return false;
    }
}
