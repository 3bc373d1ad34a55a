namespace Flotilla.Cli.Bench;

/// <summary>The longest window without a successful write, in all and for each shard. Thread-safe.</summary>
internal sealed class WriteGaps
{
    private readonly Gap _all;
    private readonly SortedDictionary<int, Gap> _shards = [];

    /// <summary>Begins to watch at a moment (microseconds on any clock). Shard 0 stands for unknown, and is not kept.</summary>
    public WriteGaps(long start, IEnumerable<int> shards)
    {
        Start = start;
        _all = new Gap(start);
        foreach (var shard in shards.Where(s => s != 0))
        {
            _shards[shard] = new Gap(start);
        }
    }

    /// <summary>When the watch began.</summary>
    public long Start { get; }

    /// <summary>A write of a shard was acknowledged at this moment.</summary>
    public void Success(int shard, long at)
    {
        _all.Success(at);
        if (_shards.TryGetValue(shard, out var gap))
        {
            gap.Success(at);
        }
    }

    /// <summary>The longest window up to now: its length and where it began, both in microseconds, the latter since the start.</summary>
    public (long Length, long Begin) Longest(long now) => _all.Longest(now) is var (length, begin) ? (length, begin - Start) : default;

    /// <summary>The same for each shard.</summary>
    public IReadOnlyList<(int Shard, long Length, long Begin)> LongestByShard(long now) =>
        [.. _shards.Select(s => s.Value.Longest(now) is var (length, begin) ? (s.Key, length, begin - Start) : default)];

    private sealed class Gap(long start)
    {
        private readonly Lock _gate = new();
        private long _last = start;
        private long _longest;
        private long _begin = start;

        public void Success(long at)
        {
            lock (_gate)
            {
                if (at - _last > _longest)
                {
                    (_longest, _begin) = (at - _last, _last);
                }

                _last = Math.Max(_last, at);
            }
        }

        public (long Length, long Begin) Longest(long now)
        {
            lock (_gate)
            {
                return now - _last > _longest ? (now - _last, _last) : (_longest, _begin);
            }
        }
    }
}
