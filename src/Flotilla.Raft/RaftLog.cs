namespace Flotilla.Raft;

/// <summary>
/// A group's log in memory: the term of every index (as runs, a few bytes a term), and the newest entries. Older entries
/// leave memory once they are applied and durable, and are read back through <see cref="Effect.Fetch"/> if a follower
/// still needs them, so that memory is bounded by bytes and not by the length of the log (hazard 62).
/// </summary>
/// <remarks>
/// Invariants: the log holds the entries in (<see cref="Base"/>, <see cref="LastIndex"/>]; what lies at or below the base is
/// in a snapshot. Runs are ordered and their terms grow; the first may begin at or below the base. The entries in memory are
/// consecutive and end at <see cref="LastIndex"/>. Not thread-safe.
/// </remarks>
public sealed class RaftLog
{
    /// <summary>How far apart the places are at which the bytes of the log are known.</summary>
    private const long MarkBytes = 1 << 20;

    private readonly List<(LogIndex First, Term Term)> _runs;
    private readonly List<(LogIndex Index, long Bytes)> _marks = []; // (i, b): b bytes were appended through i
    private readonly List<Entry> _window = [];
    private int _head;
    private readonly long _recoveredCost;
    private long _windowBytes;
    private long _appendedBytes;
    private long _markedBytes;

    internal RaftLog(RaftRecovery recovered)
    {
        _runs = [.. recovered.TermStarts];
        LastIndex = recovered.LastIndex;
        RecoveredLast = LastIndex;
        _recoveredCost = recovered.BytesAboveCommit;
        Base = recovered.Base;
        if (Base.Index > LogIndex.Zero && Base.Term == Term.Zero)
        {
            // The log does not know the term of what it begins behind; then that is the snapshot's last entry.
            var term = _runs.Count > 0 && _runs[0].First <= Base.Index ? _runs[0].Term
                : recovered.Snapshot is { } snapshot && snapshot.Index == Base.Index ? snapshot.Term : Term.Zero;
            Base = Base with { Term = term };
        }
    }

    /// <summary>What the log begins behind; 0/0 until something was compacted away.</summary>
    public LogBase Base { get; private set; }

    /// <summary>The last entry's index, or 0.</summary>
    public LogIndex LastIndex { get; private set; }

    /// <summary>The last entry's term, or that of <see cref="Base"/>.</summary>
    public Term LastTerm => _runs.Count == 0 ? Base.Term : _runs[^1].Term;

    /// <summary>The first entry still in memory; <c>LastIndex.Next</c> if none is.</summary>
    public LogIndex FirstInMemory => new(LastIndex.Value + 1 - (ulong)(_window.Count - _head));

    /// <summary>The last of the entries that were recovered from the disk and are still there; 0 if there are none. Of the bytes up to it no place is known.</summary>
    internal LogIndex RecoveredLast { get; private set; }

    /// <summary>The cost of the entries in memory, in bytes.</summary>
    public long BytesInMemory => _windowBytes;

    /// <summary>The term of the entry at <paramref name="index"/> (0 for index 0); null beyond the end and below <see cref="Base"/>.</summary>
    public Term? TermAt(LogIndex index) =>
        index > LastIndex || index < Base.Index ? null
        : index == Base.Index ? Base.Term
        : _runs[RunOf(index)].Term;

    /// <summary>
    /// Appends to <paramref name="into"/> the entries from <paramref name="from"/> through <paramref name="through"/> that
    /// are in memory, at least one and then up to <paramref name="maxBytes"/> of cost. False if <paramref name="from"/> is
    /// not in memory.
    /// </summary>
    public bool TryRead(LogIndex from, LogIndex through, int maxBytes, List<Entry> into)
    {
        if (from < FirstInMemory || from > LastIndex || from > through)
        {
            return false;
        }

        var at = _head + (int)(from - FirstInMemory);
        var end = _head + (int)(LogIndex.Min(through, LastIndex) - FirstInMemory);
        var bytes = 0L;
        for (; at <= end; at++)
        {
            bytes += _window[at].Cost;
            if (bytes > maxBytes && bytes > _window[at].Cost)
            {
                break;
            }

            into.Add(_window[at]);
        }

        return true;
    }

    /// <summary>The first index, in this log, of the run of equal terms that holds <paramref name="index"/>, which must be above the base.</summary>
    internal LogIndex FirstOfTermAt(LogIndex index) => LogIndex.Max(_runs[RunOf(index)].First, Base.Index.Next);

    /// <summary>The last index at or below <paramref name="limit"/> whose term is at most <paramref name="term"/>, or 0.</summary>
    internal LogIndex LastAtOrBelow(Term term, LogIndex limit)
    {
        for (var run = _runs.Count - 1; run >= 0; run--)
        {
            if (_runs[run].Term <= term && _runs[run].First <= limit)
            {
                var last = run + 1 < _runs.Count ? _runs[run + 1].First.Previous : LastIndex;
                return LogIndex.Min(last, limit);
            }
        }

        return LogIndex.Zero;
    }

