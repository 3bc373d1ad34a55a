using System.Diagnostics;
using Flotilla.Raft;
using Flotilla.Storage;

namespace Flotilla.Node.Loops;

/// <summary>
/// The one thread that writes the node's log: takes the batches of all loops that wait, appends them, makes them durable
/// with one sync (group commit over all shards), releases the messages that waited for it, and reports to the loops. A
/// failure is never retried: after a failed sync nobody knows what the disk holds (hazard 9), so the node stops, and no
/// message and no report leaves for what was not made durable.
/// </summary>
internal sealed class WalWriter
{
    /// <summary>So many segments behind the oldest may be kept for a group that writes nothing.</summary>
    private const int MaxPinnedSegments = 8;

    /// <summary>What a group keeps is written once more if it is no more than this: twice the tail that Raft keeps.</summary>
    private const long MaxRewriteBytes = 32 << 20;

    private readonly object _gate = new();
    private readonly Wal _wal;
    private readonly Action<Exception> _fatal;
    private readonly Func<bool> _mayPrepare;
    private readonly Thread _thread;
    private readonly List<HostedReplica> _due = [];
    private readonly List<LoopInput> _reports = [];
    private Action<List<OutboundMessage>>? _send;
    private Action<GroupId>? _askForSnapshot;
    private List<WalJob> _waiting = [];
    private List<WalJob> _taken = [];
    private bool _sleeping;
    private bool _stopping;
    private volatile bool _failed;
    private int _preparing;
    private int _segmentsSeen;

    /// <summary>A writer for an open log.</summary>
    /// <param name="wal">The log; the writer's thread owns it until <see cref="Stop"/> has returned.</param>
    /// <param name="fatal">Told once, when the disk fails.</param>
    /// <param name="mayPrepare">Whether there is room for a segment ahead of its use; where there is none it is made when it is needed.</param>
    public WalWriter(Wal wal, Action<Exception> fatal, Func<bool> mayPrepare)
    {
        _wal = wal;
        _mayPrepare = mayPrepare;
        _fatal = fatal;
        _thread = new Thread(Run) { IsBackground = true, Name = "wal-writer" };
    }

    /// <summary>Starts the thread.</summary>
    /// <param name="send">Sends the messages that waited for the disk.</param>
    /// <param name="askForSnapshot">Has a group's replica take a snapshot, since its log holds back segments.</param>
    public void Start(Action<List<OutboundMessage>> send, Action<GroupId> askForSnapshot)
    {
        _send = send;
        _askForSnapshot = askForSnapshot;
        PrepareSpare();
        _thread.Start();
    }

    /// <summary>Hands a batch in. Never blocks; what can wait is bounded by Raft's limits on uncommitted and in-flight bytes.</summary>
    public void Submit(WalJob job)
    {
        lock (_gate)
        {
            _waiting.Add(job);
            if (_sleeping)
            {
                Monitor.Pulse(_gate);
            }
        }
    }

    /// <summary>Reads old entries back on the thread pool; they come to the replica's loop as an input.</summary>
    public void Fetch(HostedReplica hosted, Effect.Fetch fetch) =>
        ThreadPool.UnsafeQueueUserWorkItem(static state => state.Writer.ReadBack(state.Hosted, state.Fetch), (Writer: this, Hosted: hosted, Fetch: fetch), preferLocal: false);

    /// <summary>Writes what waits, syncs, and ends the thread. After it the log may be closed.</summary>
    public void Stop()
    {
        lock (_gate)
        {
            _stopping = true;
            Monitor.Pulse(_gate);
        }

        if (!_thread.ThreadState.HasFlag(System.Threading.ThreadState.Unstarted) && Thread.CurrentThread != _thread)
        {
            _thread.Join();
        }
    }

    /// <summary>Ends the thread without writing what waits, as a crash would.</summary>
    public void Abort()
    {
        _failed = true;
        Stop();
    }

    private void Run()
    {
        try
        {
            while (Take())
            {
                Write();
            }

            if (!_failed && _due.Count > 0)
            {
                _wal.Sync();
            }
        }
        catch (Exception e)
        {
            _failed = true;
            _fatal(new NodeFailedException(
                $"The write-ahead log could not be written: {e.Message} What was acknowledged is safe; what was under way is unknown. The node stops at once and never retries, because after a failed write or sync the disk's contents can't be trusted. Check the disk (dmesg, free space), then start the node again: it recovers what is durable and catches up from its peers.", e));
        }
    }

    /// <summary>Waits for jobs and takes them all. False when there are none and the writer is to stop.</summary>
    private bool Take()
    {
        _taken.Clear();
        lock (_gate)
        {
            while (_waiting.Count == 0 && !_stopping)
            {
                _sleeping = true;
                Monitor.Wait(_gate);
                _sleeping = false;
            }

            if (_failed)
            {
                return false;
            }

            (_waiting, _taken) = (_taken, _waiting);
            return _taken.Count > 0;
        }
    }

