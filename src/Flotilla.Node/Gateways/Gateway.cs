using System.Runtime.CompilerServices;
using Flotilla.Node.Cluster;
using Flotilla.Raft;
using Flotilla.Shards;
using Flotilla.Topology;
using Flotilla.Wire.Peers;

namespace Flotilla.Node.Gateways;

/// <summary>
/// Takes a client's call, finds the shard and its leader, asks the local replica or forwards, and tries again until there
/// is an answer or time is up. How a write takes effect once all the same is argued at <see cref="Writes"/>.
/// </summary>
internal sealed class Gateway(ClusterState cluster, ITargets targets, TimeSpan defaultTimeout) : IGateway, IDisposable
{
    private const string NothingKnown = "this process has not learned yet which shards own all slots: the nodes that know have not answered it";
    private const int MaxPageRecords = 10_000;
    private const double MinScanPauseMs = 4;
    private const double MaxScanPauseMs = 50;

    // A page of each shard must fit into a frame between nodes.
    private const int MaxPageBytes = 4 << 20;

    private readonly Writes _writes = new(targets, defaultTimeout);
    private int _underWay;

    /// <summary>Calls of this process's own clients that have no answer yet.</summary>
    public int UnderWay => Volatile.Read(ref _underWay);

    /// <inheritdoc/>
    public ClusterView View => cluster.View();

    /// <inheritdoc/>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public async ValueTask<Answer> ExecuteAsync(Command command, CallOptions options)
    {
        if (FaultOf(in command, options) is { } fault)
        {
            return ToAnswer(CallKind.Command, command.Key, Outcome.Of(ResultCode.BadRequest, fault));
        }

        Interlocked.Increment(ref _underWay);
        try
        {
            var ask = new Ask(CallKind.Command, command, default, default, Stale: false, options.Forward, DeadlineOf(options));
            return ToAnswer(CallKind.Command, command.Key, await _writes.RunAsync(ask, options.IsRetry));
        }
        finally
        {
            Interlocked.Decrement(ref _underWay);
        }
    }

    /// <inheritdoc/>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public async ValueTask<Answer> GetAsync(ReadOnlyMemory<byte> key, CallOptions options)
    {
        var command = new Command(default, key, default, default, 0, 0);
        var outcome = key.IsEmpty ? Outcome.Of(ResultCode.BadRequest, EmptyKey) : await ReadAsync(new Ask(CallKind.Get, command, default, default, options.Stale, options.Forward, DeadlineOf(options)));
        return ToAnswer(CallKind.Get, key, outcome);
    }

    /// <inheritdoc/>
    public async ValueTask<ScanAnswer> ScanAsync(ScanRequest request, CallOptions options)
    {
        request = request with { Limit = Math.Clamp(request.Limit, 1, MaxPageRecords), MaxBytes = Math.Clamp(request.MaxBytes, 1, MaxPageBytes) };
        var deadline = DeadlineOf(options);
        var pauseMs = MinScanPauseMs;
        while (true)
        {
            var shards = await ShardsAsync(deadline);
            if (shards.Count == 0)
            {
                return new ScanAnswer(ResultCode.NoQuorum, [], null, default, default, null, NothingKnown);
            }

            // Pages of shards between which a slot moved meanwhile would show its keys twice, or not at all: then all are read again.
            var (answer, isWhole) = await ScanOnceAsync(shards, request, options, deadline);
            if (isWhole || answer.Code != ResultCode.Ok || NodeClock.Now >= deadline)
            {
                answer = isWhole || answer.Code != ResultCode.Ok ? answer : new ScanAnswer(ResultCode.SlotMoving, [], null, default, default, null, "slots moved during each attempt to list them");
                NodeMetrics.Count(CallKind.Scan, answer.Code);
                return answer;
            }

            await Course.UntilAsync(Task.Delay(Timeout.Infinite), Math.Min(pauseMs, deadline.MsSince(NodeClock.Now)), _writes.Ended);
            pauseMs = Math.Min(pauseMs * 2, MaxScanPauseMs);
        }
    }

