using Flotilla.Raft;

namespace Flotilla.Shards;

/// <summary>
/// Hands out the committed entries of one replica in order: from Raft's memory while they are there, else (after a
/// restart) from the disk, by a fetch to itself; one at a time.
/// </summary>
internal sealed class CommittedEntries(NodeId self)
{
    private const int FetchBytes = 4 << 20;
    private const double RetryMs = 50;

    private readonly Queue<Entry> _fetched = new();
    private readonly List<Entry> _read = [];
    private int _next; // in _read
    private bool _fetching;

    /// <summary>When a fetch that brought nothing may be tried again; never if none must be.</summary>
    public Instant RetryAt { get; private set; } = Instant.Never;

    /// <summary>The entry at <paramref name="index"/>, which is committed. False if it must come from the disk: the fetch is among the effects, or under way.</summary>
    public bool TryTake(Raft.Raft raft, LogIndex index, int maxBytes, Instant now, List<Effect> effects, out Entry entry)
    {
        while (_fetched.TryPeek(out entry) && entry.Index < index)
        {
            _fetched.Dequeue();
        }

        if (_fetched.TryPeek(out entry) && entry.Index == index)
        {
            _fetched.Dequeue();
            return entry.Term == raft.Log.TermAt(index) ? true : throw new InvalidOperationException($"The disk holds {entry}, but the log says {index}/{raft.Log.TermAt(index)}.");
        }

        // What is committed is never replaced, so what was read once stays right.
        if (_next == _read.Count)
        {
            _read.Clear();
            _next = 0;
            if (!raft.Log.TryRead(index, raft.CommitIndex, maxBytes, _read))
            {
                Fetch(raft, index, now, effects);
                return false;
            }
        }

        entry = _read[_next++];
        return entry.Index == index ? true : throw new InvalidOperationException($"Entry {entry} was read where {index} was asked for.");
    }

    /// <summary>A fetch has ended; with nothing if the disk could not be read.</summary>
    public void Fetched(IReadOnlyList<Entry> entries, Instant now)
    {
        _fetching = false;
        RetryAt = entries.Count == 0 ? now.PlusMs(RetryMs) : Instant.Never;
        foreach (var entry in entries)
        {
            _fetched.Enqueue(entry);
        }
    }

    /// <summary>Lets go of what was read ahead. Called when a flush has done its share.</summary>
    public void Forget()
    {
        _read.Clear();
        _next = 0;
    }

    private void Fetch(Raft.Raft raft, LogIndex index, Instant now, List<Effect> effects)
    {
        if (_fetching || (RetryAt != Instant.Never && now < RetryAt))
        {
            return;
        }

        _fetching = true;
        RetryAt = Instant.Never;
        // Not beyond what has left memory: an entry in memory may still be on its way to the disk, and there, at its index,
        // may stand one that it has replaced.
        effects.Add(new Effect.Fetch(self, index, LogIndex.Min(raft.CommitIndex, raft.Log.FirstInMemory.Previous), FetchBytes));
    }
}
