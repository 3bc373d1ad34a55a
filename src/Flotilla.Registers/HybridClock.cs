namespace Flotilla.Registers;

/// <summary>
/// Counters of versions: a hybrid logical clock for async, and with a wall clock that stands at 0 the plain counter of quorum. Each counter
/// is above everything that this process has issued and everything that it has seen, and as near to the wall clock as that allows.
/// Source: Kulkarni, Demirbas, Madappa, Avva and Leone, "Logical Physical Clocks and Consistent Snapshots in Globally Distributed Databases", 2014.
/// </summary>
/// <remarks>
/// The paper's pair (l, c) is one number here, 48 bits of milliseconds above 16 bits that count within one: adding 1 carries over by itself,
/// so that a burst of more than 65,536 writes in a millisecond runs ahead of the clock instead of repeating a counter. A wall clock
/// that is set back, or that of a peer far ahead, costs closeness to real time and never uniqueness or order.
/// </remarks>
public struct HybridClock
{
    private const int LogicalBits = 16;

    /// <summary>The highest counter issued or seen.</summary>
    public ulong Last { get; private set; }

    /// <summary>A counter for a write that is issued now.</summary>
    /// <param name="wallMs">The wall clock; not positive counts as 0.</param>
    /// <exception cref="OverflowException">A counter was seen that nothing can be above.</exception>
    public ulong Issue(long wallMs) => Last = Math.Max(checked(Last + 1), (ulong)Math.Clamp(wallMs, 0, long.MaxValue >> LogicalBits) << LogicalBits);

    /// <summary>A counter was read somewhere: later ones are above it.</summary>
    public void Saw(ulong counter) => Last = Math.Max(Last, counter);
}
