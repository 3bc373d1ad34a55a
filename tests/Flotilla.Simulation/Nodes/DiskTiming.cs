namespace Flotilla.Simulation.Nodes;

/// <summary>How long the disk of a node takes: usually a fraction of a millisecond, sometimes a hiccup, slow or stalled for a while.</summary>
public sealed class DiskTiming(Chance chance)
{
    // Slow is not dead: what was begun before the faults stopped must not hold the healing up.
    private const long LongestUs = 2_000_000;

    /// <summary>Multiplies every latency.</summary>
    public double Slowness { get; set; } = 1;

    /// <summary>Until then no sync ends, in virtual microseconds.</summary>
    public long StalledUntilUs { get; set; }

    /// <summary>When a sync that begins now will end.</summary>
    public long SyncEndsAt(long nowUs)
    {
        var latency = chance.Exponential(250) + (chance.Hit(0.005) ? chance.Between(5_000, 60_000) : 0);
        return Math.Max(nowUs, StalledUntilUs) + Math.Min((long)(latency * Slowness), LongestUs);
    }

    /// <summary>How long a read takes.</summary>
    public long ReadUs() => (long)(chance.Exponential(100) * Slowness);
}
