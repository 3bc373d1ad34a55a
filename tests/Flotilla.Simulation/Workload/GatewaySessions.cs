using Flotilla.Shards;
using Flotilla.Simulation.Time;

namespace Flotilla.Simulation.Workload;

/// <summary>A session of a gateway: hands out sequences, and knows below which all are answered (the mark).</summary>
public sealed class GatewaySession(SessionId id, ulong first, int window)
{
    private readonly SortedSet<ulong> _answered = [];
    private ulong _next = first;
    private ulong _mark = first;
    private int _open;

    /// <summary>The shard's name for it.</summary>
    public SessionId Id => id;

    /// <summary>The shard does not know it any more: it hands out nothing from now on.</summary>
    public bool IsForgotten { get; set; }

    /// <summary>Writes that need it only to be closed.</summary>
    public int Leaving { get; set; }

    /// <summary>Nothing is handed out any more, and no write without an answer needs it.</summary>
    public bool MayClose => IsForgotten && _open <= Leaving;

    /// <summary>The next sequence; null if the window is full.</summary>
    public Once.InSession? Begin()
    {
        if (IsForgotten || _next - _mark >= (ulong)window)
        {
            return null;
        }

        _open++;
        return new Once.InSession(id, _next++, _mark);
    }

    /// <summary>The write of this sequence has its answer, and nobody will ask for it again.</summary>
    public void End(ulong sequence)
    {
        _open--;
        _answered.Add(sequence);
        while (_answered.Remove(_mark))
        {
            _mark++;
        }
    }
}

/// <summary>
/// The sessions of a gateway at one shard: opened when a write needs one, more of them while windows are full, none for a
/// while after the shard had no room.
/// </summary>
internal sealed class GatewaySessions(Scheduler scheduler, Chance chance, int window)
{
    private const int MaxSessions = 4;
    private const long PlainUs = 1_000_000;
    private readonly List<GatewaySession> _sessions = [];
    private readonly List<Action> _waiting = [];
    private long _plainUntilUs;

    /// <summary>None is open, nor being opened, and there may be room for one.</summary>
    public bool IsEmpty => _sessions.Count == 0 && !IsOpening && scheduler.NowUs >= _plainUntilUs;

    /// <summary>One is being opened.</summary>
    public bool IsOpening { get; private set; }

    /// <summary>Gives a write its place; null if there is none now. Then <paramref name="goesPlain"/> says whether it may go without one.</summary>
    public (GatewaySession Session, Once.InSession Once)? Take(out bool goesPlain)
    {
        goesPlain = scheduler.NowUs < _plainUntilUs;
        foreach (var session in _sessions)
        {
            if (session.Begin() is { } once)
            {
                return (session, once);
            }
        }

        return null;
    }

    /// <summary>Calls back when a session is open, or could not be opened, or a window may have moved.</summary>
    public void Await(Action then) => _waiting.Add(then);

    /// <summary>There is room for one more, which somebody should open.</summary>
    public bool BeginOpening() => !IsOpening && _sessions.Count < MaxSessions && (IsOpening = true);

    /// <summary>The opening has ended; <paramref name="refused"/>: the shard has no room.</summary>
    public void Opened(SessionId? id, bool refused)
    {
        IsOpening = false;
        _plainUntilUs = refused ? scheduler.NowUs + PlainUs : _plainUntilUs;
        if (id is { } opened)
        {
            _sessions.Add(new GatewaySession(opened, (ulong)chance.Between(1L << 34, 1L << 35), window));
        }

        WakeAll();
    }

    /// <summary>The shard does not know a session any more.</summary>
    public void Forget(GatewaySession session)
    {
        session.IsForgotten = true;
        _sessions.Remove(session);
    }

    /// <summary>The write has its answer.</summary>
    public void End(GatewaySession session, ulong sequence)
    {
        session.End(sequence);
        WakeAll();
    }

    private void WakeAll()
    {
        var waiting = _waiting.ToArray();
        _waiting.Clear();
        foreach (var then in waiting)
        {
            then();
        }
    }
}
