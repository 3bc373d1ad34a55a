using System.Runtime.InteropServices;
using Flotilla.Raft;

namespace Flotilla.Storage.Segments;

/// <summary>
/// What the log knows of one group: the small states, where its entries lie, and where its terms begin. Memory grows with
/// the bytes of log that are kept (a run for every <see cref="RunBytes"/> or so), never with the number of entries.
/// Everything here is durable, and changes under the lock of the index; what is appended but not yet durable is in <see cref="Pending"/>.
/// </summary>
internal sealed class GroupLog(GroupId id)
{
    /// <summary>Entries this close together in a segment share one run, and are found by walking over the records.</summary>
    internal const long RunBytes = 16 << 10;

    private readonly List<Run> _runs = [];
    private readonly List<(LogIndex First, Term Term)> _terms = [];
    private long _bytes;

    /// <summary>The group.</summary>
    public GroupId Id { get; } = id;

    /// <summary>What is appended but not durable. Touched by the appending thread only.</summary>
    public PendingState Pending { get; } = new();

    /// <summary>The hard state.</summary>
    public HardState HardState { get; set; }

    /// <summary>The identity state.</summary>
    public IdentityState Identity { get; set; } = IdentityState.Empty;

    /// <summary>The last entry, or what is released if that is more.</summary>
    public LogIndex Last { get; private set; }

    /// <summary>Entries up to here are no longer needed.</summary>
    public LogIndex Released => Base.Index;

    /// <summary>What the log begins behind; its term is 0 where it is not known.</summary>
    public LogBase Base { get; private set; }

    /// <summary>What recovery noted of the entries it read; null for a group that was not recovered, or whose entries have changed since.</summary>
    public RecoveredEntries? Noted { get; set; }

    /// <summary>The first run, which lies in the oldest segment that the group needs; null if it needs none.</summary>
    public Run? FirstRun => _runs.Count > 0 ? _runs[0] : null;

    /// <summary>How often entries were replaced or released: a reader that sees it change stops, lest it joins two histories.</summary>
    public int Changes { get; private set; }

    /// <summary>Where each term begins, in order.</summary>
    public IReadOnlyList<(LogIndex First, Term Term)> Terms => _terms;

    /// <summary>The term of the last entry; 0 if that is not known.</summary>
    public Term LastTerm => _terms.Count > 0 ? _terms[^1].Term : Term.Zero;

    /// <summary>The first entry that can be read; <c>Last.Next</c> if none can.</summary>
    public LogIndex FirstReadable => _runs.Count > 0 ? LogIndex.Max(_runs[0].First, Released.Next) : Last.Next;

    /// <summary>Number of runs, for tests and figures.</summary>
    public int RunCount => _runs.Count;

    /// <summary>Takes over the last entry of a group whose entries lie in segments that are gone.</summary>
    public void BeginAt(LogIndex last, Term term)
    {
        Last = last;
        _terms.Clear();
        if (term != Term.Zero)
        {
            _terms.Add((last, term));
        }
    }

    /// <summary>
    /// Adds entries that have become durable, in a record of <paramref name="bytes"/>; those stored from <paramref name="first"/> on are replaced.
    /// </summary>
    public void Publish(LogIndex first, int count, Term term, Segment segment, long offset, int bytes)
    {
        var last = first + (ulong)(count - 1);
        if (first <= Last)
        {
            Truncate(first);
            Add(new Run(first, last, segment, offset, _bytes));
        }
        else if (_runs.Count > 0 && _runs[^1] is var run && run.Segment == segment && run.Last.Next == first && offset - run.Offset < RunBytes)
        {
            _runs[^1] = run with { Last = last };
        }
        else
        {
            Add(new Run(first, last, segment, offset, _bytes));
        }

        _bytes += bytes;
        if (_terms.Count == 0 || _terms[^1].Term != term)
        {
            _terms.Add((first, term));
        }

        Last = last;
    }

    /// <summary>The term of an entry that is durable; 0 if that is not known.</summary>
    public Term TermAt(LogIndex index)
    {
        var term = Term.Zero;
        for (var i = 0; i < _terms.Count && _terms[i].First <= index && index <= Last; i++)
        {
            term = _terms[i].Term;
        }

        return term;
    }

