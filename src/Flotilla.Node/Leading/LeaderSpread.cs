using Flotilla.Raft;
using Flotilla.Topology;

namespace Flotilla.Node.Leading;

/// <summary>
/// Decides when a shard that this node leads goes back to the voter that is meant to lead it first. After restarts a few
/// nodes would otherwise lead everything. Slow on purpose: leadership that comes and goes costs more than one that is a
/// little uneven. Reads no clock and does nothing by itself; one thread at a time.
/// </summary>
internal sealed class LeaderSpread
{
    /// <summary>How long the other one must have been fit to lead.</summary>
    public const double SteadyMs = 10_000;

    /// <summary>How long one handover may take before it counts as failed.</summary>
    public const double PatienceMs = 3_000;

    /// <summary>The pause after an attempt, before the same shard is handed over again; doubles until there was no attempt for <see cref="MaxBackoffMs"/> after it.</summary>
    public const double MinBackoffMs = 30_000;

    /// <summary>The longest such pause.</summary>
    public const double MaxBackoffMs = 600_000;

    private readonly Dictionary<ShardId, Standing> _standings = [];
    private (ShardId Shard, Instant Since)? _underWay;

    /// <summary>
    /// The shard to hand over now, or null. To be asked about once a second.
    /// </summary>
    /// <param name="led">Every shard that this node leads and another voter is meant to lead first, and whether that one is fit to: alive, caught up, and not reluctant.</param>
    /// <param name="now">The time.</param>
    public ShardId? Next(IReadOnlyList<(ShardId Shard, bool IsFit)> led, Instant now)
    {
        foreach (var (shard, standing) in _standings)
        {
            if (!led.Contains((shard, true)))
            {
                _standings[shard] = standing with { FitSince = Instant.Never };
            }
        }

        foreach (var (shard, isFit) in led)
        {
            if (isFit && (!_standings.TryGetValue(shard, out var standing) || standing.FitSince == Instant.Never))
            {
                _standings[shard] = (standing ?? new Standing()) with { FitSince = now };
            }
        }

        // One at a time: the next one when this one is led elsewhere, or has failed.
        if (_underWay is { } underWay && led.Any(l => l.Shard == underWay.Shard) && now.MsSince(underWay.Since) < PatienceMs)
        {
            return null;
        }

        _underWay = null;
        foreach (var (shard, isFit) in led)
        {
            if (isFit && _standings[shard] is var standing && now.MsSince(standing.FitSince) >= SteadyMs && now.MsSince(standing.TriedAt) >= standing.BackoffMs)
            {
                // Whether it fails, or the shard comes back at once, the next attempt is longer in coming.
                var again = standing.BackoffMs > 0 && now.MsSince(standing.TriedAt) < standing.BackoffMs + MaxBackoffMs;
                var backoffMs = again ? Math.Min(standing.BackoffMs * 2, MaxBackoffMs) : MinBackoffMs;
                _standings[shard] = standing with { TriedAt = now, BackoffMs = backoffMs };
                _underWay = (shard, now);
                return shard;
            }
        }

        return null;
    }

    private sealed record Standing
    {
        /// <summary>Since when the other one is fit to lead; never while it is not, or this node does not lead.</summary>
        public Instant FitSince { get; init; } = Instant.Never;

        /// <summary>When it was handed over last.</summary>
        public Instant TriedAt { get; init; }

        /// <summary>The pause after <see cref="TriedAt"/>; 0 before the first attempt.</summary>
        public double BackoffMs { get; init; }
    }
}
