using Flotilla.Storage;
using Microsoft.Extensions.Logging;

namespace Flotilla.Node.Loops;

/// <summary>
/// Foresees a full disk (hazard 16): below a reserve of free space the node hands leadership over and takes no new writes,
/// while what it must still do for its peers has room. Looks once a second.
/// </summary>
internal sealed class DiskWatch(Func<long> freeBytes, long reserve, Action<Exception> fatal, ILogger log) : IAsyncDisposable
{
    private const int PeriodMs = 1000;

    private Timer? _timer;
    private Action? _handOver;
    private volatile bool _isLow;

    /// <summary>No new writes are to be taken.</summary>
    public bool IsLow => _isLow;

    /// <summary>The reserve: as much as the log takes for itself ahead of use, and once more for what peers send meanwhile.</summary>
    public static long ReserveFor(WalOptions options) => 4 * options.SegmentBytes;

    /// <summary>Starts to watch. <paramref name="handOver"/> is called at each look while the disk is too full; it does nothing for what this node does not lead.</summary>
    public void Start(Action handOver)
    {
        _handOver = handOver;
        Look();
        _timer = new Timer(static state => ((DiskWatch)state!).Look(), this, PeriodMs, PeriodMs);
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (_timer is not null)
        {
            await _timer.DisposeAsync();
        }
    }

    private void Look()
    {
        long free;
        try
        {
            free = freeBytes();
        }
        catch (IOException e)
        {
            fatal(new NodeFailedException($"The file system of the log can't be asked for its free space: {e.Message} The node stops. Check that the disk is mounted and writable, then start it again.", e));
            return;
        }

        // A margin, so that a disk at the limit does not flap.
        if (!_isLow && free < reserve)
        {
            _isLow = true;
            log.DiskLow(free, reserve);
        }
        else if (_isLow && free > reserve + (reserve / 4))
        {
            _isLow = false;
            log.DiskRecovered(free);
        }

        // At every look: it may have been elected since, or its last successor may not have made it.
        if (_isLow)
        {
            _handOver?.Invoke();
        }
    }
}
