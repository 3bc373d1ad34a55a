using System.Buffers.Text;
using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Runtime.CompilerServices;
using System.Security.Cryptography;
using System.Text.Json;
using Flotilla.Contracts;
using Flotilla.Contracts.Http;

namespace Flotilla.Client;

/// <summary>
/// Carries one request to an end: picks an endpoint, sends, judges, and sends again what can take effect only once
/// (hazard 34). Thread-safe.
/// </summary>
/// <remarks>
/// <para>A read may always be asked again, and a write that was certainly not carried out: nothing sent, 409
/// <c>not_leader</c>, 429 and 503.</para>
/// <para>After a broken connection, a silence, 500 or 504 a write may have been carried out: it is <em>in doubt</em>. Without
/// an idempotency key that is its end, <see cref="CallOutcome.Unknown"/>. With one it is sent again, and says that it is a
/// retry; from then on its end is what the store says of its execution, or <see cref="CallOutcome.Unknown"/>: what refuses a
/// later attempt says nothing about the earlier one.</para>
/// </remarks>
internal sealed class RequestSender : IDisposable
{
    private static readonly TimeSpan NotJoinedPause = TimeSpan.FromSeconds(1);

    private const int HintsFollowedAtOnce = 3;
    private const int DirectAttempts = 4;
    private static readonly TimeSpan RefreshPause = TimeSpan.FromMilliseconds(100);

    // A hint has served the slot that it was about: what else has changed may be learned at leisure. /config is long while slots move.
    private static readonly TimeSpan LeisurelyRefreshPause = TimeSpan.FromMilliseconds(500);

    // A key holds until the log time at which its call is over, and as much longer as the log time may be ahead of this
    // client's idea of it; it may be behind by as much. What differs more is learned from a refusal, and nothing is at stake:
    // an attempt that comes after the end is refused, never executed anew.
    private static readonly TimeSpan LogTimeTolerance = TimeSpan.FromSeconds(10);

    // No key is kept for longer than an hour. What is in doubt for longer than this stays so.
    private static readonly TimeSpan LongestHold = TimeSpan.FromMinutes(50);
    private const int KeyTimesLearnedAtOnce = 3;

    private readonly FlotillaClientOptions _options;
    private readonly ConcurrentDictionary<HostPort, ConnectionPool> _pools = new();
    private readonly ConnectionPool[] _endpoints;
    private readonly SemaphoreSlim _refreshGate = new(1);
    private readonly CancellationTokenSource _closed = new();
    private RoutingTable _routing = RoutingTable.Empty;
    private long _refreshedAt;
    private readonly string _keyPrefix = Base64Url.EncodeToString(RandomNumberGenerator.GetBytes(9));
    private readonly TimeSpan _keyHold;
    private readonly string _keyLife;
    private long _lastKey;
    private long _logTimeAheadMs;
    private uint _turn;

    public RequestSender(FlotillaClientOptions options)
    {
        if (options.Endpoints.Count == 0)
        {
            throw new ArgumentException("a client needs at least one endpoint", nameof(options));
        }

        _options = options;
        _endpoints = [.. options.Endpoints.Select(Pool)];
        _keyHold = Min(options.Timeout, LongestHold) + LogTimeTolerance;
        _keyLife = string.Create(CultureInfo.InvariantCulture, $";life={(long)Math.Ceiling((_keyHold + LogTimeTolerance).TotalSeconds)};until=");
    }

    /// <summary>What is known of leaders; for tests.</summary>
    internal RoutingTable Routing => Volatile.Read(ref _routing);

