namespace Flotilla.Simulation.Nodes;

/// <summary>How long the disk of a node takes: usually a fraction of a millisecond, sometimes a hiccup, slow or stalled for a while.</summary>
public sealed class DiskTiming(Chance chance)
{
    /// <summary>Multiplies every latency.</summary>
    public double Slowness { get; set; } = 1;

    /// <summary>Until then no sync ends, in virtual microseconds.</summary>
    public long StalledUntilUs { get; set; }

    /// <summary>When a sync that begins now will end.</summary>
    public long SyncEndsAt(long nowUs)
    {
        var latency = chance.Exponential(250) + (chance.Hit(0.005) ? chance.Between(5_000, 60_000) : 0);
        return Math.Max(nowUs, StalledUntilUs) + (long)(latency * Slowness);
    }

    /// <summary>How long a read takes.</summary>
    public long ReadUs() => (long)(chance.Exponential(100) * Slowness);
}
