using System.Collections.Concurrent;
using System.Diagnostics;
using System.Text;
using Flotilla.Client;
using Flotilla.Contracts.Http;

namespace Flotilla.Cli.Bench;

/// <summary>What to measure.</summary>
internal sealed record BenchPlan
{
    /// <summary>The share of reads, 0 to 1.</summary>
    public required double ReadRatio { get; init; }

    /// <summary>What the user called it.</summary>
    public required string Mix { get; init; }

    /// <summary>Workers, each with one operation at a time (closed loop).</summary>
    public required int Clients { get; init; }

    /// <summary>How long to measure.</summary>
    public required TimeSpan Duration { get; init; }

    /// <summary>How long to run before that.</summary>
    public required TimeSpan WarmUp { get; init; }

    /// <summary>How many keys.</summary>
    public required int Keys { get; init; }

    /// <summary>Bytes of a key.</summary>
    public required int KeyBytes { get; init; }

    /// <summary>Bytes of a value.</summary>
    public required int ValueBytes { get; init; }

    /// <summary>A few keys very often.</summary>
    public required bool Zipf { get; init; }

    /// <summary>Write every key once first, so that reads find something.</summary>
    public required bool Fill { get; init; }

    /// <summary>Seed of the choice of keys.</summary>
    public required int Seed { get; init; }
}

/// <summary>A closed loop of clients against a cluster.</summary>
internal sealed class BenchRun(BenchPlan plan, FlotillaClient client, HistoryWriter? history, Action<string> say)
{
    private readonly KeyChooser _keys = new(plan.Keys, plan.KeyBytes, plan.Zipf);
    private readonly ConcurrentDictionary<string, long> _errors = new(StringComparer.Ordinal);
    private readonly string _run = Convert.ToHexStringLower(BitConverter.GetBytes(Random.Shared.Next()));
    private int[] _shardOfSlot = [];
    private WriteGaps? _gaps;
    private long _measureFrom = long.MaxValue;
    private long _measureTo = long.MaxValue;
    private long _unknownWrites;
    private long _refused;
    private long _errorCount;

    /// <summary>Runs to the end, or until <paramref name="stop"/>; either way there is a report of what was measured. Null if nothing could be.</summary>
    public async Task<BenchReport?> RunAsync(CancellationToken stop)
    {
        await LearnShardsAsync(stop);
        if (plan.Fill)
        {
            say($"writing {plan.Keys} keys …");
            await Parallel.ForAsync(0, plan.Keys, new ParallelOptions { MaxDegreeOfParallelism = plan.Clients, CancellationToken = stop }, async (number, _) => await FillAsync(number));
            if (!_errors.IsEmpty)
            {
                say($"could not write all keys: {string.Join(", ", _errors.Select(e => $"{e.Key} {e.Value}"))}");
                return null;
            }
        }

        var workers = Enumerable.Range(0, plan.Clients).Select(i => new Worker(i, new Random(plan.Seed + i))).ToArray();
        using var end = CancellationTokenSource.CreateLinkedTokenSource(stop);
        var running = workers.Select(w => Task.Run(() => WorkAsync(w, end.Token), CancellationToken.None)).ToArray();
        await PauseAsync(plan.WarmUp, stop);

        var from = Now();
        var cpu = Environment.CpuUsage.TotalTime;
        _gaps = new WriteGaps(from, _shardOfSlot.Distinct());
        Volatile.Write(ref _measureFrom, from);
        var seconds = await WatchAsync(workers, from, stop);
        var to = Now();
        Volatile.Write(ref _measureTo, to);
        var used = Environment.CpuUsage.TotalTime - cpu;
        await end.CancelAsync();
        await Task.WhenAll(running);
        return Report(workers, from, to, used, seconds);
    }

    /// <summary>Microseconds of the machine's monotonic clock.</summary>
    private static long Now() => (long)(Stopwatch.GetTimestamp() * (1_000_000.0 / Stopwatch.Frequency));

