using System.Diagnostics;

namespace Flotilla.Storage.Bench;

/// <summary>Times of one kind of operation, done over and over for a while.</summary>
internal sealed class Latencies
{
    private readonly List<long> _ticks = new(1 << 20);
    private TimeSpan _wall;
    private TimeSpan _processor;

    /// <summary>Repeats an operation for a time, after a tenth of it unmeasured.</summary>
    public static Latencies Measure(TimeSpan duration, Action operation)
    {
        var latencies = new Latencies();
        for (var warm = Stopwatch.StartNew(); warm.Elapsed < duration / 10;)
        {
            operation();
        }

        using var process = Process.GetCurrentProcess();
        var processor = process.TotalProcessorTime;
        var all = Stopwatch.StartNew();
        while (all.Elapsed < duration)
        {
            var start = Stopwatch.GetTimestamp();
            operation();
            latencies._ticks.Add(Stopwatch.GetTimestamp() - start);
        }

        latencies._wall = all.Elapsed;
        process.Refresh();
        latencies._processor = process.TotalProcessorTime - processor;
        latencies._ticks.Sort();
        return latencies;
    }

    public override string ToString() =>
        $"{_ticks.Count / _wall.TotalSeconds,10:N0}/s   p50 {Us(0.5),8:N1} µs   p99 {Us(0.99),8:N1} µs   max {Us(1) / 1000,7:N1} ms   processor {_processor.TotalMicroseconds / _ticks.Count,6:N1} µs each";

    private double Us(double quantile) => _ticks[(int)Math.Min(_ticks.Count - 1, quantile * _ticks.Count)] * 1e6 / Stopwatch.Frequency;
}
