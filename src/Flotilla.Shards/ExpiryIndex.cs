namespace Flotilla.Shards;

/// <summary>
/// The records that will expire, ordered by when (and then by key, so that all replicas remove them in one order). It is
/// kept exact: a record that is rewritten or removed leaves it at once, since otherwise a key rewritten often with a
/// long time to live would pile up entries.
/// </summary>
internal sealed class ExpiryIndex
{
    private readonly SortedSet<Due> _due = new(DueOrder.Instance);

    /// <summary>How many records have an expiry.</summary>
    public int Count => _due.Count;

    /// <summary>The log time at which the first of them is gone; <see cref="long.MaxValue"/> if there is none.</summary>
    public long NextMs => _due.Count == 0 ? long.MaxValue : _due.Min.AtMs;

    /// <summary>A record's expiry has changed; 0 stands for "never" and "no record". The key is copied if it is kept.</summary>
    public void Change(ReadOnlyMemory<byte> key, long oldMs, long newMs)
    {
        if (oldMs == newMs)
        {
            return;
        }

        if (oldMs != 0)
        {
            _due.Remove(new Due(oldMs, key));
        }

        if (newMs != 0)
        {
            _due.Add(new Due(newMs, key.ToArray()));
        }
    }

    /// <summary>Takes out the first record if it is gone at <paramref name="logTimeMs"/>.</summary>
    public bool TryTake(long logTimeMs, out ReadOnlyMemory<byte> key)
    {
        if (_due.Count == 0)
        {
            key = default;
            return false;
        }

        var first = _due.Min;
        key = first.Key;
        return first.AtMs <= logTimeMs && _due.Remove(first);
    }

    private readonly record struct Due(long AtMs, ReadOnlyMemory<byte> Key);

    private sealed class DueOrder : IComparer<Due>
    {
        public static readonly DueOrder Instance = new();

        public int Compare(Due x, Due y)
        {
            var c = x.AtMs.CompareTo(y.AtMs);
            return c != 0 ? c : x.Key.Span.SequenceCompareTo(y.Key.Span);
        }
    }
}