    private static async Task PauseAsync(TimeSpan time, CancellationToken stop)
    {
        try
        {
            await Task.Delay(time, stop);
        }
        catch (OperationCanceledException)
        {
            // An interrupted benchmark reports what it has.
        }
    }

    private async Task LearnShardsAsync(CancellationToken stop)
    {
        var config = await client.ConfigAsync(stop);
        if (config.Document is not { Shards: { } shards })
        {
            say($"/config can't be read, so windows without writes are not told by shard: {config.Error?.Message}");
            return;
        }

        _shardOfSlot = new int[KeySlot.Count];
        foreach (ShardDocument shard in shards)
        {
            foreach (var range in shard.Ranges)
            {
                Array.Fill(_shardOfSlot, shard.Id, range[0], range[1] - range[0] + 1);
            }
        }
    }

    private async Task FillAsync(int number)
    {
        var key = _keys.KeyOf(number);
        var value = Value(-1, number);
        while (true)
        {
            var start = Now();
            var result = await client.PutAsync(key, value, null, CancellationToken.None);
            if (history is not null)
            {
                await history.AddAsync(new HistoryEntry(-1, "put", key, value, start, Now(), result.Outcome, null));
            }

            // The same value again does no harm.
            if (result.Outcome != CallOutcome.Unknown)
            {
                if (result.Outcome != CallOutcome.Ok)
                {
                    Count(result.Error);
                }

                return;
            }
        }
    }

    private async Task WorkAsync(Worker worker, CancellationToken stop)
    {
        var sequence = 0L;
        while (!stop.IsCancellationRequested)
        {
            var key = _keys.KeyOf(_keys.Next(worker.Random));
            var read = plan.ReadRatio >= 1 || (plan.ReadRatio > 0 && worker.Random.NextDouble() < plan.ReadRatio);
            var value = read ? null : Value(worker.Number, sequence++);
            var start = Now();
            CallOutcome outcome;
            CallError? error;
            ReadOnlyMemory<byte>? found = null;

            // An operation under way at the end is waited for: its outcome belongs to the history.
            if (read)
            {
                var result = await client.GetAsync(key, stale: false, CancellationToken.None);
                (outcome, error) = (result.Outcome, result.Error);
                found = outcome == CallOutcome.Ok ? result.Value : null;
            }
            else
            {
                var result = await client.PutAsync(key, value, null, CancellationToken.None);
                (outcome, error) = (result.Outcome, result.Error);
            }

            var end = Now();
            if (history is not null)
            {
                await history.AddAsync(new HistoryEntry(worker.Number, read ? "get" : "put", key, value, start, end, outcome, found));
            }

            Count(worker, read, key, start, end, outcome, error);
        }
    }

    private void Count(Worker worker, bool read, byte[] key, long start, long end, CallOutcome outcome, CallError? error)
    {
        var good = outcome == CallOutcome.Ok || (read && outcome == CallOutcome.NotFound);
        if (good && !read && _gaps is { } gaps && end <= Volatile.Read(ref _measureTo) && end >= gaps.Start)
        {
            gaps.Success(_shardOfSlot.Length == 0 ? 0 : _shardOfSlot[KeySlot.Of(key)], end);
        }

        if (start < Volatile.Read(ref _measureFrom) || end > Volatile.Read(ref _measureTo))
        {
            return;
        }

        if (good)
        {
            (read ? worker.Reads : worker.Writes).Record(end - start);
            return;
        }

        Count(error);
        if (outcome == CallOutcome.Unknown)
        {
            Interlocked.Increment(ref _unknownWrites);
        }
        else if (outcome == CallOutcome.Failed)
        {
            Interlocked.Increment(ref _refused);
        }
    }

    private void Count(CallError? error)
    {
        Interlocked.Increment(ref _errorCount);
        _errors.AddOrUpdate(error?.Code ?? "unknown", 1, static (_, n) => n + 1);
    }

