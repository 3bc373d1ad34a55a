namespace Flotilla.Raft;

/// <summary>A group's log in memory: the term of every index, and the newest entries.</summary>
public sealed class RaftLog
{
    /// <summary>The last entry's index, or 0.</summary>
    public LogIndex LastIndex { get; }

    /// <summary>The last entry's term, or 0.</summary>
    public Term LastTerm { get; }

    /// <summary>The first entry still in memory; <c>LastIndex.Next</c> if none is.</summary>
    public LogIndex FirstInMemory { get; }

    /// <summary>The term of the entry at <paramref name="index"/> (0 for index 0); null beyond the end.</summary>
    public Term? TermAt(LogIndex index) => throw new NotSupportedException();

    /// <summary>Appends to <paramref name="into"/> the entries from <paramref name="from"/> through <paramref name="through"/> that are in memory, at least one and then up to <paramref name="maxBytes"/> of cost. False if <paramref name="from"/> is not in memory.</summary>
    public bool TryRead(LogIndex from, LogIndex through, int maxBytes, List<Entry> into) => throw new NotSupportedException();
}
