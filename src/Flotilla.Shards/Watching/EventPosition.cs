using Flotilla.Raft;

namespace Flotilla.Shards.Watching;

/// <summary>
/// How far a reader of a shard's events has come: all events of the entries up to <paramref name="Through"/>, and the first
/// <paramref name="Next"/> of the entry after it. The same on every replica, since an entry makes the same events everywhere.
/// </summary>
/// <param name="Through">The last entry of which nothing is left.</param>
/// <param name="Next">How many events of the entry after it were read.</param>
public readonly record struct EventPosition(LogIndex Through, uint Next) : IComparable<EventPosition>
{
    /// <summary>Before the first entry.</summary>
    public static EventPosition Zero => default;

    /// <summary>Behind all that a shard which is retired ever did.</summary>
    public static EventPosition Over => new(new LogIndex(ulong.MaxValue - 1), 0);

    /// <summary>Behind everything that the entries up to this one made.</summary>
    public static EventPosition After(LogIndex entry) => new(entry, 0);

    /// <inheritdoc/>
    public int CompareTo(EventPosition other)
    {
        var c = Through.CompareTo(other.Through);
        return c == 0 ? Next.CompareTo(other.Next) : c;
    }

    /// <summary>Whether one is before another.</summary>
    public static bool operator <(EventPosition a, EventPosition b) => a.CompareTo(b) < 0;

    /// <summary>Whether one is behind another.</summary>
    public static bool operator >(EventPosition a, EventPosition b) => a.CompareTo(b) > 0;

    /// <summary>Whether one is before another, or the same.</summary>
    public static bool operator <=(EventPosition a, EventPosition b) => a.CompareTo(b) <= 0;

    /// <summary>Whether one is behind another, or the same.</summary>
    public static bool operator >=(EventPosition a, EventPosition b) => a.CompareTo(b) >= 0;

    /// <inheritdoc/>
    public override string ToString() => Next == 0 ? $"{Through}" : $"{Through}+{Next}";
}
