using Flotilla.Raft;

namespace Flotilla.Simulation;

/// <summary>A stream of chance. Everything random in a simulation comes from streams that are forked from one seed.</summary>
public sealed class Chance(ulong seed)
{
    private SplitMix64 _random = new(seed);

    /// <summary>64 random bits.</summary>
    public ulong Next() => _random.Next();

    /// <summary>A number in [0, <paramref name="bound"/>).</summary>
    public int Below(int bound) => (int)_random.Below(bound);

    /// <summary>A number in [<paramref name="low"/>, <paramref name="high"/>).</summary>
    public long Between(long low, long high) => low + _random.Below(high - low);

    /// <summary>True with a probability.</summary>
    public bool Hit(double probability) => _random.Chance(probability);

    /// <summary>An exponentially distributed number with a mean, at least 1.</summary>
    public long Exponential(double mean)
    {
        var uniform = ((_random.Next() >> 11) + 1) * (1.0 / ((1UL << 53) + 1));
        return Math.Max(1, (long)(-Math.Log(uniform) * mean));
    }

    /// <summary>One of a list.</summary>
    public T Pick<T>(IReadOnlyList<T> list) => list[Below(list.Count)];

    /// <summary>A stream of its own, so that what one part draws changes nothing for the others.</summary>
    public Chance Fork() => new(Next());
}
