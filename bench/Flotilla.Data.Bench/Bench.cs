using System.Diagnostics;

namespace Flotilla.Data.Bench;

/// <summary>One figure.</summary>
internal readonly record struct Figure(string Name, string Unit, double Value, bool HigherIsBetter);

/// <summary>
/// All times but those of snapshots and pauses are processor time of the whole process, the collector's threads included, so that figures
/// hold on a machine that has other things to do.
/// </summary>
internal static class Bench
{
    private static TimeSpan CpuTime => Environment.CpuUsage.TotalTime;

    /// <summary>Fills, reads, overwrites, scans and empties a store.</summary>
    public static IReadOnlyList<Figure> Run(IStore store, Data data)
    {
        var records = data.Keys.Length;
        var figures = new List<Figure>();
        var heap = GC.GetTotalMemory(forceFullCollection: true);
        var (allocated, pause) = (GC.GetTotalAllocatedBytes(precise: true), GC.GetTotalPauseDuration());
        Rate("insert, random order", () =>
        {
            for (var i = 0; i < records; i++)
            {
                store.Put(data.Keys[i], data.Value, new Version(1, 0, (ulong)i + 1, 0));
            }
        });
        figures.Add(new("  allocated per insert", "bytes", (GC.GetTotalAllocatedBytes(precise: true) - allocated) / (double)records, false));
        figures.Add(new("  paused for collection, all", "ms", (GC.GetTotalPauseDuration() - pause).TotalMilliseconds, false));
        var grown = GC.GetTotalMemory(forceFullCollection: true) - heap;
        figures.Add(new("  overhead", "bytes/record", (grown / (double)records) - data.Keys[0].Length - data.Value.Length, false));

        Rate("get, random order", () =>
        {
            foreach (var i in data.Order)
            {
                if (!store.TryGet(data.Keys[i], out var record) || record.Version.Counter != (ulong)i + 1)
                {
                    throw new InvalidOperationException("A record is missing.");
                }
            }
        });
        Rate("scan, in key order", () => GC.KeepAlive(store.Scan()));
        Rate("overwrite, same length", () =>
        {
            foreach (var i in data.Order)
            {
                store.Put(data.Keys[i], data.Value, new Version(1, 0, (ulong)(records + i), 0));
            }
        });
        Rate("overwrite, any length to 200", () =>
        {
            Span<byte> value = stackalloc byte[200];
            foreach (var i in data.Order)
            {
                store.Put(data.Keys[i], value[..(i * 31 % 200)], new Version(1, 0, (ulong)(records + i), 0));
            }
        });
        var full = GC.GetTotalMemory(forceFullCollection: true);
        var start = CpuTime;
        GC.Collect(2, GCCollectionMode.Forced, blocking: true);
        figures.Add(new("full collection", "ms", (CpuTime - start).TotalMilliseconds, false));
        GC.KeepAlive(full);
        Rate("remove, random order", () =>
        {
            foreach (var i in data.Order)
            {
                store.Remove(data.Keys[i]);
            }
        });
        if (store.Count != 0)
        {
            throw new InvalidOperationException("Something is left.");
        }

        return figures;

        void Rate(string name, Action work)
        {
            GC.Collect();
            var began = CpuTime;
            work();
            figures.Add(new(name, "1,000/s", records / (CpuTime - began).TotalMilliseconds, true));
        }
    }

    /// <summary>Builds a tree from records in order, as a restart from a snapshot does.</summary>
    public static void Load(Data data)
    {
        var keys = (byte[][])data.Keys.Clone();
        Array.Sort(keys, (a, b) => a.AsSpan().SequenceCompareTo(b));
        var heap = GC.GetTotalMemory(forceFullCollection: true);
        var start = CpuTime;
        var loader = new BTreeLoader();
        foreach (var key in keys)
        {
            loader.Add(key, data.Value, new Version(1, 0, 1, 0), 0);
        }

        var tree = loader.Finish();
        var time = CpuTime - start;
        var overhead = ((GC.GetTotalMemory(forceFullCollection: true) - heap) / (double)keys.Length) - keys[0].Length - data.Value.Length;
        Console.WriteLine($"Load of {tree.Count:N0} sorted records: {time.TotalMilliseconds:N0} ms, {overhead:N1} bytes of overhead per record.");
        GC.KeepAlive(tree);
    }

    /// <summary>What a snapshot costs the tree: itself, and the copies that the writes after it make.</summary>
    public static void Snapshots(Data data, bool print)
    {
        const int Puts = 10_000;
        const int Rounds = 7;
        var store = new TreeStore();
        for (var i = 0; i < data.Keys.Length; i++)
        {
            store.Put(data.Keys[i], data.Value, new Version(1, 0, (ulong)i + 1, 0));
        }

        var snapshots = new TimeSpan[Rounds];
        var before = new (TimeSpan Time, long Bytes)[Rounds];
        var first = new (TimeSpan Time, long Bytes)[Rounds];
        var second = new (TimeSpan Time, long Bytes)[Rounds];
        for (var round = 0; round < Rounds; round++)
        {
            GC.Collect();
            before[round] = Overwrite(0);
            var start = Stopwatch.GetTimestamp();
            var snapshot = store.Tree.Snapshot();
            snapshots[round] = Stopwatch.GetElapsedTime(start);
            first[round] = Overwrite(1);
            second[round] = Overwrite(2);
            GC.KeepAlive(snapshot);

            // Everything is of this edit again before the next round.
            for (var i = 0; i < data.Keys.Length; i++)
            {
                store.Put(data.Keys[i], data.Value, new Version(1, 0, (ulong)i + 1, 0));
            }
        }

        if (print)
        {
            Array.Sort(snapshots);
            Console.WriteLine($"Snapshot of {data.Keys.Length:N0} records: {snapshots[Rounds / 2].TotalMicroseconds:N1} us (median of {Rounds}).");
            Print($"{Puts:N0} overwrites before it", before);
            Print($"the first {Puts:N0} after it", first);
            Print($"the second {Puts:N0} after it", second);
        }

        static void Print(string name, (TimeSpan Time, long Bytes)[] rounds)
        {
            Array.Sort(rounds);
            var (time, bytes) = rounds[Rounds / 2];
            Console.WriteLine($"  {name,-30}{time.TotalMilliseconds,8:N1} ms{bytes / Puts,10:N0} bytes copied each");
        }

        (TimeSpan Time, long Bytes) Overwrite(int part)
        {
            var start = CpuTime;
            var allocated = GC.GetAllocatedBytesForCurrentThread();
            for (var i = 0; i < Puts; i++)
            {
                store.Put(data.Keys[data.Order[((part * Puts) + i) % data.Order.Length]], data.Value, new Version(1, 0, (ulong)i + 1, 0));
            }

            return (CpuTime - start, GC.GetAllocatedBytesForCurrentThread() - allocated);
        }
    }
}
