using System.Runtime.CompilerServices;
using Flotilla.Node.Cluster;
using Flotilla.Node.Loops;
using Flotilla.Node.Peers;
using Flotilla.Raft;
using Flotilla.Shards;
using Flotilla.Wire.Peers;

namespace Flotilla.Node.Gateways;

/// <summary>
/// Takes a client's call, finds the shard and its leader, asks the local replica or forwards, and tries again, until the
/// deadline, only what was certainly not proposed. Once a write may be in a log its answer is its result or
/// <see cref="ResultCode.Indeterminate"/>.
/// </summary>
internal sealed class Gateway(ClusterState cluster, PeerTransport transport, TimeSpan defaultTimeout) : IGateway
{
    private const string NothingKnown = "this process has not learned yet which shards there are: no node of the cluster has answered it";
    private const int MaxPageRecords = 10_000;

    // A page of each shard must fit into a frame between nodes.
    private const int MaxPageBytes = 4 << 20;
    private const double MinPauseMs = 4;
    private const double MaxPauseMs = 100;

    // How long the leader's own stream may be missing before another node is asked to pass the call on.
    private const double RelayAfterMs = 50;

    private int _underWay;

    /// <summary>Calls of this process's own clients that have no answer yet.</summary>
    public int UnderWay => Volatile.Read(ref _underWay);

    /// <inheritdoc/>
    public ClusterView View => cluster.View();

    /// <inheritdoc/>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public async ValueTask<Answer> ExecuteAsync(Command command, CallOptions options)
    {
        var outcome = command.Key.IsEmpty || command.TtlMs < 0
            ? BadRequest
            : await RunAsync(new Ask(CallKind.Command, command, default, default, Stale: false, options.Forward, DeadlineOf(options)));
        return ToAnswer(CallKind.Command, command.Key, outcome);
    }

