using System.Runtime.InteropServices;
using Flotilla.Topology;

namespace Flotilla.Shards.ExactlyOnce;

/// <summary>
/// The open sessions of a shard (RIFL: Lee et al., SOSP 2015). A part of the state machine: all that happens here follows
/// from the entries, and nothing depends on the order of a hash.
/// </summary>
/// <remarks>
/// <para>Why a write is executed once. A write is executed only if its session is open, its sequence is at or above the
/// session's mark, and no result is recorded under it; executing it records one in the same entry. That record goes only
/// when the mark passes the sequence or the session ends, and from then on every attempt is refused: marks never go back,
/// and the id of a session, a place in the log, is never given twice.</para>
/// <para>Why it is bounded. A session keeps results in [mark, mark + window), the shard so many in all, and so many
/// sessions; what would be over a bound is refused before it has an effect. Nothing that lives is ever evicted.</para>
/// <para>Why a full table does not stay full. Asking for a session is itself an entry, and its stamp moves the log time
/// before it is looked at: those that fell due make room for it. So no time entry is owed to a session, and a quiet shard
/// stays quiet.</para>
/// <para>Copies that came with slots (<see cref="Install"/>) stand beside the own ones and keep the same rules. They count
/// against the bound on new sessions and are never refused themselves.</para>
/// </remarks>
internal sealed class SessionTable
{
    /// <summary>One entry removes at most so many sessions that fell due; the others count as expired anyhow.</summary>
    public const int MaxExpiredPerEntry = 256;

    private readonly Dictionary<SessionKey, Seat> _seats = [];

    // By key: own ones by age, then copies.
    private readonly List<Session> _sessions = [];

    // When sessions fall due, or earlier: a use does not move a session here, the removal looks it up again.
    private readonly SortedSet<(long AtMs, SessionKey Key)> _due = [];

    private long _edit = 1;

    /// <summary>How many are open.</summary>
    public int Count => _sessions.Count;

    /// <summary>How many results all of them keep.</summary>
    public long ResultCount { get; private set; }

    /// <summary>Opens a session under these terms, or refuses.</summary>
    public CommandResult Open(SessionId id, SessionTerms terms, long logTimeMs)
    {
        if (_sessions.Count >= terms.MaxSessions)
        {
            return CommandResult.Of(ResultCode.Overloaded);
        }

        Add(new Session(SessionKey.Own(id), terms, _edit) { LastUsedMs = logTimeMs });
        return new CommandResult(ResultCode.Ok, new Data.Version(0, 0, id.Index.Value, id.Place), default);
    }

    /// <summary>Closes a session.</summary>
    public CommandResult Close(SessionId id, long logTimeMs)
    {
        if (!TryGet(SessionKey.Own(id), logTimeMs, out var session))
        {
            return CommandResult.Of(ResultCode.SessionExpired);
        }

        Remove(session);
        return CommandResult.Of(ResultCode.Ok);
    }

    /// <summary>
    /// Takes a write in: the client's mark counts, whatever becomes of the write. True if it is to be executed and then
    /// recorded by <see cref="Record"/>; false with the recorded result or a refusal.
    /// </summary>
    public bool Admits(SessionKey key, Once.InSession once, Slot slot, long logTimeMs, out CommandResult answer)
    {
        if (!TryGet(key, logTimeMs, out var session))
        {
            answer = CommandResult.Of(ResultCode.SessionExpired);
            return false;
        }

        session = Own(session);
        session.LastUsedMs = logTimeMs;
        ResultCount -= session.MoveMark(once.Mark);
        if (once.Sequence < session.Mark)
        {
            answer = CommandResult.Of(ResultCode.SessionExpired);
            return false;
        }

        if (session.TryFind(once.Sequence, out var recorded))
        {
            // One sequence for keys of two slots is a client's mistake, and neither key's result answers the other.
            answer = recorded.Slot == slot ? recorded.Answer : CommandResult.Of(ResultCode.BadRequest);
            return false;
        }

        // A retry is not refused here after an attempt that was executed: that one left a record.
        var isOver = once.Sequence - session.Mark >= (ulong)session.Terms.Window || ResultCount >= session.Terms.MaxResults;
        answer = isOver ? CommandResult.Of(ResultCode.Overloaded) : default;
        return !isOver;
    }

    /// <summary>Records the result of a write that was just admitted and executed.</summary>
    public void Record(SessionKey key, Once.InSession once, Slot slot, in CommandResult result)
    {
        // Admitted, so it is open and of this edit.
        _seats[key].Session.Record(RecordedResult.Of(once.Sequence, slot, in result));
        ResultCount++;
    }

