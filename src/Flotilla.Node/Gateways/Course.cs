using Flotilla.Node.Cluster;
using Flotilla.Raft;
using Flotilla.Shards;

namespace Flotilla.Node.Gateways;

/// <summary>What a call has learned from attempts that gave no answer: whom to ask next, and after what pause. Most calls need none.</summary>
internal sealed class Course
{
    private const string NothingKnown = "this process has not learned yet which shards there are: no node of the cluster has answered it";
    private const double MinPauseMs = 4;
    private const double MaxPauseMs = 100;

    private double _pauseMs = MinPauseMs;
    private double? _waitMs;
    private Task _news = Task.CompletedTask;
    private string? _why;
    private bool _isMoving;
    private ShardRoute? _route;

    /// <summary>How many attempts there were, those included for which nobody could be asked.</summary>
    public int Attempts { get; private set; }

    /// <summary>Whom to ask although another was believed to lead; or none.</summary>
    public NodeId Hint { get; private set; }

    /// <summary>Takes note of an attempt.</summary>
    public void Note(in Target target, in Outcome outcome)
    {
        // An answer that names another leader than we knew is worth one attempt at once.
        var told = outcome.Leader;
        Hint = Hint.IsNone && !told.IsNone && told != target.Node ? told : default;
        _isMoving = outcome.Code == ResultCode.SlotMoving;
        Note(target, outcome.Detail, Hint.IsNone ? target.WaitMs : 0);
    }

    /// <summary>Takes note that there is nobody to ask.</summary>
    public void NoteNowhere(in Target target)
    {
        Hint = default;
        Note(target, target.Why, target.WaitMs);
    }

    /// <summary>Waits for something newer than the last attempt knew. False: time is up.</summary>
    public async ValueTask<bool> PauseAsync(Instant deadline, CancellationToken ended)
    {
        if (NodeClock.Now >= deadline || ended.IsCancellationRequested)
        {
            return false;
        }

        var ms = Math.Min(_waitMs ?? _pauseMs, deadline.MsSince(NodeClock.Now));
        _pauseMs = Math.Min(_pauseMs * 2, MaxPauseMs);
        await UntilAsync(_news, ms, ended);
        return true;
    }

    /// <summary>Waits for a task, but not for longer than so many milliseconds, nor once the gateway has ended.</summary>
    public static async ValueTask UntilAsync(Task task, double ms, CancellationToken ended)
    {
        if (ms > 0 && !task.IsCompleted && !ended.IsCancellationRequested)
        {
            await task.WaitAsync(TimeSpan.FromMilliseconds(Math.Ceiling(Math.Min(ms, int.MaxValue))), ended).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    /// <summary>The answer when time is up and certainly nothing was written.</summary>
    public Outcome OutOfTime()
    {
        if (_isMoving)
        {
            return Outcome.Of(ResultCode.SlotMoving, "the key's slot is moving to another shard, and that took too long; nothing was written", _route?.Leader.Leader ?? default);
        }

        var why = NotBegun(_route) ?? _why ?? (_route is null ? NothingKnown : $"shard {_route.Shard} had no leader that a majority of its voters ({string.Join(", ", _route.Voters)}) follows");
        return Outcome.Of(ResultCode.NoQuorum, $"time ran out; nothing was written: {why}", _route?.Leader.Leader ?? default);
    }

    /// <summary>What keeps a shard from ever having had a leader, as far as its replica here knows; null if it is not that.</summary>
    private static string? NotBegun(ShardRoute? route) =>
        route is { Leader.Leader.IsNone: true, Local.View: { Admitted: false, SeatIsTaken: false, Awaited: { Count: > 0 } awaited } }
            ? $"shard {route.Shard} has not begun: its replica here is waiting for first contact with node {string.Join(", ", awaited)}. All first replicas of a new shard must have been up together once; start what is missing"
            : null;

    private void Note(in Target target, string? why, double? waitMs)
    {
        Attempts++;
        _news = target.News;
        _route = target.Route;
        _why = why;
        _waitMs = waitMs;
    }
}