    /// <inheritdoc/>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public async ValueTask<Answer> GetAsync(ReadOnlyMemory<byte> key, CallOptions options)
    {
        var command = new Command(default, key, default, default, 0, 0);
        var outcome = key.IsEmpty ? BadRequest : await RunAsync(new Ask(CallKind.Get, command, default, default, options.Stale, options.Forward, DeadlineOf(options)));
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
            asks[i] = RunAsync(new Ask(CallKind.Scan, default, request, shards[i].Shard, options.Stale, options.Forward, deadline)).AsTask();
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

    private static Outcome BadRequest => Outcome.Of(ResultCode.BadRequest, "a key must not be empty, nor a time to live negative");

    private static Outcome OutOfTime(ShardRoute? route, in Outcome last)
    {
        var why = NotBegun(route) ?? last.Detail ?? (route is null ? NothingKnown : $"shard {route.Shard} had no leader that a majority of its voters ({string.Join(", ", route.Voters)}) follows");
        return Outcome.Of(ResultCode.NoQuorum, $"time ran out; nothing was written: {why}", route?.Leader.Leader ?? default);
    }

    /// <summary>What keeps a shard from ever having had a leader, as far as its replica here knows; null if it is not that.</summary>
    private static string? NotBegun(ShardRoute? route) =>
        route is { Leader.Leader.IsNone: true, Local.View: { Admitted: false, SeatIsTaken: false, Awaited: { Count: > 0 } awaited } }
            ? $"shard {route.Shard} has not begun: its replica here is waiting for first contact with node {string.Join(", ", awaited)}. All first replicas of a new shard must have been up together once; start what is missing"
            : null;

    private static async ValueTask PauseAsync(Task news, double ms, Instant deadline)
    {
        var remaining = Math.Min(ms, deadline.MsSince(NodeClock.Now));
        if (remaining > 0 && !news.IsCompleted)
        {
            await news.WaitAsync(TimeSpan.FromMilliseconds(Math.Ceiling(remaining))).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

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
            if (cluster.Table.Shards.Count > 0 || NodeClock.Now >= deadline)
            {
                return cluster.Table.Shards;
            }

            await PauseAsync(changed, double.MaxValue, deadline);
        }
    }

    /// <summary>Attempts until there is a definite answer, the outcome is unclear, or time is up.</summary>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<Outcome> RunAsync(Ask ask)
    {
        Interlocked.Increment(ref _underWay);
        try
        {
            var pauseMs = MinPauseMs;
            NodeId hint = default;
            for (var attempt = 0; ; attempt++)
            {
                // Read the news before what they are about, so that no change is missed in between.
                var news = cluster.TableChanged;
                var table = cluster.Table;
                var route = ask.Kind == CallKind.Scan ? table.Of(ask.Shard) : table.Of(ask.Command.Key.Span);
                var waitMs = double.MaxValue;
                Outcome outcome = default;
                if (route is not null)
                {
                    var info = route.Leader;
                    news = info.Superseded;
                    var target = hint.IsNone ? info.Leader : hint;
                    if (AsksHere(ask, route, target, attempt))
                    {
                        outcome = await Attempts.LocalAsync(route.Local!, ask, info.Leader);
                        waitMs = ask.IsWrite || target.IsNone || target == cluster.Self ? pauseMs : 0;
                    }
                    else if (!ask.Forward)
                    {
                        return Outcome.Of(ResultCode.NotLeader, target.IsNone ? "no leader is known at this moment" : null, target);
                    }
                    else if (SessionFor(ask, route, target, attempt, out var anyReplica) is { } session)
                    {
                        outcome = await Attempts.RemoteAsync(session, route, ask, hops: 0, anyReplica);
                        waitMs = pauseMs;
                    }
                    else
                    {
                        outcome = Outcome.Of(ResultCode.NotLeader, target.IsNone ? null : $"node {target}, the last known leader of shard {route.Shard}, can't be reached", target);
                        waitMs = target.IsNone ? double.MaxValue : RelayAfterMs;
                    }

                    if (!outcome.MayTryAgain(ask.IsWrite))
                    {
                        return outcome;
                    }

                    // An answer that names another leader than we knew is worth one attempt at once.
                    var told = outcome.Leader;
                    hint = hint.IsNone && !told.IsNone && told != target ? told : default;
                    waitMs = hint.IsNone ? waitMs : 0;
                    if (!ask.Forward && route.Leader.Leader != cluster.Self)
                    {
                        return Outcome.Of(ResultCode.NotLeader, null, route.Leader.Leader);
                    }
                }

                if (NodeClock.Now >= ask.Deadline)
                {
                    return OutOfTime(route, outcome);
                }

                await PauseAsync(news, waitMs, ask.Deadline);
                pauseMs = Math.Min(pauseMs * 2, MaxPauseMs);
            }
        }
        finally
        {
            Interlocked.Decrement(ref _underWay);
        }
    }

    /// <summary>Whether this attempt goes to the replica on this node: a write if it leads, a read also if it follows.</summary>
    private bool AsksHere(in Ask ask, ShardRoute route, NodeId target, int attempt)
    {
        if (target == cluster.Self && route.Local is not null)
        {
            return true;
        }

        if (route.Serving is null)
        {
            return false;
        }

        if (ask.Stale && attempt == 0)
        {
            return true;
        }

        // A follower gets its read index from the leader. If it could not, the next attempt goes to the leader itself.
        return !ask.IsWrite && ask.Forward && (target.IsNone ? attempt == 0 : attempt % 2 == 0);
    }

    /// <summary>The stream to ask on; null if there is none. Any replica will do for a stale read, and for passing a call on.</summary>
    private PeerSession? SessionFor(in Ask ask, ShardRoute route, NodeId target, int attempt, out bool anyReplica)
    {
        anyReplica = false;
        if (transport.LinkOf(target)?.Session is { } direct && cluster.IsAlive(target))
        {
            return direct;
        }

        anyReplica = true;
        if (ask.Stale || attempt > 0)
        {
            foreach (var voter in route.Voters)
            {
                if (voter != target && voter != cluster.Self && cluster.IsAlive(voter) && transport.LinkOf(voter)?.Session is { } other)
                {
                    return other;
                }
            }
        }

        return null;
    }
}
