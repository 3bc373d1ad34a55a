namespace Flotilla.Shards.ExactlyOnce;

/// <summary>
/// One open session: its terms, its mark and the results at or above the mark, by sequence. Changed only by the edit that
/// made it; a snapshot ends the edit, and the table copies a session before its next change.
/// </summary>
internal sealed class Session(SessionKey key, SessionTerms terms, long edit)
{
    private const int SmallCapacity = 4;

    // Results in the order of their sequences, at [_first, _first + Count): those before were forgotten as the mark moved.
    private RecordedResult[] _results = [];
    private int _first;

    /// <summary>Its name and its place in the table.</summary>
    public SessionKey Key { get; } = key;

    /// <summary>What it was opened under.</summary>
    public SessionTerms Terms { get; } = terms;

    /// <summary>The edit that may change it.</summary>
    public long Edit { get; } = edit;

    /// <summary>The log time of the last command with it.</summary>
    public long LastUsedMs { get; set; }

    /// <summary>The client has all answers below this sequence. Never goes back.</summary>
    public ulong Mark { get; private set; }

    /// <summary>How many results are kept.</summary>
    public int Count { get; private set; }

    /// <summary>The results, in the order of their sequences.</summary>
    public ReadOnlySpan<RecordedResult> Results => _results.AsSpan(_first, Count);

    /// <summary>The log time at which it expires if it is not used before; the end of time if that is nearer.</summary>
    public long DueMs => Terms.IdleMs > long.MaxValue - LastUsedMs ? long.MaxValue : LastUsedMs + Terms.IdleMs;

    /// <summary>The same session for another edit.</summary>
    public Session Copy(long edit)
    {
        var copy = new Session(Key, Terms, edit) { LastUsedMs = LastUsedMs, Mark = Mark, Count = Count };
        copy._results = Count == 0 ? [] : new RecordedResult[Capacity(Count)];
        Results.CopyTo(copy._results);
        return copy;
    }

    /// <summary>Finds a recorded result.</summary>
    public bool TryFind(ulong sequence, out RecordedResult result)
    {
        var index = IndexOf(sequence);
        var found = index < Count && Results[index].Sequence == sequence;
        result = found ? Results[index] : default;
        return found;
    }

    /// <summary>Records a result. Its sequence must be at or above the mark and have none.</summary>
    public void Record(in RecordedResult result)
    {
        if (_first + Count == _results.Length)
        {
            MakeRoom();
        }

        // Most sequences come in order, so there is most often nothing to move.
        var index = _first + IndexOf(result.Sequence);
        Array.Copy(_results, index, _results, index + 1, _first + Count - index);
        _results[index] = result;
        Count++;
    }

    /// <summary>Moves the mark up and forgets the results below it; says how many. A lower mark changes nothing.</summary>
    public int MoveMark(ulong mark)
    {
        if (mark <= Mark)
        {
            return 0;
        }

        Mark = mark;
        var forgotten = IndexOf(mark);
        Array.Clear(_results, _first, forgotten);
        _first += forgotten;
        Count -= forgotten;
        if (Count == 0)
        {
            // A session that was busy once and is idle now keeps no room.
            _results = _results.Length > SmallCapacity ? [] : _results;
            _first = 0;
        }

        return forgotten;
    }

    // The first result that is not below the sequence, counted from the first one kept.
    private int IndexOf(ulong sequence)
    {
        var results = Results;
        if (results.IsEmpty || results[^1].Sequence < sequence)
        {
            return results.Length;
        }

        var low = 0;
        var high = results.Length - 1;
        while (low < high)
        {
            var middle = (low + high) >>> 1;
            if (results[middle].Sequence < sequence)
            {
                low = middle + 1;
            }
            else
            {
                high = middle;
            }
        }

        return low;
    }

    private static int Capacity(int count) => Math.Max(SmallCapacity, count + (count / 2));

    private void MakeRoom()
    {
        // Sliding down pays for itself when it wins at least half of the array; else a longer one is due.
        var into = _first > _results.Length / 2 ? _results : new RecordedResult[Capacity(Count + 1)];
        Results.CopyTo(into);
        if (ReferenceEquals(into, _results))
        {
            Array.Clear(into, Count, _first);
        }

        _results = into;
        _first = 0;
    }
}
