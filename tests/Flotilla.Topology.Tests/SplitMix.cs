namespace Flotilla.Topology.Tests;

/// <summary>Chance that is the same in every release of the framework, for figures that stand in the docs.</summary>
internal sealed class SplitMix(ulong seed)
{
    private ulong _state = seed;

    public ulong Next()
    {
        _state += 0x9E3779B97F4A7C15UL;
        return StableHash.Mix(_state);
    }

    public int Below(int bound) => (int)((UInt128)Next() * (ulong)bound >> 64);

    public bool Chance(double probability) => (Next() >> 11) * (1.0 / (1UL << 53)) < probability;
}
