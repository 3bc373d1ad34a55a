using Version = Flotilla.Data.Version;

namespace Flotilla.Registers;

/// <summary>
/// What decides which of two values of a key is the newer: the version of the write, and whether that very write has since been found to
/// have expired. The flag beats only the version that it stands at (DESIGN section 7), so an expiry never takes away a later write.
/// </summary>
/// <param name="Version">The write. None for a key that nobody ever wrote.</param>
/// <param name="Expired">Some coordinator's clock has found it expired.</param>
public readonly record struct Stamp(Version Version, bool Expired) : IComparable<Stamp>
{
    private const int BootBits = 48;

    /// <summary>Below everything that was ever written.</summary>
    public static Stamp None => default;

    /// <summary>True for <see cref="None"/>.</summary>
    public bool IsNone => Version.IsNone;

    /// <inheritdoc/>
    public int CompareTo(Stamp other) => Version.CompareTo(other.Version) is var c and not 0 ? c : Expired.CompareTo(other.Expired);

    /// <summary>Ordered by age.</summary>
    public static bool operator <(Stamp a, Stamp b) => a.CompareTo(b) < 0;

    /// <summary>Ordered by age.</summary>
    public static bool operator >(Stamp a, Stamp b) => a.CompareTo(b) > 0;

    /// <summary>Ordered by age.</summary>
    public static bool operator <=(Stamp a, Stamp b) => a.CompareTo(b) <= 0;

    /// <summary>Ordered by age.</summary>
    public static bool operator >=(Stamp a, Stamp b) => a.CompareTo(b) >= 0;

    /// <inheritdoc/>
    public override string ToString() => $"{Version}{(Expired ? "!" : "")}";

    /// <summary>
    /// The last part of a register version: who issued it, and in which process. Two voters never share the first, two processes of one
    /// voter never the second, and one process never issues a counter twice: so no two writes ever share a version.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">The boot number has more than 48 bits.</exception>
    public static ulong SubOf(Voter voter, ulong boot)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(boot, 1UL << BootBits);
        return ((ulong)voter.Number << BootBits) | boot;
    }
}
