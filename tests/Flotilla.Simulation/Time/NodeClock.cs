using Flotilla.Raft;
using Flotilla.Shards;

namespace Flotilla.Simulation.Time;

/// <summary>
/// The two clocks of one node: a monotonic one with an origin and a rate of its own, and a wall clock that is off by some
/// amount and may be set at any time, backwards too.
/// </summary>
public sealed class NodeClock(Scheduler scheduler, long originUs)
{
    /// <summary>The wall time at which a simulation begins, in milliseconds since the Unix epoch.</summary>
    public const long EpochMs = 1_700_000_000_000;

    private long _fromUs;
    private long _localUs = originUs;

    /// <summary>Local seconds per true second.</summary>
    public double Rate { get; private set; } = 1;

    /// <summary>How far the wall clock is off, in milliseconds.</summary>
    public long WallSkewMs { get; set; }

    /// <summary>Changes the rate from now on.</summary>
    public void SetRate(double rate)
    {
        _localUs = LocalUs;
        _fromUs = scheduler.NowUs;
        Rate = rate;
    }

    /// <summary>Both clocks now.</summary>
    public ClockReading Read() => new(new Instant(LocalUs), EpochMs + WallSkewMs + (scheduler.NowUs / 1000));

    /// <summary>The true time at which the monotonic clock will have reached an instant.</summary>
    public long TrueTimeOf(Instant instant) =>
        instant.Microseconds >= long.MaxValue / 4 ? long.MaxValue / 4 : _fromUs + (long)Math.Ceiling((instant.Microseconds - _localUs) / Rate);

    private long LocalUs => _localUs + (long)((scheduler.NowUs - _fromUs) * Rate);
}
