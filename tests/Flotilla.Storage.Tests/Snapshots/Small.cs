using Flotilla.Raft;
using Flotilla.Storage.Disk;
using Flotilla.Storage.Snapshots;
using Flotilla.Wire.Log;

namespace Flotilla.Storage.Tests.Snapshots;

/// <summary>Small snapshots, and short ways to write, read and send them.</summary>
internal static class Small
{
    public static readonly GroupId G = new(0xfeed_0000_0000_0042);

    /// <summary>Blocks that are a function of the index, so that a snapshot can be told from another.</summary>
    public static byte[][] Blocks(ulong index, int count = 3, int bytes = 40)
    {
        var random = new SplitMix64(index);
        var blocks = new byte[count][];
        for (var i = 0; i < count; i++)
        {
            blocks[i] = new byte[1 + (bytes * i / Math.Max(1, count - 1))];
            foreach (ref var value in blocks[i].AsSpan())
            {
                value = (byte)random.Next();
            }
        }

        return blocks;
    }

    public static SnapshotStore Open(IDisk disk, ulong seed = 1) => SnapshotStore.Open(disk, new SnapshotOptions { IdSeed = seed });

    public static SnapshotInfo Write(SnapshotStore store, ulong index, byte[][]? blocks = null, ulong term = 3, GroupId? group = null)
    {
        using var writer = store.Create(group ?? G, new LogIndex(index), new Term(term));
        foreach (var block in blocks ?? Blocks(index))
        {
            writer.Append(block);
        }

        return writer.Complete();
    }

    public static byte[][] Read(SnapshotStore store, SnapshotInfo info)
    {
        using var reader = store.OpenRead(info);
        return Read(reader);
    }

    public static byte[][] Read(SnapshotReader reader)
    {
        var blocks = new List<byte[]>();
        while (reader.TryRead(out var block))
        {
            blocks.Add(block.ToArray());
        }

        return [.. blocks];
    }

    public static void AssertHolds(SnapshotStore store, SnapshotInfo info, byte[][]? blocks = null) =>
        Assert.Equal(Text(blocks ?? Blocks(info.Index.Value)), Text(Read(store, info)));

    public static string Text(byte[][] blocks) => string.Join(' ', blocks.Select(Convert.ToHexString));

    public static SnapshotReceiver Receive(SnapshotStore store, SnapshotInfo info) =>
        store.BeginReceive(info.Group, info.Index, info.Term, info.Id, info.Bytes);

    /// <summary>Sends up to <paramref name="chunks"/> chunks from where the receiver is.</summary>
    public static void Send(SnapshotSource source, SnapshotReceiver receiver, int chunkBytes = 64, int chunks = int.MaxValue)
    {
        var chunk = new byte[chunkBytes];
        for (; chunks > 0 && !receiver.IsWhole; chunks--)
        {
            var read = chunk.AsSpan(0, source.Read(receiver.NextOffset, chunk));
            Assert.Equal(ChunkOutcome.Written, receiver.Write(receiver.NextOffset, read, Crc32C.Compute(0, read)));
        }
    }

    public static SnapshotInfo Transfer(SnapshotStore from, SnapshotStore to, SnapshotInfo info)
    {
        using var source = from.OpenSource(info);
        using var receiver = Receive(to, info);
        Send(source, receiver);
        return receiver.Complete();
    }
}
