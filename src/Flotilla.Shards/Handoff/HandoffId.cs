using Flotilla.Raft;

namespace Flotilla.Shards.Handoff;

/// <summary>One move of slots, for ever: the group that gives them and where in its log the move began. Ordered by group, then by age.</summary>
/// <param name="Source">The group that owns the slots when the move begins.</param>
/// <param name="Begin">The index of the entry that began it.</param>
public readonly record struct HandoffId(GroupId Source, LogIndex Begin) : IComparable<HandoffId>
{
    /// <inheritdoc/>
    public int CompareTo(HandoffId other)
    {
        var c = Source.Value.CompareTo(other.Source.Value);
        return c != 0 ? c : Begin.CompareTo(other.Begin);
    }

    /// <inheritdoc/>
    public override string ToString() => $"{Source}/{Begin}";
}

/// <summary>
/// One try of a source's leader to bring a move to its end. The term makes those of two leaders differ, the number those of one.
/// The target takes data of the newest attempt that it has seen and of no other.
/// </summary>
/// <param name="Term">The term of the source's leader.</param>
/// <param name="Number">Counted by that leader, from 1.</param>
public readonly record struct Attempt(Term Term, uint Number) : IComparable<Attempt>
{
    /// <inheritdoc/>
    public int CompareTo(Attempt other)
    {
        var c = Term.CompareTo(other.Term);
        return c != 0 ? c : Number.CompareTo(other.Number);
    }

    /// <summary>Ordered by age.</summary>
    public static bool operator <(Attempt a, Attempt b) => a.CompareTo(b) < 0;

    /// <summary>Ordered by age.</summary>
    public static bool operator >(Attempt a, Attempt b) => a.CompareTo(b) > 0;

    /// <summary>Ordered by age.</summary>
    public static bool operator <=(Attempt a, Attempt b) => a.CompareTo(b) <= 0;

    /// <summary>Ordered by age.</summary>
    public static bool operator >=(Attempt a, Attempt b) => a.CompareTo(b) >= 0;

    /// <inheritdoc/>
    public override string ToString() => $"{Term}#{Number}";
}
