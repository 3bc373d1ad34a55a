using Flotilla.Node.Cluster;
using Flotilla.Raft;
using Flotilla.Shards;
using Flotilla.Shards.Handoff;
using Flotilla.Topology;

namespace Flotilla.Node.Gateways;

/// <summary>What a call has learned from attempts that gave no answer: whom to ask next, and after what pause. Most calls need none.</summary>
internal sealed class Course
{
    private const string NothingKnown = "this process has not learned yet which shards there are: no node of the cluster has answered it";
    private const double MinPauseMs = 4;
    private const double MaxPauseMs = 100;

    // A slot is frozen for some milliseconds, and to ask costs its shard next to nothing.
    private const double MinMovePauseMs = 2;
    private const double MaxMovePauseMs = 20;
    private const double MovePauseGrowth = 1.3;

    private double _pauseMs = MinPauseMs;
    private double _movePauseMs = MinMovePauseMs;
    private SlotEpoch _movedAt;
    private double? _waitMs;
    private Task _news = Task.CompletedTask;
    private string? _why;
    private bool _isMoving;
    private ShardRoute? _route;

    /// <summary>How many attempts there were, those included for which nobody could be asked.</summary>
    public int Attempts { get; private set; }

    /// <summary>Whom to ask although another was believed to lead; or none.</summary>
    public NodeId Hint { get; private set; }

    /// <summary>
    /// The shard to ask although the table names another: the one that got the key's slot, by the newest word of a shard that had it. Default
    /// for whom the table names. Only words of higher epochs are followed, so it never goes in a circle.
    /// </summary>
    public ShardId Moved { get; private set; }

    /// <summary>The next attempt at a call, which goes where the key's slot went.</summary>
    public Ask Next(in Ask ask) => ask.Shard == default && Moved != default ? ask with { Shard = Moved } : ask;

    /// <summary>Takes note of an attempt.</summary>
    public void Note(in Target target, in Outcome outcome)
    {
        _isMoving = outcome.Code is ResultCode.SlotMoving or ResultCode.NotOwner;
        if (_isMoving)
        {
            Hint = default;
            Note(target, outcome.Detail, Follow(in outcome) ? 0 : NextMovePause());
            _news = target.TableNews;
            return;
        }

        // An answer that names another leader than we knew is worth one attempt at once.
        var told = outcome.Leader;
        Hint = Hint.IsNone && !told.IsNone && told != target.Node ? told : default;
        Note(target, outcome.Detail, Hint.IsNone ? target.WaitMs : 0);
    }

    /// <summary>Takes note that there is nobody to ask.</summary>
    public void NoteNowhere(in Target target)
    {
        Hint = default;
        Note(target, target.Why, Moved == default ? target.WaitMs : NextMovePause());
        Moved = default; // It may have gone on from there.
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

    // True if it names a shard that got the slot later than any named before.
    private bool Follow(in Outcome outcome)
    {
        var moved = MovedHint.Of(outcome.Result);
        var isNews = moved is { } hint && hint.Epoch > _movedAt;
        if (isNews)
        {
            _movedAt = moved!.Value.Epoch;
        }

        Moved = isNews ? moved!.Value.Shard : outcome.Code == ResultCode.NotOwner ? default : Moved;
        return isNews;
    }

    private double NextMovePause()
    {
        var pause = _movePauseMs;
        _movePauseMs = Math.Min(pause * MovePauseGrowth, MaxMovePauseMs);
        return pause;
    }

    private void Note(in Target target, string? why, double? waitMs)
    {
        Attempts++;
        _news = target.News;
        _route = target.Route;
        _why = why;
        _waitMs = waitMs;
    }
}
