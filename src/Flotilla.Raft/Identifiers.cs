namespace Flotilla.Raft;

/// <summary>A Raft term (Raft paper, section 5.1): a logical clock that grows by one at each election. 0 before the first.</summary>
public readonly record struct Term(ulong Value) : IComparable<Term>
{
    /// <summary>The term of a replica that never heard of an election.</summary>
    public static Term Zero => default;

    /// <summary>The term after this one.</summary>
    public Term Next => new(Value + 1);

    /// <inheritdoc/>
    public int CompareTo(Term other) => Value.CompareTo(other.Value);

    /// <summary>Ordered by age.</summary>
    public static bool operator <(Term a, Term b) => a.Value < b.Value;

    /// <summary>Ordered by age.</summary>
    public static bool operator >(Term a, Term b) => a.Value > b.Value;

    /// <summary>Ordered by age.</summary>
    public static bool operator <=(Term a, Term b) => a.Value <= b.Value;

    /// <summary>Ordered by age.</summary>
    public static bool operator >=(Term a, Term b) => a.Value >= b.Value;

    /// <inheritdoc/>
    public override string ToString() => $"t{Value}";
}

/// <summary>The position of an entry in a group's log. The first entry has index 1; 0 stands for "before the log".</summary>
public readonly record struct LogIndex(ulong Value) : IComparable<LogIndex>
{
    /// <summary>The position before the first entry.</summary>
    public static LogIndex Zero => default;

    /// <summary>The index after this one.</summary>
    public LogIndex Next => new(Value + 1);

    /// <summary>The index before this one. Must not be called on <see cref="Zero"/>.</summary>
    public LogIndex Previous => new(checked(Value - 1));

    /// <inheritdoc/>
    public int CompareTo(LogIndex other) => Value.CompareTo(other.Value);

    /// <summary>The lower of the two.</summary>
    public static LogIndex Min(LogIndex a, LogIndex b) => a.Value <= b.Value ? a : b;

    /// <summary>The higher of the two.</summary>
    public static LogIndex Max(LogIndex a, LogIndex b) => a.Value >= b.Value ? a : b;

    /// <summary>The index <paramref name="count"/> further on.</summary>
    public static LogIndex operator +(LogIndex index, ulong count) => new(checked(index.Value + count));

    /// <summary>How many entries lie in (<paramref name="b"/>, <paramref name="a"/>]. <paramref name="a"/> must not be below <paramref name="b"/>.</summary>
    public static ulong operator -(LogIndex a, LogIndex b) => checked(a.Value - b.Value);

    /// <summary>Ordered by position.</summary>
    public static bool operator <(LogIndex a, LogIndex b) => a.Value < b.Value;

    /// <summary>Ordered by position.</summary>
    public static bool operator >(LogIndex a, LogIndex b) => a.Value > b.Value;

    /// <summary>Ordered by position.</summary>
    public static bool operator <=(LogIndex a, LogIndex b) => a.Value <= b.Value;

    /// <summary>Ordered by position.</summary>
    public static bool operator >=(LogIndex a, LogIndex b) => a.Value >= b.Value;

    /// <inheritdoc/>
    public override string ToString() => Value.ToString();
}

/// <summary>The name of a node, as the operator gave it (<c>n1</c>, <c>A</c>). Compared byte by byte (ordinal).</summary>
public readonly record struct NodeId(string Value) : IComparable<NodeId>
{
    /// <summary>True for <c>default</c>: no node.</summary>
    public bool IsNone => Value is null;

    /// <inheritdoc/>
    public int CompareTo(NodeId other) => string.CompareOrdinal(Value, other.Value);

    /// <inheritdoc/>
    public override string ToString() => Value ?? "-";
}

/// <summary>One Raft group of one cluster, for ever: a function of the cluster id and the shard id (DESIGN: genesis). Carried by every message.</summary>
public readonly record struct GroupId(ulong Value)
{
    /// <inheritdoc/>
    public override string ToString() => $"g{Value:x}";
}

/// <summary>
/// What tells one data directory from another under the same node id: drawn at random when the directory is made,
/// never 0. Votes and acknowledgements are counted from the incarnation that is stored for a peer, and from no other.
/// </summary>
public readonly record struct Incarnation(ulong Value)
{
    /// <summary>True for <c>default</c>: not known.</summary>
    public bool IsNone => Value == 0;

    /// <inheritdoc/>
    public override string ToString() => $"i{Value:x}";
}

/// <summary>A point on the monotonic clock of one node, in microseconds since an arbitrary origin. Never compared between nodes.</summary>
public readonly record struct Instant(long Microseconds) : IComparable<Instant>
{
    /// <summary>A deadline that never comes.</summary>
    public static Instant Never => new(long.MaxValue);

    /// <inheritdoc/>
    public int CompareTo(Instant other) => Microseconds.CompareTo(other.Microseconds);

    /// <summary>The instant <paramref name="ms"/> milliseconds later.</summary>
    public Instant PlusMs(double ms) => new(Microseconds + (long)(ms * 1000));

    /// <summary>Milliseconds from <paramref name="earlier"/> to this one.</summary>
    public double MsSince(Instant earlier) => (Microseconds - earlier.Microseconds) / 1000.0;

    /// <summary>The earlier of the two.</summary>
    public static Instant Min(Instant a, Instant b) => a.Microseconds <= b.Microseconds ? a : b;

    /// <summary>Ordered by time.</summary>
    public static bool operator <(Instant a, Instant b) => a.Microseconds < b.Microseconds;

    /// <summary>Ordered by time.</summary>
    public static bool operator >(Instant a, Instant b) => a.Microseconds > b.Microseconds;

    /// <summary>Ordered by time.</summary>
    public static bool operator <=(Instant a, Instant b) => a.Microseconds <= b.Microseconds;

    /// <summary>Ordered by time.</summary>
    public static bool operator >=(Instant a, Instant b) => a.Microseconds >= b.Microseconds;
}
