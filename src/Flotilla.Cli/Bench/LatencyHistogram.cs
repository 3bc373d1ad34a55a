using System.Numerics;

namespace Flotilla.Cli.Bench;

/// <summary>
/// Counts latencies in buckets whose width is at most 1/128 of their value, after HdrHistogram: percentiles are right
/// within 0.8 %, from one microsecond to more than an hour, in 26 KB, and recording is a shift and an add. One writer;
/// others may read meanwhile and see a count that is at most a moment old.
/// </summary>
internal sealed class LatencyHistogram
{
    /// <summary>Longer latencies count as this: 71 minutes.</summary>
    public const long MaxMicroseconds = uint.MaxValue;

    private const int SubBits = 7;
    private const int SubBuckets = 1 << SubBits;
    private readonly long[] _counts = new long[(32 - SubBits + 1) * SubBuckets];
    private long _total;
    private long _sum;
    private long _max;

    /// <summary>How many were recorded.</summary>
    public long Count => Volatile.Read(ref _total);

    /// <summary>The largest, exactly.</summary>
    public long Max => Volatile.Read(ref _max);

    /// <summary>The mean, exactly; 0 of none.</summary>
    public double Mean => _total == 0 ? 0 : (double)_sum / _total;

    /// <summary>Records one latency.</summary>
    public void Record(long microseconds)
    {
        var value = Math.Clamp(microseconds, 0, MaxMicroseconds);
        _counts[IndexOf(value)]++;
        _total++;
        _sum += value;
        _max = Math.Max(_max, value);
    }

    /// <summary>Adds what another has recorded.</summary>
    public void Add(LatencyHistogram other)
    {
        for (var i = 0; i < _counts.Length; i++)
        {
            _counts[i] += other._counts[i];
        }

        _total += other._total;
        _sum += other._sum;
        _max = Math.Max(_max, other._max);
    }

    /// <summary>Takes away what <paramref name="earlier"/>, an earlier copy of this one, had recorded. The maximum becomes that of the bucket.</summary>
    public void Subtract(LatencyHistogram earlier)
    {
        _max = 0;
        _total = 0;
        for (var i = 0; i < _counts.Length; i++)
        {
            _counts[i] = Math.Max(0, _counts[i] - earlier._counts[i]);
            _total += _counts[i];
            if (_counts[i] > 0)
            {
                _max = HighestOf(i);
            }
        }

        _sum -= earlier._sum;
    }

    /// <summary>The latency that <paramref name="percent"/> of all stay at or below, in microseconds; 0 of none.</summary>
    public long Percentile(double percent)
    {
        var rank = Math.Max(1, (long)Math.Ceiling(percent / 100 * _total));
        long seen = 0;
        for (var i = 0; i < _counts.Length; i++)
        {
            seen += _counts[i];
            if (seen >= rank && _counts[i] > 0)
            {
                return Math.Min(HighestOf(i), _max);
            }
        }

        return 0;
    }

    /// <summary>Below 128 a bucket for each value; above, 128 of equal width for each power of two.</summary>
    private static int IndexOf(long value)
    {
        if (value < SubBuckets)
        {
            return (int)value;
        }

        var shift = BitOperations.Log2((ulong)value) - SubBits;
        return ((shift + 1) << SubBits) + (int)((value >> shift) - SubBuckets);
    }

    private static long HighestOf(int index)
    {
        if (index < SubBuckets)
        {
            return index;
        }

        var shift = (index >> SubBits) - 1;
        return ((((long)(index & (SubBuckets - 1)) + SubBuckets + 1) << shift)) - 1;
    }
}
