using Flotilla.Raft;

namespace Flotilla.Simulation.Nodes;

/// <summary>
/// What a log should hold, kept beside it: per index the term and a hash over everything up to there, so that two logs can
/// be compared at an index in one step. Learned from the persists alone.
/// </summary>
public sealed class LogMirror
{
    private readonly List<(Term Term, ulong Chain)> _entries = [];
    private readonly List<long> _costs = [0]; // up to each index

    /// <summary>The last index.</summary>
    public LogIndex Last => new((ulong)_entries.Count);

    /// <summary>The last term, or 0.</summary>
    public Term LastTerm => _entries.Count == 0 ? Term.Zero : _entries[^1].Term;

    /// <summary>Term and hash at an index, which must be in the log; zeros at 0.</summary>
    public (Term Term, ulong Chain) At(LogIndex index) => index == LogIndex.Zero ? default : _entries[(int)index.Value - 1];

    /// <summary>The cost of all entries up to an index, in bytes.</summary>
    public long CostUpTo(LogIndex index) => _costs[(int)index.Value];

    /// <summary>Puts entries at their place; what was there and behind is gone.</summary>
    public void Write(IReadOnlyList<Entry> entries)
    {
        if (entries.Count == 0)
        {
            return;
        }

        var keep = (int)entries[0].Index.Value - 1;
        if (keep > _entries.Count)
        {
            throw new SimulationException($"entry {entries[0].Index} leaves a gap behind {_entries.Count}");
        }

        _entries.RemoveRange(keep, _entries.Count - keep);
        _costs.RemoveRange(keep + 1, _costs.Count - keep - 1);
        foreach (var entry in entries)
        {
            _entries.Add((entry.Term, Link(_entries.Count == 0 ? 0 : _entries[^1].Chain, entry)));
            _costs.Add(_costs[^1] + entry.Cost);
        }
    }

    /// <summary>
    /// The log was forgotten and goes on behind a snapshot. What the snapshot includes is committed, so the mirror holds
    /// the committed log up to there instead, and logs can be compared as before.
    /// </summary>
    public void ResetTo(IReadOnlyList<(Term Term, ulong Chain)> committed)
    {
        _entries.Clear();
        _entries.AddRange(committed);
        _costs.Clear();
        _costs.AddRange(Enumerable.Repeat(0L, committed.Count + 1));
    }

    /// <summary>A copy that changes on its own.</summary>
    public LogMirror Copy()
    {
        var copy = new LogMirror();
        copy._entries.AddRange(_entries);
        copy._costs.AddRange(_costs.Skip(1));
        return copy;
    }

    private static ulong Link(ulong chain, in Entry entry)
    {
        var hash = chain ^ 0xCBF29CE484222325UL;
        hash = Mix(hash, entry.Index.Value);
        hash = Mix(hash, entry.Term.Value);
        hash = Mix(hash, (ulong)entry.Kind);
        foreach (var b in entry.Payload.Span)
        {
            hash = (hash ^ b) * 0x100000001B3UL;
        }

        return Mix(hash, (ulong)entry.Payload.Length);
    }

    private static ulong Mix(ulong hash, ulong value)
    {
        hash = (hash ^ value) * 0x9E3779B97F4A7C15UL;
        return hash ^ (hash >> 29);
    }
}
