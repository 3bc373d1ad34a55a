using System.Diagnostics;
using Flotilla.Raft;
using Flotilla.Shards;

namespace Flotilla.Node;

/// <summary>The clocks of this process. The only place in the shell that reads them for the deciding assemblies.</summary>
internal static class NodeClock
{
    private static readonly double MicrosecondsPerTick = 1_000_000.0 / Stopwatch.Frequency;

    // A monotonic clock may have any origin: the process's start keeps the numbers small and the doubles exact.
    private static readonly long Origin = Stopwatch.GetTimestamp();

    /// <summary>The monotonic clock.</summary>
    public static Instant Now => new(1 + (long)((Stopwatch.GetTimestamp() - Origin) * MicrosecondsPerTick));

    /// <summary>Both clocks.</summary>
    public static ClockReading Read() => new(Now, DateTimeOffset.UtcNow.ToUnixTimeMilliseconds());
}
