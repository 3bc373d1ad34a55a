namespace Flotilla.Cli.Bench;

/// <summary>What a benchmark came to. Latencies are in microseconds, of successful operations.</summary>
/// <param name="Mix">put, get or mixed.</param>
/// <param name="Clients">Workers, each with one operation at a time.</param>
/// <param name="Seconds">How long was measured.</param>
/// <param name="Operations">Successful operations.</param>
/// <param name="PerSecond">Of them per second.</param>
/// <param name="Writes">Latencies of writes, or null.</param>
/// <param name="Reads">Latencies of reads, or null.</param>
/// <param name="Errors">Failed operations by code.</param>
/// <param name="Refused">Operations among them that the cluster refused for good.</param>
/// <param name="UnknownWrites">Writes of unknown outcome among them.</param>
/// <param name="LongestWriteGap">The longest window without a successful write, or null if there were no writes.</param>
/// <param name="WriteGapsByShard">The same for each shard.</param>
/// <param name="ClientCpuSeconds">CPU time of this process while it measured.</param>
/// <param name="ClientCpuMicrosecondsPerOperation">The same per operation.</param>
/// <param name="PerSecondLines">What each second brought.</param>
internal sealed record BenchReport(
    string Mix, int Clients, double Seconds, long Operations, double PerSecond, LatencySummary? Writes, LatencySummary? Reads,
    IReadOnlyDictionary<string, long> Errors, long Refused, long UnknownWrites, GapDocument? LongestWriteGap, IReadOnlyList<GapDocument> WriteGapsByShard,
    double ClientCpuSeconds, double ClientCpuMicrosecondsPerOperation, IReadOnlyList<BenchSecond> PerSecondLines);

/// <summary>Latencies in microseconds.</summary>
internal sealed record LatencySummary(long Count, double Mean, long P50, long P90, long P99, long P999, long Max)
{
    /// <summary>The summary of a histogram, or null of an empty one.</summary>
    public static LatencySummary? Of(LatencyHistogram histogram) => histogram.Count == 0 ? null : new LatencySummary(
        histogram.Count, Math.Round(histogram.Mean, 1), histogram.Percentile(50), histogram.Percentile(90), histogram.Percentile(99), histogram.Percentile(99.9), histogram.Max);
}

/// <summary>A window without a successful write. <paramref name="Shard"/> is null for all shards together.</summary>
internal sealed record GapDocument(int? Shard, double Milliseconds, double BeganAtSecond);

/// <summary>One second of a benchmark.</summary>
internal sealed record BenchSecond(double Second, long Operations, long P50, long P99, long Max, long Errors);
