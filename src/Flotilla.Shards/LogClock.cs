using Flotilla.Raft;

namespace Flotilla.Shards;

/// <summary>
/// Where a leader gets the stamps of its entries from: never below an earlier stamp, and never standing still.
/// </summary>
/// <remarks>
/// The log time is the highest stamp applied. A leader whose wall clock was far ahead leaves a log time that the wall
/// clocks of later leaders reach only after that long; if they stamped max(log time, wall clock), time would stand still
/// until then, and nothing would expire. So the log time is carried on by the monotonic clock, at nine tenths of its
/// speed: a time to live is then stretched by a ninth at most, and the wall clock catches up in the end.
/// Only leaders stamp; every replica follows the log's stamps, so this clock decides nothing by itself (hazard 8).
/// </remarks>
internal sealed class LogClock(Instant now)
{
    /// <summary>A log time ahead of the wall clock passes at this part of its speed.</summary>
    private const double Slew = 0.9;

    private long _seenMs;
    private Instant _seenAt = now;

    /// <summary>The stamp for an entry made now, in milliseconds since the Unix epoch.</summary>
    public long Stamp(ClockReading clock) => Math.Max(clock.WallMs, Carried(clock.Now));

    /// <summary>A stamp is in the log, this replica's own or another's.</summary>
    public void Saw(long stampMs, Instant now)
    {
        if (stampMs >= Carried(now))
        {
            _seenMs = stampMs;
            _seenAt = now;
        }
    }

    /// <summary>When <see cref="Stamp"/> reaches <paramref name="stampMs"/>, if nobody sets the wall clock; not too late, perhaps too soon.</summary>
    public Instant When(long stampMs, ClockReading clock)
    {
        var byWall = stampMs - clock.WallMs;
        var carried = (stampMs - Carried(clock.Now)) / Slew;
        return clock.Now.PlusMs(Math.Max(1, Math.Min(byWall, carried)));
    }

    private long Carried(Instant now) => _seenMs + (long)(Math.Max(0, now.MsSince(_seenAt)) * Slew);
}
