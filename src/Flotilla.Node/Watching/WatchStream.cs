using System.Threading.Channels;
using Flotilla.Node.Cluster;
using Flotilla.Raft;
using Flotilla.Shards.Watching;
using Flotilla.Topology;
using Flotilla.Wire.Peers;
using Microsoft.Extensions.Logging;

namespace Flotilla.Node.Watching;

/// <summary>
/// One watch: a task for each shard asks for events and passes them on into one queue, from which the door takes them.
/// </summary>
/// <remarks>
/// <para><em>Bounds.</em> A task asks for the next events only when its last ones are in the queue, and the queue holds one batch for each shard. So
/// a reader that does not read costs two small batches per shard and nothing more as time goes by; what it has not read is kept
/// once for all, in the replicas' <see cref="EventLog"/>, and when it is dropped there the watch ends.</para>
/// <para><em>Order.</em> A key's events are in the log of whoever owned its slot. Within one shard the queue keeps their order. Where a shard
/// took slots over, its task waits until the task of the shard that gave them has passed on all that lies before its Freeze;
/// the queue then has the old owner's events before the new one's. A Freeze lies before its Accept in time, so the tasks
/// wait only for what happened before, and never for each other in a circle (waiting for the Release instead, which comes
/// after the Accept, they could, when two shards give each other slots).</para>
/// </remarks>
internal sealed class WatchStream : IWatchStream
{
    /// <summary>How long a replica holds a question that it has nothing to answer to; then another may be asked, should this one have lost touch.</summary>
    private const int WaitMs = 1000;

    private const int FreezeWaitMs = 1000;
    private const int FreezePauseMs = 5;
    private const int BytesOfAllBatches = 512 << 10;

    private readonly Lock _gate = new();
    private readonly ClusterState _cluster;
    private readonly IWatchSources _sources;
    private readonly WatchRequest _request;
    private readonly Action _closed;
    private readonly ILogger _log;
    private readonly int _batchBytes;
    private readonly Channel<Batch> _queue;
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _opening;
    private readonly ulong _clusterId;
    private readonly List<(ShardId Shard, EventPosition At)> _positions;
    private readonly HashSet<ShardId> _over;
    private Dictionary<ShardId, ShardTask> _tasks = [];
    private Batch? _current;
    private int _next;
    private string? _cursor;
    private int _end;
    private int _disposed;

    public WatchStream(ClusterState cluster, IWatchSources sources, WatchRequest request, IReadOnlyList<(ShardRoute Route, EventPosition At)> begins, IReadOnlyCollection<ShardId> over, Action closed, ILogger log)
    {
        _over = [.. over];
        _cluster = cluster;
        _sources = sources;
        _request = request;
        _closed = closed;
        _log = log;
        _clusterId = cluster.Table.ClusterId;
        _batchBytes = Math.Clamp(BytesOfAllBatches / Math.Max(1, begins.Count), 4 << 10, 64 << 10);
        _queue = Channel.CreateBounded<Batch>(new BoundedChannelOptions(Math.Max(1, begins.Count)) { SingleReader = true });
        _positions = [.. begins.Select(begin => (begin.Route.Shard, begin.At)).Concat(over.Select(static shard => (Shard: shard, At: EventPosition.Over))).OrderBy(static position => position.Shard)];
        foreach (var (route, at) in begins)
        {
            Begin(route, at);
        }

        _opening = Task.Run(FollowTableAsync);
    }

    /// <inheritdoc/>
    public string Cursor => _cursor ??= WatchCursor.Encode(_clusterId, _positions);

    /// <inheritdoc/>
    public WatchEnd End => (WatchEnd)Volatile.Read(ref _end);

    /// <inheritdoc/>
    public IReadOnlyList<ShardId> Leaderless =>
        [.. Tasks.Values.Where(task => task.Route.Leader.Leader is var leader && (leader.IsNone || !_cluster.IsAlive(leader))).Select(static task => task.Route.Shard).Order()];

