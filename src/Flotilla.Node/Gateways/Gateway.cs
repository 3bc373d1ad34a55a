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
        return ToAnswer(CallKind.Get, key, outcome, options.Stale);
    }

    /// <inheritdoc/>
    public async ValueTask<ScanAnswer> ScanAsync(ScanRequest request, CallOptions options)
    {
        request = request with { Limit = Math.Clamp(request.Limit, 1, MaxPageRecords), MaxBytes = Math.Clamp(request.MaxBytes, 1, MaxPageBytes) };
        var answer = await new MergedScan(cluster, ReadAsync, _writes.Ended).RunAsync(request, options, DeadlineOf(options));
        NodeMetrics.Count(CallKind.Scan, answer.Code);
        return answer;
    }

    /// <inheritdoc/>
    public async ValueTask<ScanAnswer> GetManyAsync(IReadOnlyList<ReadOnlyMemory<byte>> keys, CallOptions options)
    {
        var answer = keys.Count is < 1 or > ScanRequest.MaxKeys || keys.Any(static key => key.IsEmpty)
            ? new ScanAnswer(ResultCode.BadRequest, [], null, default, default, null, $"1 to {ScanRequest.MaxKeys} keys can be read together, none of them empty")
            : await new TogetherRead(cluster, ReadAsync, _writes.Ended).RunAsync(keys, MaxPageBytes, options, DeadlineOf(options));
        NodeMetrics.Count(CallKind.Scan, answer.Code);
        return answer;
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

    private Answer ToAnswer(CallKind kind, ReadOnlyMemory<byte> key, in Outcome outcome, bool isStale = false)
    {
        NodeMetrics.Count(kind, outcome.Code);
        var route = cluster.Table.Of(key.Span);
        return new Answer(outcome.Result, route?.Shard ?? default, outcome.Leader, cluster.HttpOf(outcome.Leader), outcome.Detail) { Mode = route?.Facts.Mode, IsStale = isStale };
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
                var next = course?.Next(ask) ?? ask;
                var target = targets.Choose(next, course?.Hint ?? default, course?.Attempts ?? 0);
                if (ask.Kind == CallKind.Scan && target.Route is null)
                {
                    // It is retired, and has nothing.
                    return new Outcome(default, new ScanPage(ResultCode.Ok, [], More: false), default, null);
                }

                if (target.IsReachable)
                {
                    var outcome = await targets.AskAsync(target, next);
                    if (!outcome.MayTryAgain && outcome.Code != ResultCode.Indeterminate)
                    {
                        return outcome;
                    }

                    (course ??= new Course()).Note(target, outcome);
                    if (!ask.Forward && targets.Choose(course.Next(ask), default, course.Attempts) is { Place: Place.Elsewhere } elsewhere)
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
