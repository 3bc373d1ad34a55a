using Flotilla.Raft;
using Flotilla.Storage;
using Microsoft.Extensions.Logging;

namespace Flotilla.Node.Loops;

/// <summary>
/// Foresees a full disk (hazard 16): below a reserve of free space the node hands leadership over and takes no new writes,
/// while what it must still do for its peers has room. Looks once a second. Thread-safe.
/// </summary>
/// <param name="node">Whose disk it is.</param>
/// <param name="freeBytes">Asks the disk.</param>
/// <param name="reserve">Bytes that must be free.</param>
/// <param name="fatal">Told once, if the disk can't be asked: the node would run into a full disk blindly.</param>
/// <param name="log">Where it says that the disk is low, and that it is so no longer.</param>
internal sealed class DiskWatch(NodeId node, Func<long> freeBytes, long reserve, Action<Exception> fatal, ILogger log) : IAsyncDisposable
{
    private const int PeriodMs = 1000;

    private readonly Lock _gate = new();
    private Timer? _timer;
    private Action? _handOver;
    private volatile string? _objection;
    private bool _ended;

    /// <summary>No new writes are to be taken.</summary>
    public bool IsLow => _objection is not null;

    /// <summary>Why no new writes are taken, in words for clients and operators; null while there is room.</summary>
    public string? Objection => _objection;

    /// <summary>The reserve: as much as the log takes for itself ahead of use, and once more for what peers send meanwhile.</summary>
    public static long ReserveFor(WalOptions options) => 4 * options.SegmentBytes;

    /// <summary>Starts to watch. <paramref name="handOver"/> is called at each look while the disk is too full; it does nothing for what this node does not lead.</summary>
    public void Start(Action handOver)
    {
        _handOver = handOver;
        _timer = new Timer(static state => ((DiskWatch)state!).LookOnce(), this, Timeout.Infinite, Timeout.Infinite);
        LookOnce();
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        lock (_gate)
        {
            _ended = true;
        }

        if (_timer is not null)
        {
            await _timer.DisposeAsync();
        }
    }

    /// <summary>One look, and the next one a period after its end: a disk that hangs piles up no looks.</summary>
    private void LookOnce()
    {
        try
        {
            Look();
        }
        catch (Exception e)
        {
            // On a timer's thread nobody else would catch it. A watch that can't see is as good as none: no later look.
            lock (_gate)
            {
                if (!_ended)
                {
                    _ended = true;
                    fatal(e as NodeFailedException ?? new NodeFailedException($"The watch over the disk's free space met a state that must not be ({e.GetType().Name}: {e.Message}). The node stops rather than run into a full disk. Start it again, and report this with the log.", e));
                }
            }

            return;
        }

        lock (_gate)
        {
            if (!_ended)
            {
                _timer!.Change(PeriodMs, Timeout.Infinite);
            }
        }
    }

    private void Look()
    {
        long free;
        try
        {
            free = freeBytes();
        }
        catch (Exception e)
        {
            throw new NodeFailedException($"The file system of the log can't be asked for its free space: {e.Message} The node stops. Check that the disk is mounted and that this user may read it, then start the node again.", e);
        }

        // A margin, so that a disk at the limit does not flap.
        if (!IsLow && free < reserve)
        {
            _objection = $"the disk of node {node} is nearly full: it takes no writes before there are {reserve >> 20} MiB free again. Nothing was written. Free space where its data directory lies, or give it a larger disk; it goes on by itself";
            log.DiskLow(free, reserve);
        }
        else if (IsLow && free > reserve + (reserve / 4))
        {
            _objection = null;
            log.DiskRecovered(free);
        }

        // At every look: it may have been elected since, or its last successor may not have made it.
        if (IsLow)
        {
            _handOver?.Invoke();
        }
    }
}
