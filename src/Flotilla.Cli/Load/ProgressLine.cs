using System.Diagnostics;
using System.Globalization;

namespace Flotilla.Cli.Load;

/// <summary>Shows how far a long run has come: a bar on a terminal, now and then a line elsewhere. Not thread-safe.</summary>
internal sealed class ProgressLine(TextWriter to, bool terminal, long total, long alreadyDone)
{
    private const int BarWidth = 30;
    private static readonly TimeSpan PlainInterval = TimeSpan.FromSeconds(3);
    private readonly long _started = Stopwatch.GetTimestamp();
    private long _plainAt = Stopwatch.GetTimestamp();
    private long _lastAt = Stopwatch.GetTimestamp();
    private long _lastRecords;
    private double _rate;

    /// <summary>How often <see cref="Show"/> is worth calling.</summary>
    public static TimeSpan Interval { get; } = TimeSpan.FromMilliseconds(200);

    /// <summary>Shows so many records, and so many of the total bytes (0 if that is unknown).</summary>
    public void Show(long records, long bytes)
    {
        var now = Stopwatch.GetTimestamp();
        var seconds = Stopwatch.GetElapsedTime(_lastAt, now).TotalSeconds;
        if (seconds > 0)
        {
            // A moving average over some seconds: a number that can be read, and that follows a failover.
            var current = (records - _lastRecords) / seconds;
            _rate = _lastRecords == 0 ? current : _rate + ((current - _rate) * Math.Min(1, seconds / 2));
            (_lastAt, _lastRecords) = (now, records);
        }

        if (terminal)
        {
            to.Write($"\r\u001b[K{Text(records, bytes)}");
            to.Flush();
        }
        else if (Stopwatch.GetElapsedTime(_plainAt, now) >= PlainInterval)
        {
            _plainAt = now;
            to.WriteLine(Text(records, bytes));
        }
    }

    /// <summary>Makes room for other text.</summary>
    public void Clear()
    {
        if (terminal)
        {
            to.Write("\r\u001b[K");
        }
    }

    private string Text(long records, long bytes)
    {
        var rate = string.Create(CultureInfo.InvariantCulture, $"{records:N0} records  {_rate:N0}/s");
        if (total <= 0)
        {
            return rate;
        }

        var share = Math.Clamp((double)bytes / total, 0, 1);
        var filled = (int)(share * BarWidth);
        var elapsed = Stopwatch.GetElapsedTime(_started);
        var eta = bytes > alreadyDone ? TimeSpan.FromSeconds(elapsed.TotalSeconds * (total - bytes) / (bytes - alreadyDone)).ToString(@"hh\:mm\:ss", CultureInfo.InvariantCulture) : "--:--:--";
        return string.Create(CultureInfo.InvariantCulture, $"[{new string('#', filled)}{new string('-', BarWidth - filled)}] {share:0%}  {rate}  {eta} left");
    }
}
