using System.Runtime.InteropServices;
using Flotilla.Raft;

namespace Flotilla.Storage.Segments;

/// <summary>
/// What recovery notes of a group's entries on its only way over them: the configurations, and what each entry costs that
/// no commit hint covers yet. Memory: the configurations, and four bytes for each of those until <see cref="Finish"/>.
/// </summary>
internal sealed class RecoveredEntries
{
    private static readonly int FixedCost = default(Entry).Cost;

    private readonly List<Entry> _configurations = [];
    private readonly List<int> _costs = [];
    private int _head;
    private LogIndex _floor;

    /// <summary>The entries that are configurations, in order.</summary>
    public IReadOnlyList<Entry> Configurations => [.. _configurations];

    /// <summary>After <see cref="Finish"/>: what the entries behind the commit hint cost.</summary>
    public long CostAboveCommit { get; private set; }

    /// <summary>All is read: <paramref name="commit"/> is the last hint.</summary>
    public void Finish(LogIndex commit)
    {
        Commit(commit);
        CostAboveCommit = 0;
        foreach (var cost in CollectionsMarshal.AsSpan(_costs)[_head..])
        {
            CostAboveCommit += cost;
        }

        _costs.Clear();
        _costs.Capacity = 0;
        _head = 0;
    }

    /// <summary>Notes an entry; it follows the last one that was noted, or begins anew.</summary>
    public void Add(LogIndex index, Term term, EntryKind kind, ReadOnlySpan<byte> payload)
    {
        if (index != _floor + (ulong)(_costs.Count - _head + 1))
        {
            Forget(index.Previous);
        }

        _costs.Add(FixedCost + payload.Length);
        if (kind == EntryKind.Configuration)
        {
            _configurations.Add(new Entry(index, term, kind, payload.ToArray()));
        }
    }

    /// <summary>Entries from <paramref name="first"/> on are replaced.</summary>
    public void Truncate(LogIndex first)
    {
        _configurations.RemoveAll(e => e.Index >= first);
        if (first <= _floor)
        {
            Forget(first.Previous);
        }
        else
        {
            var keep = (int)Math.Min((ulong)(_costs.Count - _head), first - _floor - 1);
            _costs.RemoveRange(_head + keep, _costs.Count - _head - keep);
        }
    }

    /// <summary>Entries up to <paramref name="through"/> are committed.</summary>
    public void Commit(LogIndex through)
    {
        if (through <= _floor)
        {
            return;
        }

        var gone = (int)Math.Min((ulong)(_costs.Count - _head), through - _floor);
        _head += gone;
        _floor += (ulong)gone;

        // The list is compacted when half of it is empty, so that each cost moves at most once more.
        if (_head > 1024 && _head * 2 > _costs.Count)
        {
            _costs.RemoveRange(0, _head);
            _head = 0;
        }
    }

    /// <summary>Entries up to <paramref name="through"/> are gone.</summary>
    public void Release(LogIndex through)
    {
        _configurations.RemoveAll(e => e.Index <= through);
        Commit(through);
    }

    /// <summary>All entries are gone.</summary>
    public void Reset()
    {
        _configurations.Clear();
        Forget(LogIndex.Zero);
    }

    private void Forget(LogIndex floor)
    {
        _costs.Clear();
        _head = 0;
        _floor = floor;
    }
}
