using System.Diagnostics;
using Flotilla.Raft;
using Flotilla.Storage;
using Flotilla.Storage.Bench;
using Flotilla.Storage.Disk;

// Measures the log and snapshots on a real directory; docs/wal.md and docs/snapshots.md quote what this prints.
// Usage: dotnet run -c Release --project bench/Flotilla.Storage.Bench -- DIRECTORY [SECONDS [log|snapshots]]
if (args.Length is 0 or > 3 || args is [_, _, not ("log" or "snapshots")])
{
    Console.Error.WriteLine("usage: Flotilla.Storage.Bench DIRECTORY [SECONDS [log|snapshots]]   (the directory must be on the disk to measure)");
    return 2;
}

var root = Path.Combine(Path.GetFullPath(args[0]), $"flotilla-bench-{Environment.ProcessId}");
var duration = TimeSpan.FromSeconds(args.Length > 1 ? double.Parse(args[1]) : 3);
var group = new GroupId(1);
var payload = Enumerable.Range(0, 150).Select(static i => (byte)i).ToArray();
try
{
    Console.WriteLine($"{Environment.ProcessorCount} cores, .NET {Environment.Version}, {duration.TotalSeconds:N0} s each, entries of 150 bytes, segments of 64 MiB");
    Console.WriteLine();
    if (args is not [_, _, "snapshots"])
    {
        Raw("one 256-byte write and sync, file that grows", 256, zeroed: false);
        Raw("the same, file of zeros", 256, zeroed: true);
        Raw("one 12 KiB write and sync, file that grows", 12 << 10, zeroed: false);
        Raw("the same, file of zeros", 12 << 10, zeroed: true);
        Log("log, 1 entry per batch", new FileDisk(Path.Combine(root, "one")), 1, prepare: true);
        Log("log, 64 entries per batch", new FileDisk(Path.Combine(root, "many")), 64, prepare: true);
        Log("the same, no spare prepared ahead", new FileDisk(Path.Combine(root, "inline")), 64, prepare: false);
        Log("log, 1 entry per batch, no disk", new NullDisk(), 1, prepare: true);
        Log("log, 64 entries per batch, no disk", new NullDisk(), 64, prepare: true);
        Recover(1);
        Recover(64);
    }

    if (args is not [_, _, "log"])
    {
        SnapshotBench.Run(root, duration);
    }

    return 0;
}
finally
{
    if (Directory.Exists(root))
    {
        Directory.Delete(root, recursive: true);
    }
}

void Raw(string name, int bytes, bool zeroed)
{
    const int fileBytes = 256 << 20;
    var disk = new FileDisk(root);
    var buffer = new byte[bytes];
    new Random(1).NextBytes(buffer);
    using var file = disk.Open(zeroed ? "zeros" : "grows");
    if (zeroed)
    {
        var zeros = new byte[1 << 20];
        for (long at = 0; at < fileBytes; at += zeros.Length)
        {
            file.Write(at, zeros);
        }

        file.Sync();
    }

    long offset = 0;
    Print(name, Latencies.Measure(duration, () =>
    {
        file.Write(offset, buffer);
        file.Sync();
        offset += bytes;
        if (zeroed && offset + bytes > fileBytes)
        {
            offset = 0;
        }
    }));
    file.Dispose();
    disk.Delete(zeroed ? "zeros" : "grows");
}

void Log(string name, IDisk disk, int entriesPerBatch, bool prepare)
{
    using var wal = Wal.Open(disk, new WalOptions());
    using var stop = new CancellationTokenSource();
    using var rotated = new SemaphoreSlim(1);
    var preparer = new Thread(() =>
    {
        while (!stop.IsCancellationRequested)
        {
            rotated.Wait();
            wal.PrepareSpare();
        }
    });
    if (prepare)
    {
        preparer.Start();
    }

    ulong next = 1;
    Print(name, Latencies.Measure(duration, () =>
    {
        wal.Append(group, Persist(next, entriesPerBatch));
        wal.Sync();
        next += (ulong)entriesPerBatch;
        if (wal.WantsSpare && rotated.CurrentCount == 0)
        {
            _ = rotated.Release();
        }

        // As if a snapshot were taken now and then: files are used again, as in a node that runs for long.
        if (next % 65536 < (ulong)entriesPerBatch)
        {
            wal.Release(group, new LogIndex(next - 1));
        }
    }));
    stop.Cancel();
    _ = rotated.Release();
    if (prepare)
    {
        preparer.Join();
    }
}

void Recover(int entriesPerBatch)
{
    const long logBytes = 200_000_000;
    var path = Path.Combine(root, $"recover-{entriesPerBatch}");
    ulong next = 1;
    using (var wal = Wal.Open(new UnsyncedDisk(new FileDisk(path)), new WalOptions()))
    {
        for (long written = 0; written < logBytes;)
        {
            wal.Append(group, Persist(next, entriesPerBatch));
            written += wal.PendingBytes;
            wal.Sync();
            next += (ulong)entriesPerBatch;
        }
    }

    GC.Collect();
    var before = GC.GetTotalMemory(forceFullCollection: true);
    var watch = Stopwatch.StartNew();
    using var again = Wal.Open(new FileDisk(path), new WalOptions());
    watch.Stop();
    var kept = GC.GetTotalMemory(forceFullCollection: true) - before;
    Console.WriteLine($"{$"recovery of 200 MB, {entriesPerBatch} per batch",-46}{watch.Elapsed.TotalMilliseconds,10:N0} ms   {again.Recovered(group).LastIndex.Value:N0} entries, {kept / 1024:N0} KiB kept in memory");

    var entries = new List<Entry>();
    var random = new Random(2);
    var last = again.Recovered(group).LastIndex.Value;
    Print($"read of 1 entry, anywhere, {entriesPerBatch} per batch", Latencies.Measure(duration, () =>
    {
        entries.Clear();
        var index = new LogIndex(1 + (ulong)random.NextInt64((long)last));
        _ = again.TryRead(group, index, index, 1, entries);
    }));
    Print($"read of 1 MiB, anywhere, {entriesPerBatch} per batch", Latencies.Measure(duration, () =>
    {
        entries.Clear();
        var index = new LogIndex(1 + (ulong)random.NextInt64((long)last));
        _ = again.TryRead(group, index, new LogIndex(last), 1 << 20, entries);
    }));
}

static void Print(string name, Latencies latencies) => Console.WriteLine($"{name,-46}{latencies}");

Effect.Persist Persist(ulong first, int count)
{
    var entries = new Entry[count];
    for (var i = 0; i < count; i++)
    {
        entries[i] = new Entry(new LogIndex(first + (ulong)i), new Term(1), EntryKind.Command, payload);
    }

    return new Effect.Persist(default, null, null, entries, MustSync: true);
}