    /// <summary>Sends until there is an end. <paramref name="read"/> makes a result of an answer below 300 (or a 404 or 412), whose memory it must not keep; <paramref name="fail"/> of everything else.</summary>
    public async ValueTask<T> SendAsync<T>(KvRequest request, Func<Http1Response, T> read, Func<CallOutcome, CallError, string?, T> fail, CancellationToken cancel)
    {
        var started = Stopwatch.GetTimestamp();
        var key = request.IsWrite && _options.ExactlyOnce ? Interlocked.Increment(ref _lastKey) : 0;
        if (key != 0)
        {
            request = request with { IdempotencyKey = KeyOf(key) };
        }

        var slot = _options.DirectRouting && request.Path is null ? KeySlot.Of(request.Key.Span) : -1;
        if (slot >= 0 && Routing.IsEmpty)
        {
            await RefreshAsync(force: true, cancel);
        }

        var turn = _options.Spread ? Interlocked.Increment(ref _turn) : 0;
        CallError? last = null;
        CallError? doubt = null;
        HostPort? hint = null;
        var hints = 0;
        var learned = 0;
        var anybody = false;
        for (var attempt = 0; ; attempt++)
        {
            if (doubt is null)
            {
                cancel.ThrowIfCancellationRequested();
            }
            else if (cancel.IsCancellationRequested)
            {
                return fail(CallOutcome.Unknown, Interrupted(doubt), null);
            }

            var left = _options.Timeout - Stopwatch.GetElapsedTime(started);
            if (left <= TimeSpan.Zero)
            {
                return End(fail, doubt, last ?? new CallError("timeout", "the time was over before anything could be sent", 0));
            }

            var direct = false;
            var pool = hint is { } address ? Pool(address) : Choose(slot, attempt, turn, out direct);
            hint = null;
            var (step, failure, wait, value) = await AttemptAsync(request, pool, direct, left, read, fail, cancel);
            switch (step)
            {
                case Step.Done:
                    return value!;
                case Step.Redirected when failure!.Leader is { } leader && leader != pool.Endpoint:
                    // Two nodes with stale views may point at each other (hazard 54): a few hints are followed at once,
                    // more only at the pace of an election, and the deadline ends it.
                    hint = leader;
                    last = failure.Error;
                    Learn(slot, leader);
                    if (direct && Stopwatch.GetElapsedTime(Volatile.Read(ref _refreshedAt)) > LeisurelyRefreshPause)
                    {
                        _ = RefreshInBackgroundAsync();
                    }

                    if (++hints > HintsFollowedAtOnce)
                    {
                        await DelayAsync(Backoff(hints), cancel);
                    }

                    continue;
                case Step.OutOfTime when ++learned <= KeyTimesLearnedAtOnce:
                    // Certainly not executed, and no earlier attempt was: it begins anew, by the shard's time.
                    Volatile.Write(ref _logTimeAheadMs, failure!.LogTimeMs - DateTimeOffset.UtcNow.ToUnixTimeMilliseconds());
                    request = request with { IdempotencyKey = KeyOf(key) };
                    last = failure.Error;
                    continue;
                case Step.OutOfTime:
                    return fail(CallOutcome.Failed, failure!.Error, null);
                case Step.Unclear when request.IdempotencyKey is null || cancel.IsCancellationRequested:
                    if (direct)
                    {
                        _ = RefreshInBackgroundAsync();
                    }

                    return fail(CallOutcome.Unknown, failure!.Error, null);
                case Step.Unclear:
                    doubt ??= failure!.Error;
                    request = request with { IsRetry = true };
                    break;
                default:
                    break;
            }

            // An attempt that the deadline cut short says less than the answer before it.
            last = failure!.Error.Code is "timeout" && left < _options.ReadAttemptTimeout && last is { Status: > 0 } ? last : failure.Error;
            anybody |= !failure.NobodyThere;
            if (direct)
            {
                _ = RefreshInBackgroundAsync();
            }

            // What failed at one place may work at the next at once; only after a round over all is there a pause.
            var pause = wait ?? (attempt + 1 < _endpoints.Length ? TimeSpan.Zero : Backoff(attempt));
            var elapsed = Stopwatch.GetElapsedTime(started);
            if (pause > _options.Timeout - elapsed || (!anybody && elapsed > _options.RefusedPatience))
            {
                return End(fail, doubt, last);
            }

            if (pause > TimeSpan.Zero)
            {
                await DelayAsync(pause, cancel);
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _closed.Cancel();
        foreach (var pool in _pools.Values)
        {
            pool.Dispose();
        }
    }

    private enum Step
    {
        Done,
        Again,
        Redirected,
        Unclear,

        /// <summary>The key's end is not where it must be, by the time of the shard.</summary>
        OutOfTime,
    }

    private sealed record Refusal(CallError Error, HostPort? Leader, bool NobodyThere = false, long LogTimeMs = 0);

    private string KeyOf(long number) => string.Create(
        CultureInfo.InvariantCulture,
        $"{_keyPrefix}{number:x}{_keyLife}{DateTimeOffset.UtcNow.ToUnixTimeMilliseconds() + Volatile.Read(ref _logTimeAheadMs) + (long)_keyHold.TotalMilliseconds}");

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<(Step Step, Refusal? Refusal, TimeSpan? Wait, T? Value)> AttemptAsync<T>(KvRequest request, ConnectionPool pool, bool direct, TimeSpan left, Func<Http1Response, T> read, Func<CallOutcome, CallError, string?, T> fail, CancellationToken cancel)
    {
        Http1Connection? connection = null;
        try
        {
            connection = await pool.RentAsync(Min(_options.ConnectTimeout, left), cancel);
            connection.Request.ResetWrittenCount();
            request.Encode(connection.Request, pool.Name, noForward: direct);
            var response = await connection.ExchangeAsync(Min(request.IsWrite ? _options.WriteAttemptTimeout : _options.ReadAttemptTimeout, left), cancel);
            pool.Trust();
            if (response.Status is (>= 200 and < 300) or 404 or 412)
            {
                return Answered(request, response, read, fail);
            }

            var refused = Refused(request, response, fail);
            if (refused.Item2 is { Error.Code: "not_joined" })
            {
                // It belongs to no cluster, and others may: they come first for a while.
                pool.Suspect(NotJoinedPause);
            }

            return refused;
        }
        catch (Http1Exception failure)
        {
            var interrupted = cancel.IsCancellationRequested;
            if (!interrupted)
            {
                pool.Suspect(TimeSpan.FromMilliseconds(failure.TimedOut ? 2000 : failure.Reached == Reached.NotSent ? 500 : 250));
            }

            var error = new CallError(interrupted ? "interrupted" : failure.TimedOut ? "timeout" : failure.Reached == Reached.NotSent ? "unreachable" : "broken_connection", failure.Message, 0);
            if (request.IsWrite && failure.Reached == Reached.Unclear)
            {
                return (Step.Unclear, new Refusal(error, null), null, default);
            }

            return (Step.Again, new Refusal(error, null, failure.Refused), null, default);
        }
        catch (OperationCanceledException) when (request.IsRetry)
        {
            // Before anything of this attempt was sent; but an earlier one is in doubt.
            return (Step.Unclear, new Refusal(new CallError("interrupted", "interrupted while the outcome of an earlier attempt was being asked for", 0), null), null, default);
        }
        finally
        {
            if (connection is not null)
            {
                pool.Return(connection);
            }
        }
    }

    private static (Step, Refusal?, TimeSpan?, T?) Answered<T>(KvRequest request, Http1Response response, Func<Http1Response, T> read, Func<CallOutcome, CallError, string?, T> fail)
    {
        try
        {
            if (response.Status < 300)
            {
                return (Step.Done, null, null, read(response));
            }

            var problem = ProblemAnswer.Of(response);
            if (response.Status == 404 && problem is not { Code: "not_found" })
            {
                // Not the store's answer about a record, but somebody's about a route.
                return RefusedForGood(request, new CallError(problem?.Code ?? "bad_answer", problem?.Detail ?? "there is no such route: is this a Flotilla node?", 404), fail);
            }

            var outcome = response.Status == 404 ? CallOutcome.NotFound : CallOutcome.VersionMismatch;
            return (Step.Done, null, null, fail(outcome, ProblemAnswer.ErrorOf(response, problem), problem?.Version ?? response.ETag));
        }
        catch (JsonException garbled)
        {
            // The status is definite, but what it says can't be read: a write was done, a read has no result.
            var error = new CallError("bad_answer", $"the answer is not what it should be: {garbled.Message}", response.Status);
            return request.IsWrite ? (Step.Unclear, new Refusal(error, null), null, default) : (Step.Done, null, null, fail(CallOutcome.Failed, error, null));
        }
    }

    private static (Step, Refusal?, TimeSpan?, T?) Refused<T>(KvRequest request, Http1Response response, Func<CallOutcome, CallError, string?, T> fail)
    {
        Problem? problem = null;
        try
        {
            problem = ProblemAnswer.Of(response);
        }
        catch (JsonException)
        {
            // The status alone decides then.
        }

        var error = ProblemAnswer.ErrorOf(response, problem);
        switch (response.Status)
        {
            case 409 when string.Equals(error.Code, "not_leader", StringComparison.Ordinal):
                return (Step.Redirected, new Refusal(error, HostPort.TryParse(problem?.Leader?.Http, out var leader, out _) ? leader : null), null, default);
            case 409 when !request.IsRetry && problem is { Code: "key_expired", LogTimeMs: { } logTimeMs }:
                return (Step.OutOfTime, new Refusal(error, null, LogTimeMs: logTimeMs), null, default);
            case 429:
                return (Step.Again, new Refusal(error, null), response.RetryAfter ?? TimeSpan.FromMilliseconds(100 + Random.Shared.Next(100)), default);
            case 503:
                return (Step.Again, new Refusal(error, null), string.Equals(error.Code, "not_joined", StringComparison.Ordinal) ? null : response.RetryAfter, default);
            case 408 or >= 500:
                // 504 says so itself; behind a 500, or behind what a proxy says of a server that it lost, a write may be under way.
                return (request.IsWrite ? Step.Unclear : Step.Again, new Refusal(error, null), null, default);
            default:
                return RefusedForGood(request, error, fail);
        }
    }

    /// <summary>
    /// An answer that no other attempt would better. For a write in doubt it counts only if it is what executing it came to
    /// (an increment of what is no number); any other refusal speaks of this attempt alone.
    /// </summary>
    private static (Step, Refusal?, TimeSpan?, T?) RefusedForGood<T>(KvRequest request, CallError error, Func<CallOutcome, CallError, string?, T> fail) =>
        request.IsRetry && error is not { Status: 400, Code: "bad_request" }
            ? (Step.Again, new Refusal(error, null), null, default)
            : (Step.Done, null, null, fail(CallOutcome.Failed, error, null));

    /// <summary>The end of a call whose time is over.</summary>
    private static T End<T>(Func<CallOutcome, CallError, string?, T> fail, CallError? doubt, CallError last) =>
        doubt is null ? fail(CallOutcome.Unavailable, last, null) : fail(CallOutcome.Unknown, doubt, null);

    private static CallError Interrupted(CallError doubt) => new("interrupted", $"interrupted while the outcome of an earlier attempt was being asked for: {doubt.Message}", 0);

    /// <summary>Waits; an end before the time is seen by the loop, which knows what it means.</summary>
    private static async Task DelayAsync(TimeSpan time, CancellationToken cancel) =>
        await Task.Delay(time, cancel).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);

    private ConnectionPool Choose(int slot, int attempt, uint turn, out bool direct)
    {
        direct = false;
        var routing = Routing;
        if (slot >= 0 && attempt < DirectAttempts && routing.LeaderOf(slot) is { } leader)
        {
            var pool = Pool(leader);
            if (!pool.IsSuspect)
            {
                direct = true;
                return pool;
            }

            _ = RefreshInBackgroundAsync();
        }

        var count = _endpoints.Length + routing.Nodes.Length;
        var first = (int)((turn + (uint)attempt) % (uint)_endpoints.Length);
        for (var i = 0; i < count; i++)
        {
            // The endpoints given come first, then the nodes learned, should all of those be gone.
            var pool = i < _endpoints.Length ? _endpoints[(first + i) % _endpoints.Length] : Pool(routing.Nodes[(i + attempt) % routing.Nodes.Length]);
            if (!pool.IsSuspect)
            {
                return pool;
            }
        }

        return _endpoints[first];
    }

    private ConnectionPool Pool(HostPort endpoint) =>
        _pools.TryGetValue(endpoint, out var pool) ? pool : _pools.GetOrAdd(endpoint, static (address, max) => new ConnectionPool(address, max), _options.MaxIdleConnections);

    private void Learn(int slot, HostPort leader)
    {
        if (slot < 0)
        {
            return;
        }

        RoutingTable before;
        RoutingTable after;
        do
        {
            before = Routing;
            after = before.With(slot, leader);
        }
        while (Interlocked.CompareExchange(ref _routing, after, before) != before);
    }

    private async Task RefreshInBackgroundAsync()
    {
        // Whatever goes wrong here goes wrong in the request that needs it, too, and is reported there.
        try
        {
            await Task.Yield();
            await RefreshAsync(force: false, _closed.Token);
        }
        catch (Exception)
        {
            return;
        }
    }

    /// <summary>Asks the endpoints in turn for <c>/config</c>. Without <paramref name="force"/> only if nobody is at it and the last time is a while ago.</summary>
    private async Task RefreshAsync(bool force, CancellationToken cancel)
    {
        if (!await _refreshGate.WaitAsync(force ? Timeout.InfiniteTimeSpan : TimeSpan.Zero, cancel))
        {
            return;
        }

        try
        {
            if (force ? !Routing.IsEmpty : Stopwatch.GetElapsedTime(_refreshedAt) < RefreshPause)
            {
                return;
            }

            var request = new KvRequest { Method = "GET", Path = "/config" };
            var candidates = _endpoints.Concat(Routing.Nodes.Select(Pool)).OrderBy(p => p.IsSuspect).ToList();
            foreach (var pool in candidates)
            {
                var (step, _, _, config) = await AttemptAsync<ConfigDocument?>(request, pool, direct: false, TimeSpan.FromSeconds(1),
                    static response => JsonSerializer.Deserialize(response.Body.Span, DocumentsJson.Default.ConfigDocument), static (_, _, _) => null, cancel);
                if (step == Step.Done && config is { Nodes: not null, Shards: not null })
                {
                    RoutingTable before;
                    do
                    {
                        before = Routing;
                    }
                    while (Interlocked.CompareExchange(ref _routing, before.With(config), before) != before);
                    break;
                }
            }

            _refreshedAt = Stopwatch.GetTimestamp();
        }
        finally
        {
            _refreshGate.Release();
        }
    }

    private static TimeSpan Backoff(int attempt) => TimeSpan.FromMilliseconds(Math.Min(200, 10 << Math.Min(attempt, 5)) * (0.5 + (Random.Shared.NextDouble() / 2)));

    private static TimeSpan Min(TimeSpan a, TimeSpan b) => a < b ? a : b;
}
