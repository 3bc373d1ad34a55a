namespace Flotilla.Registers;

/// <summary>
/// A register epoch: the interval of a shard's log from an Open to the last merge entry. Named by the index of the entry that began it
/// (its Open, or the Reopen that went on with an earlier one), so that epochs are ordered and none has a name twice.
/// </summary>
public readonly record struct RegisterEpoch(ulong Value) : IComparable<RegisterEpoch>
{
    /// <summary>Before the first.</summary>
    public static RegisterEpoch None => default;

    /// <inheritdoc/>
    public int CompareTo(RegisterEpoch other) => Value.CompareTo(other.Value);

    /// <summary>The later of the two.</summary>
    public static RegisterEpoch Max(RegisterEpoch a, RegisterEpoch b) => a.Value >= b.Value ? a : b;

    /// <summary>Ordered by age.</summary>
    public static bool operator <(RegisterEpoch a, RegisterEpoch b) => a.Value < b.Value;

    /// <summary>Ordered by age.</summary>
    public static bool operator >(RegisterEpoch a, RegisterEpoch b) => a.Value > b.Value;

    /// <summary>Ordered by age.</summary>
    public static bool operator <=(RegisterEpoch a, RegisterEpoch b) => a.Value <= b.Value;

    /// <summary>Ordered by age.</summary>
    public static bool operator >=(RegisterEpoch a, RegisterEpoch b) => a.Value >= b.Value;

    /// <inheritdoc/>
    public override string ToString() => $"e{Value}";
}

/// <summary>
/// A voter of an epoch: its place, 0 and up, among the voters in force at the epoch's Open in the order of their names. The same at every
/// replica, and for as long as the epoch lasts, since members change only between epochs.
/// </summary>
public readonly record struct Voter(ushort Number) : IComparable<Voter>
{
    /// <inheritdoc/>
    public int CompareTo(Voter other) => Number.CompareTo(other.Number);

    /// <inheritdoc/>
    public override string ToString() => $"v{Number}";
}

/// <summary>
/// What a replica asked, so that an answer is credited to its question alone. The boot number keeps the answers to a process apart from those
/// to the process before it, which numbered its questions alike.
/// </summary>
/// <param name="Boot">The boot number of the asker's process.</param>
/// <param name="Number">1, 2, 3 … in that process.</param>
public readonly record struct QuestionId(ulong Boot, ulong Number)
{
    /// <inheritdoc/>
    public override string ToString() => $"q{Boot}.{Number}";
}

/// <summary>A client's call that the shell wants answered. The shell draws the numbers; unique while the call is open.</summary>
public readonly record struct CallId(ulong Value)
{
    /// <inheritdoc/>
    public override string ToString() => $"c{Value}";
}

/// <summary>Numbers the persist effects of one replica since its start: 1, 2, 3 … 0 stands for what is durable already.</summary>
public readonly record struct PersistNumber(ulong Value) : IComparable<PersistNumber>
{
    /// <inheritdoc/>
    public int CompareTo(PersistNumber other) => Value.CompareTo(other.Value);

    /// <inheritdoc/>
    public override string ToString() => $"#{Value}";
}

/// <summary>Both clocks of a node at one step.</summary>
/// <param name="NowUs">The monotonic clock, in microseconds since an arbitrary origin: for retries and deadlines.</param>
/// <param name="WallMs">The wall clock, in milliseconds since the Unix epoch: for hybrid clocks and for expiry.</param>
public readonly record struct Clocks(long NowUs, long WallMs)
{
    /// <summary>A point that never comes.</summary>
    public const long Never = long.MaxValue;
}

/// <summary>How the writes of an epoch are acknowledged.</summary>
public enum RegisterKind
{
    /// <summary>By a majority that holds them on disk; linearizable.</summary>
    Quorum = 0,

    /// <summary>By this replica alone, which sends them to the others later.</summary>
    Async = 1,
}
