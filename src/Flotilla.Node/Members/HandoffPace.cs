using Flotilla.Raft;

namespace Flotilla.Node.Members;

/// <summary>
/// How many bytes of moving slots a node may send: much while no client uses it, and while clients do as much as leaves them most of the
/// machine. What is moved costs every replica of both ends a few microseconds for each record; a MiB a second is some 7,000 small
/// records. One thread at a time.
/// </summary>
/// <param name="cores">Processors that the node may use.</param>
internal sealed class HandoffPace(int cores)
{
    /// <summary>While no client uses the node: as for snapshots.</summary>
    public const long IdleBytesPerSecond = 32L << 20;

    /// <summary>While clients use it, for each core.</summary>
    public const long BusyBytesPerSecond = 128L << 10;

    /// <summary>Fewer calls in a second are no use worth the name.</summary>
    public const double FewCallsPerSecond = 50;

    private const double WindowMs = 100;

    // After a pause of the process nothing is made up for.
    private const double MaxStepMs = 50;

    private readonly long _busyBytesPerSecond = Math.Min(BusyBytesPerSecond * cores, IdleBytesPerSecond);
    private Instant _last;
    private Instant _windowBegan;
    private long _calls;
    private bool _isBusy = true;

    /// <summary>The bytes that may be sent since the last time.</summary>
    /// <param name="calls">Clients' calls that reached replicas here, ever.</param>
    /// <param name="now">The monotonic clock.</param>
    public long Take(long calls, Instant now)
    {
        var windowMs = now.MsSince(_windowBegan);
        if (windowMs >= WindowMs)
        {
            // The first window after a rest says nothing of how it is now.
            _isBusy = windowMs >= 10 * WindowMs || (calls - _calls) * 1000 >= FewCallsPerSecond * windowMs;
            (_calls, _windowBegan) = (calls, now);
        }

        var stepMs = Math.Clamp(now.MsSince(_last), 0, MaxStepMs);
        _last = now;
        return (long)((_isBusy ? _busyBytesPerSecond : IdleBytesPerSecond) * stepMs / 1000);
    }
}