    private Dictionary<ShardId, ShardTask> Tasks => Volatile.Read(ref _tasks);

    /// <inheritdoc/>
    public WatchEvent? TryTake()
    {
        while (true)
        {
            if (_current is { } batch)
            {
                if (_next < batch.To)
                {
                    var read = batch.Events[_next++];
                    Stand(batch.Shard, read.After);
                    NodeMetrics.WatchEvents.Add(1);
                    return new WatchEvent(read.Kind, read.Key, read.Value, read.Version, Cursor);
                }

                Stand(batch.Shard, batch.IsLast ? EventPosition.Over : batch.Reached);
                _current = null;
            }

            if (!_queue.Reader.TryRead(out var next))
            {
                return null;
            }

            (_current, _next) = (next, next.From);
        }
    }

    /// <inheritdoc/>
    public async ValueTask<bool> WaitAsync(TimeSpan patience, CancellationToken cancellation)
    {
        if (_current is not null || End != WatchEnd.None)
        {
            return true;
        }

        using var patient = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        patient.CancelAfter(patience);
        try
        {
            return !await _queue.Reader.WaitToReadAsync(patient.Token) || true;
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            return false;
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _disposed, 1) == 0)
        {
            await _stop.CancelAsync();
            await _opening;
            await Task.WhenAll(Tasks.Values.Select(static task => task.Running));
            _stop.Dispose();
            NodeMetrics.Watches.Add(-1);
            _closed();
        }
    }

    private void Stand(ShardId shard, EventPosition at)
    {
        var place = _positions.FindIndex(position => position.Shard == shard);
        if (place < 0)
        {
            _positions.Add((shard, at));
            _positions.Sort(static (a, b) => a.Shard.CompareTo(b.Shard));
            _cursor = null;
        }
        else if (_positions[place].At != at)
        {
            _positions[place] = (shard, at);
            _cursor = null;
        }
    }

    /// <summary>A shard that is born while the watch stands is watched from its first entry on: what it got by handoff makes no events.</summary>
    private async Task FollowTableAsync()
    {
        while (!_stop.IsCancellationRequested)
        {
            var changed = _cluster.TableChanged;
            FollowTable();
            await changed.WaitAsync(_stop.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private void FollowTable()
    {
        lock (_gate)
        {
            foreach (var route in _cluster.Table.Shards)
            {
                // Of two groups that were born under one number one retires: then the other is watched. One that the cursor says is
                // over may still stand in the table of a node that has not heard so.
                if (!_over.Contains(route.Shard) && (!Tasks.TryGetValue(route.Shard, out var task) || (task.IsOver && task.Route.Group != route.Group)))
                {
                    Begin(route, EventPosition.Zero);
                }
            }
        }
    }

    private void Begin(ShardRoute route, EventPosition at)
    {
        lock (_gate)
        {
            var task = new ShardTask(route, at);
            Volatile.Write(ref _tasks, new Dictionary<ShardId, ShardTask>(_tasks) { [route.Shard] = task });
            task.Running = Task.Run(() => RunAsync(task));
        }
    }

    private async Task RunAsync(ShardTask task)
    {
        var shard = task.Route.Shard;
        try
        {
            while (true)
            {
                var pull = new WatchPull(PullKind.Events, task.At, _request.Filter, _batchBytes);
                var reply = await _sources.AskAsync(task.Route, pull, WaitMs, _request.Forward, Instant.Never, _stop.Token);
                if (reply.Code != PullCode.Ok)
                {
                    Finish(WatchEnd.Slow);
                    return;
                }

                var from = 0;
                for (var i = 0; i < reply.Events.Count; i++)
                {
                    if (reply.Events[i] is { Kind: ShardEventKind.Ended } ended)
                    {
                        // Where another group goes by its number, or may (of two births the one retires that never owned anything), the number is
                        // not over.
                        var isLast = ended.Move.Value > 0 && (_cluster.Table.Of(shard) is not { } other || other.Group == task.Route.Group);
                        await PassAsync(task, new Batch(shard, reply.Events, from, i, isLast ? ended.After : EventPosition.Zero) { IsLast = isLast });
                        task.IsOver = true;
                        FollowTable();
                        return;
                    }

                    if (reply.Events[i] is { Kind: ShardEventKind.Came } came)
                    {
                        // Right before the mark: not behind it, or whoever went on with a cursor from during the wait would not wait; and
                        // not at the event before, for a Freeze may lie between, which another task waits to see passed.
                        await PassAsync(task, new Batch(shard, reply.Events, from, i, came.Before));
                        await FrozenAsync(came);
                        from = i + 1;
                    }
                }

                await PassAsync(task, new Batch(shard, reply.Events, from, reply.Events.Count, reply.Reached));
            }
        }
        catch (OperationCanceledException)
        {
            // Disposed of, or ended by another shard's task.
        }
        catch (ChannelClosedException)
        {
            // Likewise.
        }
        catch (Exception e)
        {
            _log.WatchBroke(shard, e);
            Finish(WatchEnd.Failed);
        }
    }

    private async ValueTask PassAsync(ShardTask task, Batch batch)
    {
        if (batch.From < batch.To || batch.Reached != task.At)
        {
            await _queue.Writer.WriteAsync(batch, _stop.Token);
            task.At = batch.Reached;
        }
    }

    /// <summary>Waits until all that a move's slots did where they came from has been passed on.</summary>
    private async ValueTask FrozenAsync(ShardEvent came)
    {
        while (true)
        {
            if (_over.Contains(came.Source))
            {
                return; // All that it ever did was passed on before this cursor.
            }

            if (Tasks.TryGetValue(came.Source, out var source))
            {
                if (source.IsOver)
                {
                    return; // All that it ever did has been passed on.
                }

                var pull = new WatchPull(PullKind.Freeze, source.At, default, 1, came.Move);
                var reply = await _sources.AskAsync(source.Route, pull, FreezeWaitMs, _request.Forward, Instant.Never, _stop.Token);
                if (reply.Code == PullCode.Ok)
                {
                    return;
                }

                if (reply.Code != PullCode.NotYet)
                {
                    Finish(WatchEnd.Slow);
                    return;
                }
            }
            else if (_cluster.Table.Of(came.Source) is null && _cluster.IsRetired(came.Source))
            {
                // It came and went while this process heard of nothing: what it did in between can't be told.
                Finish(WatchEnd.Slow);
                return;
            }

            await Task.Delay(FreezePauseMs, _stop.Token);
        }
    }

    private void Finish(WatchEnd end)
    {
        if (Interlocked.CompareExchange(ref _end, (int)end, (int)WatchEnd.None) == (int)WatchEnd.None)
        {
            if (end == WatchEnd.Slow)
            {
                NodeMetrics.WatchesCut.Add(1);
            }

            _queue.Writer.TryComplete();
        }
    }

    private sealed class ShardTask(ShardRoute route, EventPosition at)
    {
        private volatile Tuple<EventPosition> _at = Tuple.Create(at);

        public ShardRoute Route => route;

        /// <summary>All before this is in the queue.</summary>
        public EventPosition At
        {
            get => _at.Item1;
            set => _at = Tuple.Create(value);
        }

        public Task Running { get; set; } = Task.CompletedTask;

        /// <summary>The shard is retired, and all that it ever did is in the queue.</summary>
        public volatile bool IsOver;
    }

    /// <summary>Events of one shard, from one place to another, and where its reader stands behind them.</summary>
    private sealed record Batch(ShardId Shard, IReadOnlyList<ShardEvent> Events, int From, int To, EventPosition Reached)
    {
        /// <summary>The shard is retired: no other follows.</summary>
        public bool IsLast { get; init; }
    }
}
