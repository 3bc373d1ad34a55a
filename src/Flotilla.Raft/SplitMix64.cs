namespace Flotilla.Raft;

/// <summary>
/// A tiny seeded generator (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014). Chance is an
/// argument in the deciding assemblies: the shell draws the seed, the simulator chooses it.
/// </summary>
public struct SplitMix64(ulong seed)
{
    private ulong _state = seed;

    /// <summary>The next 64 random bits.</summary>
    public ulong Next()
    {
        _state += 0x9E3779B97F4A7C15UL;
        var z = _state;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9UL;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBUL;
        return z ^ (z >> 31);
    }

    /// <summary>A number in [0, <paramref name="bound"/>). <paramref name="bound"/> must be positive.</summary>
    public long Below(long bound) => (long)((UInt128)Next() * (ulong)bound >> 64);

    /// <summary>True with probability <paramref name="probability"/> (0 to 1).</summary>
    public bool Chance(double probability) => (Next() >> 11) * (1.0 / (1UL << 53)) < probability;
}
