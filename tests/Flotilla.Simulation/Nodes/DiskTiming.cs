namespace Flotilla.Simulation.Nodes;

/// <summary>How long the disk of a node takes: usually a fraction of a millisecond, sometimes a hiccup, slow or stalled for a while.</summary>
public sealed class DiskTiming(Chance chance)
{
    // Slow is not dead: what was begun before the faults stopped must not hold the healing up.
    private const long LongestUs = 2_000_000;
    private const long LookAgainUs = 20_000;

    /// <summary>Multiplies every latency.</summary>
    public double Slowness { get; set; } = 1;

    /// <summary>Until then no sync ends, in virtual microseconds.</summary>
    public long StalledUntilUs { get; set; }

    /// <summary>When a sync that begins now will end, unless the disk stalls.</summary>
    public long SyncEndsAt(long nowUs)
    {
        var latency = chance.Exponential(250) + (chance.Hit(0.005) ? chance.Between(5_000, 60_000) : 0);
        return nowUs + Math.Min((long)(latency * Slowness), LongestUs);
    }

    /// <summary>When a stalled sync should be looked at again: a stall may end before it was meant to.</summary>
    public long StalledSyncEndsAt(long nowUs) => Math.Min(StalledUntilUs, nowUs + LookAgainUs) + chance.Exponential(250);

    /// <summary>How long a read takes.</summary>
    public long ReadUs() => (long)(chance.Exponential(100) * Slowness);
}
