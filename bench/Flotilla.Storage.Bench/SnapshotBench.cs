using System.Diagnostics;
using Flotilla.Raft;
using Flotilla.Storage.Disk;
using Flotilla.Storage.Snapshots;
using Flotilla.Wire.Log;

namespace Flotilla.Storage.Bench;

/// <summary>Writes, reads and transfers a snapshot of 130 MB, about what 1 M keys of 16 bytes with values of 100 make; and looks what that does to the log's syncs.</summary>
internal static class SnapshotBench
{
    private const int BlockBytes = 256 << 10;
    private const int Blocks = 130_000_000 / BlockBytes;
    private const int Rounds = 5;
    private static readonly GroupId Group = new(1);

    public static void Run(string root, TimeSpan duration)
    {
        var block = new byte[BlockBytes];
        new Random(1).NextBytes(block);
        Measure("snapshot of 130 MB, written, no disk", new NullDisk(), block);
        var disk = new FileDisk(Path.Combine(root, "snapshots"));
        var store = Measure("snapshot of 130 MB, written and synced", disk, block);
        var info = store.Latest(Group)!;
        Print("read and verified, page cache", info.Bytes, Repeat(() => Read(store, info)));

        var peer = SnapshotStore.Open(new FileDisk(Path.Combine(root, "peer")));
        Print("sent and received in 256 KiB, verified, synced", info.Bytes, Repeat(() =>
        {
            Transfer(store, peer, info);
            peer = Emptied(root);
        }));
        BesideTheLog(root, duration, block);
    }

    private static SnapshotStore Measure(string name, IDisk disk, byte[] block)
    {
        var store = SnapshotStore.Open(disk);
        ulong index = 0;
        SnapshotInfo? info = null;
        var allocated = GC.GetAllocatedBytesForCurrentThread();
        var times = Repeat(() =>
        {
            info = Write(store, ++index, block);
            store.Retire(Group);
        });
        allocated = (GC.GetAllocatedBytesForCurrentThread() - allocated) / Rounds;
        Print(name, info!.Bytes, times, $", {allocated / 1024:N0} KiB allocated");
        return store;
    }

    private static SnapshotInfo Write(SnapshotStore store, ulong index, byte[] block)
    {
        using var writer = store.Create(Group, new LogIndex(index), new Term(1));
        for (var i = 0; i < Blocks; i++)
        {
            writer.Append(block);
        }

        return writer.Complete();
    }

    private static void Read(SnapshotStore store, SnapshotInfo info)
    {
        using var reader = store.OpenRead(info);
        while (reader.TryRead(out _))
        {
        }
    }

    private static void Transfer(SnapshotStore from, SnapshotStore to, SnapshotInfo info)
    {
        var chunk = new byte[BlockBytes];
        using var source = from.OpenSource(info);
        using var receiver = to.BeginReceive(info.Group, info.Index, info.Term, info.Id, info.Bytes);
        while (!receiver.IsWhole)
        {
            var read = chunk.AsSpan(0, source.Read(receiver.NextOffset, chunk));
            _ = receiver.Write(receiver.NextOffset, read, Crc32C.Compute(0, read));
        }

        _ = receiver.Complete();
    }

    // The same snapshot is not received twice by one store, so each round has one of its own.
    private static SnapshotStore Emptied(string root)
    {
        var path = Path.Combine(root, "peer");
        Directory.Delete(path, recursive: true);
        return SnapshotStore.Open(new FileDisk(path));
    }

    private static void BesideTheLog(string root, TimeSpan duration, byte[] block)
    {
        using var wal = Wal.Open(new FileDisk(Path.Combine(root, "beside")), new WalOptions());
        wal.PrepareSpare();
        var entry = new byte[150];
        ulong next = 1;
        void Append()
        {
            wal.Append(Group, new Effect.Persist(default, null, null, [new Entry(new LogIndex(next++), new Term(1), EntryKind.Command, entry)], MustSync: true));
            wal.Sync();
        }

        Console.WriteLine($"{"log, 1 entry per batch, alone",-46}{Latencies.Measure(duration, Append)}");
        WithSnapshots("the same, a snapshot at 32 MB/s beside", root, 32_000_000, block, () => Latencies.Measure(duration, Append));
        WithSnapshots("the same, a snapshot at full speed beside", root, long.MaxValue, block, () => Latencies.Measure(duration, Append));
    }

    private static void WithSnapshots(string name, string root, long bytesPerSecond, byte[] block, Func<Latencies> measure)
    {
        var store = SnapshotStore.Open(new FileDisk(Path.Combine(root, "snapshots")));
        var stop = false;
        ulong index = 1000;
        var snapshots = new Thread(() =>
        {
            while (!Volatile.Read(ref stop))
            {
                using var writer = store.Create(Group, new LogIndex(++index), new Term(1));
                var watch = Stopwatch.StartNew();
                for (var i = 0; i < Blocks && !Volatile.Read(ref stop); i++)
                {
                    writer.Append(block);
                    var ahead = ((double)writer.Bytes / bytesPerSecond) - watch.Elapsed.TotalSeconds;
                    if (ahead > 0.001)
                    {
                        Thread.Sleep(TimeSpan.FromSeconds(ahead));
                    }
                }

                _ = writer.Complete();
                store.Retire(Group);
            }
        });
        snapshots.Start();
        Console.WriteLine($"{name,-46}{measure()}");
        Volatile.Write(ref stop, true);
        snapshots.Join();
    }

    private static double[] Repeat(Action action)
    {
        var times = new double[Rounds];
        for (var i = 0; i < Rounds; i++)
        {
            var watch = Stopwatch.StartNew();
            action();
            times[i] = watch.Elapsed.TotalMilliseconds;
        }

        Array.Sort(times);
        return times;
    }

    private static void Print(string name, long bytes, double[] times, string more = "") =>
        Console.WriteLine($"{name,-46}{times[Rounds / 2],10:N0} ms   {bytes / 1000 / times[Rounds / 2],8:N0} MB/s, median of {Rounds} ({times[0]:N0} to {times[^1]:N0} ms){more}");
}
