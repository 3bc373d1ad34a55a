using Flotilla.Raft;
using Flotilla.Shards;
using Flotilla.Topology;

namespace Flotilla.Node.Gateways;

/// <summary>Whether a write may begin.</summary>
internal enum Admission : byte
{
    /// <summary>With the ticket.</summary>
    Taken,

    /// <summary>Without a session: the shard has no room for one at this moment. An attempt that ends unclear is its last.</summary>
    Plain,

    /// <summary>Not now: too many writes of this process have no answer.</summary>
    Full,

    /// <summary>Once the session is open that is being opened.</summary>
    Opening,
}

/// <summary>A write's place in a session; default for none.</summary>
/// <param name="Session">The session.</param>
/// <param name="Once">What the command carries.</param>
internal readonly record struct Ticket(WriteSession? Session, Once.InSession? Once)
{
    /// <summary>The write has its answer. To be called once for each ticket.</summary>
    public void End() => Session?.End(Once!.Sequence);
}

/// <summary>
/// The sessions of this process at one shard. One is enough as long as none of its writes waits for an answer while more
/// than its window of later ones get theirs; then others are opened beside it, the next one before it is needed.
/// Thread-safe.
/// </summary>
/// <param name="shard">The shard.</param>
/// <param name="open">Asks the shard for a session; never throws.</param>
internal sealed class ShardSessions(ShardId shard, Func<ShardId, Task<Outcome>> open)
{
    /// <summary>How many are open at most: with more than 32,768 writes between the first without an answer and the last, new ones are refused.</summary>
    public const int MaxSessions = 8;

    /// <summary>How long writes go plain after a shard had no room for a session.</summary>
    public const double PlainMs = 1000;

    private readonly Lock _gate = new();
    private readonly List<WriteSession> _sessions = [];
    private WriteSession? _current;
    private Task? _opening;
    private Instant _plainUntil;
    private bool _closed;

    /// <summary>Why the last session was not opened, in words for the client; null if it was.</summary>
    public string? LastRefusal { get; private set; }

    /// <summary>Gives a write its place. The task of <see cref="Admission.Opening"/> ends with an answer, whichever: ask again then.</summary>
    public Admission TryTake(out Ticket ticket, out Task opening)
    {
        opening = Task.CompletedTask;
        if (Volatile.Read(ref _current) is { } current && current.TryBegin(out var halfFull) is { } once)
        {
            if (halfFull)
            {
                OpenSpare(current);
            }

            ticket = new Ticket(current, once);
            return Admission.Taken;
        }

        lock (_gate)
        {
            foreach (var session in _sessions)
            {
                if (session.TryBegin(out _) is { } other)
                {
                    Volatile.Write(ref _current, session);
                    ticket = new Ticket(session, other);
                    return Admission.Taken;
                }
            }

            ticket = default;
            if (_closed || NodeClock.Now < _plainUntil)
            {
                return Admission.Plain;
            }

            if (_opening is null && _sessions.Count >= MaxSessions)
            {
                return Admission.Full;
            }

            opening = _opening ??= OpenAsync();
            return Admission.Opening;
        }
    }

    /// <summary>Opens a first session, so that the first write finds one.</summary>
    public void GetReady()
    {
        lock (_gate)
        {
            if (_sessions.Count == 0 && _opening is null && !_closed && NodeClock.Now >= _plainUntil)
            {
                _opening = OpenAsync();
            }
        }
    }

    /// <summary>The shard does not know a session any more.</summary>
    public void Forget(WriteSession session)
    {
        lock (_gate)
        {
            if (session.Forget())
            {
                _sessions.Remove(session);
            }
        }
    }

    /// <summary>Opens no more, and hands out those that are open, to be closed.</summary>
    public IReadOnlyList<WriteSession> Close()
    {
        lock (_gate)
        {
            _closed = true;
            var left = _sessions.ToArray();
            foreach (var session in left)
            {
                session.Forget();
            }

            _sessions.Clear();
            return left;
        }
    }

    private void OpenSpare(WriteSession current)
    {
        lock (_gate)
        {
            if (_opening is not null || _closed || _sessions.Count >= MaxSessions || NodeClock.Now < _plainUntil)
            {
                return;
            }

            foreach (var session in _sessions)
            {
                if (session != current && session.HasRoom)
                {
                    return;
                }
            }

            _opening = OpenAsync();
        }
    }

    private async Task OpenAsync()
    {
        // Whoever asked holds the lock.
        await Task.Yield();
        var outcome = Outcome.Of(ResultCode.Overloaded, null);
        try
        {
            outcome = await open(shard);
        }
        finally
        {
            Opened(in outcome);
        }
    }

    private void Opened(in Outcome outcome)
    {
        lock (_gate)
        {
            _opening = null;
            LastRefusal = outcome.Code == ResultCode.Ok ? null : outcome.Detail;
            switch (outcome.Code)
            {
                case ResultCode.Ok when _closed:
                    // It is left to expire.
                    break;
                case ResultCode.Ok:
                    NodeMetrics.SessionsOpened.Add(1);
                    var session = new WriteSession(shard, SessionId.Of(outcome.Result), WriteSession.DrawFirst());
                    _sessions.Add(session);
                    Volatile.Write(ref _current, session);
                    break;
                case ResultCode.NoQuorum or ResultCode.NotLeader or ResultCode.Indeterminate:
                    // Writes can't be carried out either; each goes on asking until its own time is up.
                    break;
                default:
                    _plainUntil = NodeClock.Now.PlusMs(PlainMs);
                    break;
            }
        }
    }
}