    private async Task<List<BenchSecond>> WatchAsync(Worker[] workers, long from, CancellationToken stop)
    {
        var lines = new List<BenchSecond>();
        var before = new LatencyHistogram();
        long errorsBefore = 0;
        var to = from + (long)plan.Duration.TotalMicroseconds;
        for (var next = from + 1_000_000; !stop.IsCancellationRequested && Now() < to; next += 1_000_000)
        {
            // A pause may end a moment early, and a line about that moment would say nothing.
            var end = Math.Min(next, to);
            do
            {
                await PauseAsync(TimeSpan.FromMicroseconds(Math.Max(0, end - Now())), stop);
            }
            while (Now() < end && !stop.IsCancellationRequested);

            var all = Merge(workers.SelectMany(w => new[] { w.Reads, w.Writes }));
            var second = Merge([all]);
            second.Subtract(before);
            var errors = Interlocked.Read(ref _errorCount);
            var line = new BenchSecond(Math.Round((Now() - from) / 1e6, 1), second.Count, second.Percentile(50), second.Percentile(99), second.Max, errors - errorsBefore);
            (before, errorsBefore) = (all, errors);
            lines.Add(line);
            say($"{line.Second,6:0.0} s  {line.Operations,9:N0} ops  p50 {line.P50 / 1000.0,7:0.00} ms  p99 {line.P99 / 1000.0,7:0.00} ms  max {line.Max / 1000.0,8:0.00} ms  errors {line.Errors}");
        }

        return lines;
    }

    private BenchReport Report(Worker[] workers, long from, long to, TimeSpan cpu, List<BenchSecond> lines)
    {
        var writes = Merge(workers.Select(w => w.Writes));
        var reads = Merge(workers.Select(w => w.Reads));
        var operations = writes.Count + reads.Count;
        var seconds = (to - from) / 1e6;
        var gap = _gaps!.Longest(to);
        return new BenchReport(
            plan.Mix, plan.Clients, Math.Round(seconds, 3), operations, Math.Round(operations / Math.Max(seconds, 1e-6), 1),
            LatencySummary.Of(writes), LatencySummary.Of(reads),
            new SortedDictionary<string, long>(_errors.ToDictionary(StringComparer.Ordinal), StringComparer.Ordinal), _refused, _unknownWrites,
            plan.ReadRatio >= 1 ? null : Document(null, gap.Length, gap.Begin),
            plan.ReadRatio >= 1 ? [] : [.. _gaps.LongestByShard(to).Select(g => Document(g.Shard, g.Length, g.Begin))],
            Math.Round(cpu.TotalSeconds, 3), operations == 0 ? 0 : Math.Round(cpu.TotalMicroseconds / operations, 2), lines);
    }

    private static GapDocument Document(int? shard, long length, long begin) => new(shard, Math.Round(length / 1000.0, 1), Math.Round(begin / 1e6, 3));

    private static LatencyHistogram Merge(IEnumerable<LatencyHistogram> parts)
    {
        var all = new LatencyHistogram();
        foreach (var part in parts)
        {
            all.Add(part);
        }

        return all;
    }

    /// <summary>Every value is written once only, so that a checker knows which write a read has seen.</summary>
    private byte[] Value(int worker, long sequence)
    {
        var value = new byte[plan.ValueBytes];
        Array.Fill(value, (byte)'.');
        var head = Encoding.ASCII.GetBytes($"{_run}-{worker}-{sequence}");
        head.AsSpan(0, Math.Min(head.Length, value.Length)).CopyTo(value);
        return value;
    }

    private sealed class Worker(int number, Random random)
    {
        public int Number { get; } = number;

        public Random Random { get; } = random;

        public LatencyHistogram Reads { get; } = new();

        public LatencyHistogram Writes { get; } = new();
    }
}
