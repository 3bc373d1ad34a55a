using System.Buffers;
using System.Text;
using Flotilla.Cli.Backup;
using Flotilla.Cli.Tests.Fakes;
using Flotilla.Data;
using Flotilla.Raft;
using Flotilla.Shards;
using Flotilla.Shards.Image;
using Flotilla.Topology;
using Flotilla.Wire.Backups;

namespace Flotilla.Cli.Tests.Backups;

/// <summary>Backups made without a cluster, and what is in them.</summary>
internal static class Samples
{
    public const ulong ClusterId = 0x1234;

    public static byte[] Bytes(string text) => Encoding.UTF8.GetBytes(text);

    public static Command Put(string key, string value, long ttlMs = 0) => Command.Put(Bytes(key), Bytes(value)) with { TtlMs = ttlMs };

    /// <summary>A backup of shards that have executed these commands at this log time, and own the slots of their keys; the first owns all others too. Returns the file.</summary>
    public static string Write(long logTimeMs, params Command[][] shards)
    {
        var later = SlotSet.Of(shards.Skip(1).SelectMany(static commands => commands).Select(static command => Slot.Of(command.Key.Span)));
        var path = Path.Combine(Terminal.TempDir(), "b");
        using var file = BackupFile.Create(path, new BackupHead(ClusterId, 1_700_000_000_000, shards.Length));
        for (var i = 0; i < shards.Length; i++)
        {
            file.Begin(new BackupShard(ClusterId, i + 1));
            var image = ImageOf(logTimeMs, i == 0 ? SlotSet.All.Except(later) : SlotSet.Of(shards[i].Select(static command => Slot.Of(command.Key.Span))), shards[i]);
            var blocks = Blocks(image);
            foreach (var block in blocks)
            {
                file.Add(block);
            }

            file.End(new BackupShardEnd(blocks.Count, image.Records.Count));
        }

        file.Complete();
        return path;
    }

    public static StateImage ImageOf(long logTimeMs, params Command[] commands) => ImageOf(logTimeMs, SlotSet.All, commands);

    public static StateImage ImageOf(long logTimeMs, SlotSet slots, params Command[] commands)
    {
        var machine = new StateMachine(new BTree(), [.. slots.Slots()]);
        machine.Apply(new Entry(new LogIndex(1), new Term(1), EntryKind.Command, CommandCodec.Encode(logTimeMs, commands)), null);
        return machine.TakeImage(default);
    }

    public static List<byte[]> Blocks(StateImage image)
    {
        var blocks = new List<byte[]>();
        var writer = new ImageWriter(image);
        var buffer = new ArrayBufferWriter<byte>(ImageWriter.MaxBlockBytes);
        while (writer.TryWrite(buffer))
        {
            blocks.Add(buffer.WrittenSpan.ToArray());
            buffer.ResetWrittenCount();
        }

        return blocks;
    }

    /// <summary>A shard's state as a node sends it.</summary>
    public static byte[] Sent(int shard, StateImage image)
    {
        var frames = new BackupFrameWriter();
        var to = new ArrayBufferWriter<byte>();
        frames.Write(to, BackupFrameKind.Shard, new BackupShard(ClusterId, shard).Encode());
        var blocks = Blocks(image);
        foreach (var block in blocks)
        {
            frames.Write(to, BackupFrameKind.Block, block);
        }

        frames.Write(to, BackupFrameKind.ShardEnd, new BackupShardEnd(blocks.Count, image.Records.Count).Encode());
        return to.WrittenSpan.ToArray();
    }

    /// <summary>Reads a backup whole.</summary>
    public static async Task<(BackupSummary Summary, SortedDictionary<string, (string Value, long ExpiresAtMs)> Records)> ReadAsync(Stream stream)
    {
        var records = new SortedDictionary<string, (string, long)>(StringComparer.Ordinal);
        using var copy = new MemoryStream();
        await stream.CopyToAsync(copy, TestContext.Current.CancellationToken);
        using var check = new BackupReader("b", new MemoryStream(copy.ToArray()));
        var summary = await check.ReadAsync(null, null, null, null, TestContext.Current.CancellationToken);
        using var reader = new BackupReader("b", new MemoryStream(copy.ToArray()));
        await reader.ReadAsync(
            check.Cover, (key, value, _, expiresAtMs) => records.Add(Encoding.UTF8.GetString(key), (Encoding.UTF8.GetString(value), expiresAtMs)), null, null, TestContext.Current.CancellationToken);
        return (summary, records);
    }

    public static async Task<(BackupSummary Summary, SortedDictionary<string, (string Value, long ExpiresAtMs)> Records)> ReadAsync(string path)
    {
        await using var file = File.OpenRead(path);
        return await ReadAsync(file);
    }
}