    /// <summary>Removes sessions that fell due, the first to fall due first.</summary>
    public void RemoveExpired(long logTimeMs)
    {
        for (var removed = 0; removed < MaxExpiredPerEntry && _due.Count > 0 && _due.Min is var first && first.AtMs <= logTimeMs;)
        {
            ref var seat = ref CollectionsMarshal.GetValueRefOrNullRef(_seats, first.Key);
            if (seat.Session.DueMs > first.AtMs)
            {
                _due.Remove(first);
                seat = seat with { QueuedMs = seat.Session.DueMs };
                _due.Add((seat.QueuedMs, first.Key));
            }
            else
            {
                Remove(seat.Session);
                removed++;
            }
        }
    }

    /// <summary>The sessions as they are now, by key; none of them will change. One reference each is copied.</summary>
    public Session[] Snapshot()
    {
        _edit++;
        return [.. _sessions];
    }

    /// <summary>
    /// Puts in a session of a snapshot or one that came with slots, with its results. No session of that key may be there, and
    /// this table must have made it.
    /// </summary>
    public void Install(Session session)
    {
        ResultCount += session.Count;
        Add(session);
    }

    /// <summary>A session without results, for <see cref="Install"/>.</summary>
    public Session NewSession(SessionKey key, SessionTerms terms, long lastUsedMs) => new(key, terms, _edit) { LastUsedMs = lastUsedMs };

    /// <summary>The sessions of a lineage as they are now, 0 for the own ones; valid until the next change.</summary>
    public ReadOnlySpan<Session> Of(int lineage)
    {
        var from = PlaceOf(new SessionKey(lineage, default, default));
        var to = PlaceOf(new SessionKey(lineage + 1, default, default));
        return CollectionsMarshal.AsSpan(_sessions)[from..to];
    }

    /// <summary>Forgets the copies of a lineage: none of the slots that they came with is here any more.</summary>
    public void RemoveLineage(int lineage)
    {
        foreach (var session in Of(lineage))
        {
            ResultCount -= session.Count;
            _due.Remove((_seats[session.Key].QueuedMs, session.Key));
            _seats.Remove(session.Key);
        }

        _sessions.RemoveAll(s => s.Key.Lineage == lineage);
    }

    /// <summary>Adds all that is known to a hash.</summary>
    public void AddTo(ref StableHash hash)
    {
        hash.Add((ulong)_sessions.Count);
        foreach (var session in _sessions)
        {
            hash.Add((uint)session.Key.Lineage);
            hash.Add(session.Key.Origin.Value);
            hash.Add(session.Key.Id.Index.Value);
            hash.Add(session.Key.Id.Place);
            hash.Add((ulong)session.Terms.IdleMs);
            hash.Add((uint)session.Terms.Window);
            hash.Add((uint)session.Terms.MaxSessions);
            hash.Add((uint)session.Terms.MaxResults);
            hash.Add((ulong)session.LastUsedMs);
            hash.Add(session.Mark);
            hash.Add((ulong)session.Count);
            foreach (ref readonly var result in session.Results)
            {
                hash.Add(result.Sequence);
                hash.Add(((ulong)result.Slot.Value << 8) | (byte)result.Code);
                hash.Add(((ulong)result.Version.SlotEpoch << 32) | result.Version.ModeEpoch);
                hash.Add(result.Version.Counter);
                hash.Add(result.Version.Sub);
                hash.Add(result.Value);
            }
        }
    }

    // One that fell due and is not removed yet is not there for anybody.
    private bool TryGet(SessionKey key, long logTimeMs, out Session session)
    {
        var found = _seats.TryGetValue(key, out var seat);
        session = seat.Session;
        return found && session.DueMs > logTimeMs;
    }

    private void Add(Session session)
    {
        _seats.Add(session.Key, new Seat(session, session.DueMs));
        _sessions.Insert(PlaceOf(session.Key), session);
        _due.Add((session.DueMs, session.Key));
    }

    private void Remove(Session session)
    {
        ResultCount -= session.Count;
        _due.Remove((_seats[session.Key].QueuedMs, session.Key));
        _seats.Remove(session.Key);
        _sessions.RemoveAt(PlaceOf(session.Key));
    }

    private Session Own(Session session)
    {
        if (session.Edit == _edit)
        {
            return session;
        }

        var copy = session.Copy(_edit);
        _sessions[PlaceOf(session.Key)] = copy;
        ref var seat = ref CollectionsMarshal.GetValueRefOrNullRef(_seats, session.Key);
        seat = seat with { Session = copy };
        return copy;
    }

    // Of the first session whose key is not below; most new ones go to the end.
    private int PlaceOf(SessionKey key)
    {
        var low = 0;
        var high = _sessions.Count;
        if (high > 0 && _sessions[high - 1].Key.CompareTo(key) < 0)
        {
            return high;
        }

        while (low < high)
        {
            var middle = (low + high) >>> 1;
            if (_sessions[middle].Key.CompareTo(key) < 0)
            {
                low = middle + 1;
            }
            else
            {
                high = middle;
            }
        }

        return low;
    }

    // A session, and under what time it stands among those that fall due.
    private readonly record struct Seat(Session Session, long QueuedMs);
}
