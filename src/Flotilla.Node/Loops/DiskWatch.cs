using Flotilla.Raft;
using Flotilla.Storage;
using Microsoft.Extensions.Logging;

namespace Flotilla.Node.Loops;

/// <summary>
/// Foresees a full disk (hazard 16). Below a reserve of free space the node is <em>low</em>: it hands leadership over and takes
/// no new writes, while its followers go on to keep what their leaders send. Below half of that it is <em>full</em>: they keep
/// no new entries, either, and no snapshot begins and no segment is prepared that would come to lie below. What is left then is
/// for what a replica owes in any case (terms, votes, no-ops; a segment for them when the last one ends). Both end by
/// themselves. Looks once a second, ten times as often where there is little room. Thread-safe.
/// </summary>
/// <param name="node">Whose disk it is.</param>
/// <param name="freeBytes">Asks the disk.</param>
/// <param name="reserve">Bytes that must be free; at half of them the disk counts as full.</param>
/// <param name="fatal">Told once, if the disk can't be asked: the node would run into a full disk blindly.</param>
/// <param name="log">Where it says that the disk is low, and that it is so no longer.</param>
internal sealed class DiskWatch(NodeId node, Func<long> freeBytes, long reserve, Action<Exception> fatal, ILogger log) : IAsyncDisposable
{
    private const int PeriodMs = 1000;
    private const int PeriodWithLittleRoomMs = 100;

    private readonly Lock _gate = new();
    private Timer? _timer;
    private Action? _handOver;
    private volatile string? _objection;
    private volatile bool _isFull;
    private int _periodMs = PeriodMs;
    private bool _ended;

    /// <summary>No new writes are to be taken.</summary>
    public bool IsLow => _objection is not null;

    /// <summary>No entries are to be kept, not even of other leaders.</summary>
    public bool IsFull => _isFull;

    /// <summary>Whether the disk would not count as full with so many bytes less. Asks the disk. Any thread.</summary>
    /// <exception cref="IOException">The disk can't be asked.</exception>
    public bool HasRoomFor(long bytes) => freeBytes() - bytes >= Floor;

    /// <summary>Why no new writes are taken, in words for clients and operators; null while there is room.</summary>
    public string? Objection => _objection;

    /// <summary>
    /// The reserve, in segments of the log, since it is by segments that the log takes room: two for what leaders send until they
    /// lead elsewhere or here no more; one that is begun or prepared as the disk turns full; and one for what is owed after that.
    /// </summary>
    public static long ReserveFor(WalOptions options) => 4 * options.SegmentBytes;

    private long Floor => reserve / 2;

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
                _timer!.Change(_periodMs, Timeout.Infinite);
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

        // Margins, so that a disk at a limit does not flap.
        var (wasLow, wasFull) = (IsLow, _isFull);
        var isLow = free < (wasLow ? reserve + (reserve / 4) : reserve);
        _isFull = free < (wasFull ? Floor + (Floor / 4) : Floor);
        if (isLow && (!wasLow || wasFull != _isFull))
        {
            _objection = $"the disk of node {node} is nearly full: it takes no writes before there are {ShowMiB(reserve + (reserve / 4))} MiB free again{(_isFull ? ", and keeps nothing that others write, either" : "")}. Nothing was written. Free space where its data directory lies, or give it a larger disk; it goes on by itself";
        }

        if (isLow != wasLow)
        {
            if (isLow)
            {
                log.DiskLow(free, reserve);
            }
            else
            {
                _objection = null;
                log.DiskRecovered(free);
            }
        }

        if (_isFull != wasFull)
        {
            if (_isFull)
            {
                log.DiskFull(free, Floor);
            }
            else
            {
                log.DiskKeepsAgain(free);
            }
        }

        _periodMs = free < 2 * reserve ? PeriodWithLittleRoomMs : PeriodMs;

        // At every look: it may have been elected since, or its last successor may not have made it.
        if (IsLow)
        {
            _handOver?.Invoke();
        }
    }

    private static long ShowMiB(long bytes) => (bytes + (1 << 20) - 1) >> 20;
}
