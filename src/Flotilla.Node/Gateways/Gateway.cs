using System.Runtime.CompilerServices;
using Flotilla.Node.Cluster;
using Flotilla.Raft;
using Flotilla.Shards;
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
        var shards = await ShardsAsync(deadline);
        if (shards.Count == 0)
        {
            return new ScanAnswer(ResultCode.NoQuorum, [], null, default, default, null, NothingKnown);
        }

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
                NodeMetrics.Count(CallKind.Scan, outcome.Code);
                return new ScanAnswer(outcome.Code, [], null, shards[i].Shard, outcome.Leader, cluster.HttpOf(outcome.Leader), outcome.Detail);
            }
        }

        NodeMetrics.Count(CallKind.Scan, ResultCode.Ok);
        var records = PageMerger.Merge([.. outcomes.Select(o => o.Page!)], request.Limit, out var next);
        return new ScanAnswer(ResultCode.Ok, records, next, default, default, null, null);
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
                return table.IsComplete ? table.Shards : [];
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