    private void Write()
    {
        var mustSync = false;
        foreach (var job in _taken)
        {
            foreach (var (hosted, persist) in job.Persists)
            {
                _wal.Append(hosted.Genesis.Group, persist);
                hosted.Appended = persist.Sequence;
                if (!hosted.ReportDue)
                {
                    hosted.ReportDue = true;
                    _due.Add(hosted);
                }
            }

            foreach (var (hosted, through) in job.Releases)
            {
                _wal.Release(hosted.Genesis.Group, through);
            }

            foreach (var group in job.Forgets)
            {
                _wal.Forget(group);
            }

            mustSync |= job.MustSync || job.Forgets.Count > 0;
        }

        if (mustSync)
        {
            var start = Stopwatch.GetTimestamp();
            _wal.Sync();
            NodeMetrics.SyncSeconds.Record(Stopwatch.GetElapsedTime(start).TotalSeconds);
            PrepareSpare();
        }

        if (_failed)
        {
            return;
        }

        // The messages first: a follower's acknowledgement has a network before it, the report only this process.
        foreach (var job in _taken)
        {
            if (job.Sends.Count > 0)
            {
                _send!(job.Sends);
            }

            job.Return();
        }

        if (mustSync)
        {
            Report();
            Unpin();
        }
    }

    /// <summary>
    /// Segments go in order, so a group that writes nothing would keep all that the others have written since: what it keeps is
    /// written once more at the end of the log. If that is too much, a snapshot makes most of it superfluous.
    /// </summary>
    private void Unpin()
    {
        var segments = _wal.SegmentCount;
        if (segments == _segmentsSeen)
        {
            return;
        }

        _segmentsSeen = segments;
        if (segments <= MaxPinnedSegments)
        {
            return;
        }

        foreach (var pin in _wal.OldestPins())
        {
            if (pin.SegmentsBehind < MaxPinnedSegments)
            {
                continue;
            }

            if (!_wal.Rewrite(pin.Group, MaxRewriteBytes))
            {
                _askForSnapshot!(pin.Group);
            }
            else if (_wal.MustSync)
            {
                // One at a time: so no more than that is held in memory, and the next one begins with nothing under way.
                _wal.Sync();
            }
        }
    }

    private void Report()
    {
        // One post per loop, so that a loop wakes once for all its shards.
        while (_due.Count > 0)
        {
            var loop = _due[^1].Loop;
            _reports.Clear();
            for (var i = _due.Count - 1; i >= 0; i--)
            {
                var hosted = _due[i];
                if (hosted.Loop == loop)
                {
                    hosted.ReportDue = false;
                    _reports.Add(LoopInput.ForPersisted(hosted, hosted.Appended));
                    _due.RemoveAt(i);
                }
            }

            loop.Inbox.PostAll(System.Runtime.InteropServices.CollectionsMarshal.AsSpan(_reports));
        }
    }

    /// <summary>
    /// Has the next segment's file filled with zeros on the thread pool before it is needed, so that no sync has to wait for
    /// that. One at a time.
    /// </summary>
    private void PrepareSpare()
    {
        if (_wal.WantsSpare && Interlocked.Exchange(ref _preparing, 1) == 0)
        {
            ThreadPool.UnsafeQueueUserWorkItem(static writer => writer.FillSpare(), this, preferLocal: false);
        }
    }

    private void FillSpare()
    {
        try
        {
            if (_mayPrepare())
            {
                _wal.PrepareSpare();
            }
        }
        catch (Exception e) when (e is IOException or ObjectDisposedException)
        {
            // Nothing is lost: a full disk is foreseen by the disk watch, and a disk that fails does so again, and fatally,
            // when the log needs the segment; or the node is stopping.
        }
        finally
        {
            Volatile.Write(ref _preparing, 0);
        }
    }

    private void ReadBack(HostedReplica hosted, Effect.Fetch fetch)
    {
        try
        {
            var entries = new List<Entry>();
            if (!_wal.TryRead(hosted.Genesis.Group, fetch.From, fetch.Through, fetch.MaxBytes, entries))
            {
                // Written over in the meantime: the empty answer ends the fetch, and the replica asks anew if it still needs to.
                entries.Clear();
            }

            hosted.Loop.Inbox.Post(LoopInput.ForFetched(hosted, fetch.To, entries));
        }
        catch (ObjectDisposedException)
        {
            // The node is stopping; nobody waits for these entries any more.
        }
        catch (Exception e)
        {
            _failed = true;
            _fatal(new NodeFailedException($"Old entries of shard {hosted.Genesis.Shard} could not be read back from the write-ahead log: {e.Message}", e));
        }
    }
}