    private async Task<(ScanAnswer Answer, bool IsWhole)> ScanOnceAsync(IReadOnlyList<ShardRoute> shards, ScanRequest request, CallOptions options, Instant deadline)
    {
        // All shards at once. Each gives a whole page: keys are spread by hash, yet a prefix may live in one shard alone.
        var asks = new Task<Outcome>[shards.Count];
        for (var i = 0; i < asks.Length; i++)
        {
            asks[i] = ReadAsync(new Ask(CallKind.Scan, default, request, shards[i].Shard, options.Stale, options.Forward, deadline)).AsTask();
        }

        var outcomes = await Task.WhenAll(asks);
        for (var i = 0; i < outcomes.Length; i++)
        {
            var outcome = outcomes[i];
            if (outcome.Code != ResultCode.Ok)
            {
                return (new ScanAnswer(outcome.Code, [], null, shards[i].Shard, outcome.Leader, cluster.HttpOf(outcome.Leader), outcome.Detail), false);
            }
        }

        var (count, all) = (0, SlotSet.Empty);
        foreach (var outcome in outcomes)
        {
            count += outcome.Page!.Slots.Count;
            all = all.Union(outcome.Page.Slots);
        }

        var records = PageMerger.Merge([.. outcomes.Select(o => o.Page!)], request.Limit, out var next);
        return (new ScanAnswer(ResultCode.Ok, records, next, default, default, null, null), count == Slot.Count && all.Count == Slot.Count);
    }

    /// <summary>Closes what the shards keep for this process's writes, before it stops. At most for <paramref name="patience"/>.</summary>
    public Task CloseSessionsAsync(TimeSpan patience) => _writes.CloseSessionsAsync(patience);

    /// <summary>The process stops: no attempt gets an answer any more, so calls that wait are given up.</summary>
    public void Dispose() => _writes.Dispose();

    private const string EmptyKey = "a key must not be empty";

    private static string? FaultOf(in Command command, CallOptions options) =>
        command.Key.IsEmpty ? EmptyKey
        : command.TtlMs < 0 ? "a time to live must not be negative"
        : command.Once is not (null or Once.ByKey { Key.Length: > 0 and <= Once.ByKey.MaxKeyBytes }) ? $"an idempotency key has 1 to {Once.ByKey.MaxKeyBytes} bytes"
        : options.IsRetry && command.Once is null ? "only a write with an idempotency key can be sent again as a retry"
        : null;

    private Instant DeadlineOf(CallOptions options) =>
        NodeClock.Now.PlusMs(options.TimeoutMs > 0 ? options.TimeoutMs : defaultTimeout.TotalMilliseconds);

    private Answer ToAnswer(CallKind kind, ReadOnlyMemory<byte> key, in Outcome outcome)
    {
        NodeMetrics.Count(kind, outcome.Code);
        var shard = cluster.Table.Of(key.Span)?.Shard ?? default;
        return new Answer(outcome.Result, shard, outcome.Leader, cluster.HttpOf(outcome.Leader), outcome.Detail);
    }

    private async ValueTask<IReadOnlyList<ShardRoute>> ShardsAsync(Instant deadline)
    {
        while (true)
        {
            var changed = cluster.TableChanged;
            var table = cluster.Table;
            if (table.IsComplete || NodeClock.Now >= deadline || _writes.Ended.IsCancellationRequested)
            {
                // A page without the keys of some slots would pass for a whole one.
                return table.IsComplete ? [.. table.Shards.Where(static route => route.Ranges.Count > 0)] : [];
            }

            await Course.UntilAsync(changed, deadline.MsSince(NodeClock.Now), _writes.Ended);
        }
    }

    /// <summary>Attempts until there is an answer, or time is up.</summary>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<Outcome> ReadAsync(Ask ask)
    {
        Interlocked.Increment(ref _underWay);
        try
        {
            Course? course = null;
            while (true)
            {
                var target = targets.Choose(ask, course?.Hint ?? default, course?.Attempts ?? 0);
                if (target.IsReachable)
                {
                    var outcome = await targets.AskAsync(target, ask);
                    if (!outcome.MayTryAgain && outcome.Code != ResultCode.Indeterminate)
                    {
                        return outcome;
                    }

                    (course ??= new Course()).Note(target, outcome);
                    if (!ask.Forward && targets.Choose(ask, default, course.Attempts) is { Place: Place.Elsewhere } elsewhere)
                    {
                        target = elsewhere;
                    }
                }

                if (target.Place == Place.Elsewhere)
                {
                    return Outcome.Of(ResultCode.NotLeader, target.Why, target.Node);
                }

                if (target.Place == Place.Nowhere)
                {
                    (course ??= new Course()).NoteNowhere(target);
                }

                if (!await course!.PauseAsync(ask.Deadline, _writes.Ended))
                {
                    return course.OutOfTime();
                }
            }
        }
        finally
        {
            Interlocked.Decrement(ref _underWay);
        }
    }
}