    /// <summary>
    /// Entries up to <paramref name="through"/> are no longer needed. If that is beyond the last one, the log goes on behind it.
    /// Its term was known when it was written, which a replay that began behind it can't tell by itself.
    /// </summary>
    public void Release(LogBase through)
    {
        if (through.Index <= Released)
        {
            return;
        }

        Base = through;
        DropRuns(through.Index);
        if (through.Index > Last)
        {
            BeginAt(through.Index, through.Term);
            return;
        }

        // The term that holds the base still begins where it did; older ones are forgotten.
        while (_terms.Count > 1 && _terms[1].First <= through.Index)
        {
            _terms.RemoveAt(0);
        }

        if (through.Term != Term.Zero && TermAt(through.Index) != through.Term)
        {
            if (_terms.Count > 0 && _terms[0].First <= through.Index)
            {
                _terms.RemoveAt(0);
            }

            _terms.Insert(0, (through.Index, through.Term));
        }
    }

    /// <summary>All entries are forgotten, and the log begins behind <paramref name="to"/>.</summary>
    public void Reset(LogBase to)
    {
        DropRuns(Last);
        Base = to;
        BeginAt(to.Index, to.Term);
    }

    /// <summary>About how many bytes the records take that hold entries behind <paramref name="after"/>: exact to a run.</summary>
    public long BytesAfter(LogIndex after)
    {
        after = LogIndex.Max(after, Released);
        var at = FirstRunReaching(after.Next);
        return at == _runs.Count ? 0 : _bytes - BytesUpTo(at, after);
    }

    /// <summary>The last entry that lies in <paramref name="segment"/>, which must be that of the first run.</summary>
    public LogIndex LastIn(Segment segment) => _runs.FindLast(r => r.Segment == segment).Last;

    /// <summary>The run that holds an entry.</summary>
    public bool TryFind(LogIndex index, out Run run)
    {
        run = default;
        if (index <= Released)
        {
            return false;
        }

        var at = FirstRunReaching(index);
        if (at == _runs.Count || _runs[at].First > index)
        {
            return false;
        }

        run = _runs[at];
        return true;
    }

    private int FirstRunReaching(LogIndex index)
    {
        var runs = CollectionsMarshal.AsSpan(_runs);
        int low = 0, high = runs.Length - 1;
        while (low <= high)
        {
            var middle = (low + high) >>> 1;
            if (runs[middle].Last < index)
            {
                low = middle + 1;
            }
            else
            {
                high = middle - 1;
            }
        }

        return low;
    }

    // Within a run the bytes are shared out evenly over its entries.
    private long BytesUpTo(int at, LogIndex through)
    {
        var run = _runs[at];
        if (through < run.First)
        {
            return run.BytesBefore;
        }

        var end = at + 1 < _runs.Count ? _runs[at + 1].BytesBefore : _bytes;
        var part = (double)(through - run.First + 1) / (run.Last - run.First + 1);
        return run.BytesBefore + (long)((end - run.BytesBefore) * part);
    }

    private void DropRuns(LogIndex through)
    {
        Changes++;
        var gone = 0;
        while (gone < _runs.Count && _runs[gone].Last <= through)
        {
            _runs[gone].Segment.LiveRuns--;
            gone++;
        }

        _runs.RemoveRange(0, gone);
    }

    private void Add(in Run run)
    {
        _runs.Add(run);
        run.Segment.LiveRuns++;
    }

    // The run that is left at the end is never extended afterwards: the records behind its last entry are replaced ones.
    private void Truncate(LogIndex first)
    {
        Changes++;

        // A run of which only released entries would be left goes too, lest it pin its segment.
        while (_runs.Count > 0 && (_runs[^1].First >= first || first.Previous <= Released))
        {
            _runs[^1].Segment.LiveRuns--;
            _bytes = _runs[^1].BytesBefore;
            _runs.RemoveAt(_runs.Count - 1);
        }

        if (_runs.Count > 0 && _runs[^1].Last >= first)
        {
            _bytes = BytesUpTo(_runs.Count - 1, first.Previous);
            _runs[^1] = _runs[^1] with { Last = first.Previous };
        }

        while (_terms.Count > 0 && _terms[^1].First >= first)
        {
            _terms.RemoveAt(_terms.Count - 1);
        }
    }
}

/// <summary>What of one group is appended but not yet durable.</summary>
internal sealed class PendingState
{
    /// <summary>The group is in the list of those whose small states go into the next batch.</summary>
    public bool IsListed { get; set; }

    /// <summary>The new hard state, or null.</summary>
    public HardState? HardState { get; set; }

    /// <summary>The new identity state, or null.</summary>
    public IdentityState? Identity { get; set; }

    /// <summary>The last entry, with those not yet durable.</summary>
    public LogIndex Last { get; set; }

    /// <summary>What is released, with what is not yet durable.</summary>
    public LogIndex Released { get; set; }
}
