using Flotilla.Raft;
using Flotilla.Shards.Watching;

namespace Flotilla.Node.Watching;

/// <summary>
/// What a replica's loop shows of its events to those who watch, and how it wakes them. To a loop whose replica nobody watches it
/// costs one comparison per flush, and one write and a fence if something was applied.
/// </summary>
internal sealed class WatchFeed
{
    private volatile Shown _shown;
    private TaskCompletionSource _news = NewSource();
    private int _waiting;

    public WatchFeed(EventLog events, LogIndex applied) => _shown = new Shown(events, applied);

    /// <summary>The events, and how far they may be read. The two belong together: another log says other things of the same entries.</summary>
    public (EventLog Events, LogIndex Applied) Now
    {
        get
        {
            var shown = _shown;
            return (shown.Events, shown.Applied);
        }
    }

    /// <summary>From the loop, after a flush.</summary>
    public void Show(EventLog events, LogIndex applied)
    {
        var shown = _shown;
        if (shown.Events != events)
        {
            _shown = new Shown(events, applied);
        }
        else if (shown.Applied != applied)
        {
            shown.Applied = applied;
        }
        else
        {
            return;
        }

        // Whoever begins to wait counts itself and then looks once more: one of us two sees the other.
        Interlocked.MemoryBarrier();
        if (Volatile.Read(ref _waiting) > 0)
        {
            Interlocked.Exchange(ref _news, NewSource()).TrySetResult();
        }
    }

    /// <summary>Waits until more than <paramref name="applied"/> is applied, or for so many milliseconds.</summary>
    public async ValueTask WaitAsync(LogIndex applied, double ms, CancellationToken cancellation)
    {
        Interlocked.Increment(ref _waiting);
        try
        {
            var news = Volatile.Read(ref _news).Task;
            if (_shown.Applied == applied)
            {
                await news.WaitAsync(TimeSpan.FromMilliseconds(Math.Max(1, ms)), cancellation).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
        finally
        {
            Interlocked.Decrement(ref _waiting);
        }
    }

    private static TaskCompletionSource NewSource() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    private sealed class Shown(EventLog events, LogIndex applied)
    {
        private ulong _applied = applied.Value;

        public EventLog Events => events;

        public LogIndex Applied
        {
            get => new(Volatile.Read(ref _applied));
            set => Volatile.Write(ref _applied, value.Value);
        }
    }
}