    /// <summary>Appends one entry; its index must be <c>LastIndex.Next</c> and its term not below the last one's.</summary>
    internal void Append(in Entry entry)
    {
        Invariant.Require(entry.Index == LastIndex.Next, "an entry is appended right after the last one");
        Invariant.Require(entry.Term >= LastTerm, "terms in a log never fall");
        if (_runs.Count == 0 || _runs[^1].Term != entry.Term)
        {
            _runs.Add((entry.Index, entry.Term));
        }

        _window.Add(entry);
        _windowBytes += entry.Cost;
        LastIndex = entry.Index;
        _appendedBytes += entry.Cost;
        if (_appendedBytes - _markedBytes >= MarkBytes)
        {
            _markedBytes = _appendedBytes;
            _marks.Add((LastIndex, _appendedBytes));
        }
    }

    /// <summary>
    /// The highest known index behind which at least <paramref name="bytes"/> of entries were appended; such indexes are known
    /// about every mebibyte. The base if the log is shorter, or if they were recovered for a part (<see cref="RecoveredLast"/>); the last
    /// index for no bytes at all.
    /// </summary>
    internal LogIndex BeforeLast(long bytes)
    {
        if (bytes <= 0)
        {
            return LastIndex;
        }

        var before = Base.Index;
        foreach (var (index, appended) in _marks)
        {
            if (_appendedBytes - appended < bytes)
            {
                break;
            }

            before = index;
        }

        return before;
    }

    /// <summary>Forgets the entries up to <paramref name="through"/>, which a snapshot holds.</summary>
    internal void CompactThrough(LogIndex through)
    {
        Invariant.Require(through >= Base.Index && through <= LastIndex, "a log is compacted within itself");
        Base = new LogBase(through, TermAt(through)!.Value);
        Evict(through, 0);
        while (_runs.Count > 0 && (_runs.Count > 1 ? _runs[1].First.Previous : LastIndex) <= through)
        {
            _runs.RemoveAt(0);
        }

        _marks.RemoveAll(mark => mark.Index <= through);
    }

    /// <summary>Forgets everything: the log goes on behind <paramref name="base"/>, the last entry of a snapshot.</summary>
    internal void ResetTo(LogBase @base)
    {
        Base = @base;
        LastIndex = @base.Index;
        RecoveredLast = LogIndex.Zero;
        _runs.Clear();
        _marks.Clear();
        _window.Clear();
        _head = 0;
        _windowBytes = 0;
    }

    /// <summary>Drops every entry from <paramref name="from"/> on.</summary>
    internal void TruncateFrom(LogIndex from)
    {
        while (_window.Count > _head && _window[^1].Index >= from)
        {
            _windowBytes -= _window[^1].Cost;
            _window.RemoveAt(_window.Count - 1);
        }

        while (_runs.Count > 0 && _runs[^1].First >= from)
        {
            _runs.RemoveAt(_runs.Count - 1);
        }

        if (from <= LastIndex)
        {
            LastIndex = from.Previous;
            RecoveredLast = LogIndex.Min(RecoveredLast, LastIndex);
            _marks.RemoveAll(mark => mark.Index >= from);
        }
    }

    /// <summary>Lets the oldest entries go until at most <paramref name="keepBytes"/> remain, but none above <paramref name="through"/>.</summary>
    internal void Evict(LogIndex through, long keepBytes)
    {
        while (_windowBytes > keepBytes && _head < _window.Count && _window[_head].Index <= through)
        {
            _windowBytes -= _window[_head].Cost;
            _window[_head++] = default;
        }

        // The list is compacted when half of it is empty, so that each entry moves at most once more.
        if (_head > 64 && _head * 2 > _window.Count)
        {
            _window.RemoveRange(0, _head);
            _head = 0;
        }
    }

    /// <summary>
    /// The cost of the entries above <paramref name="index"/>, in bytes; never less than it is. Of what was recovered from
    /// the disk and was not known to be committed then, only the sum is known: it counts until all of it is at or below the index.
    /// </summary>
    internal long CostAbove(LogIndex index)
    {
        var cost = index < RecoveredLast ? _recoveredCost : 0;
        for (var at = _window.Count - 1; at >= _head && _window[at].Index > index; at--)
        {
            cost += _window[at].Cost;
        }

        return cost;
    }

    private int RunOf(LogIndex index)
    {
        int low = 0, high = _runs.Count - 1;
        while (low <= high)
        {
            var middle = (low + high) / 2;
            if (_runs[middle].First <= index)
            {
                low = middle + 1;
            }
            else
            {
                high = middle - 1;
            }
        }

        return high;
    }
}
