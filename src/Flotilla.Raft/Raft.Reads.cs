namespace Flotilla.Raft;

/// <content>
/// Linearizable reads by ReadIndex (dissertation, 6.4), batched. A read gets the leader's commit index as it was after the
/// read began, once a majority has confirmed, in a round of heartbeats begun after the read arrived, that this leader still
/// leads; and never before the leader has committed an entry of its own term (hazard 30). One round is under way at a
/// time: all reads that arrive meanwhile share the next one. A follower asks the leader for an index in the same manner,
/// one question at a time for all its reads; it repeats the question until the answer comes, a new leader appears or time
/// is up (hazard 31).
/// </content>
public sealed partial class Raft
{
    private readonly List<WaitingRead> _waitingReads = [];
    private readonly List<WaitingRead> _roundReads = [];
    private readonly List<(ulong Id, LogIndex Index)> _readyReads = [];
    private readonly List<ulong> _failedReads = [];
    private ulong _round;
    private LogIndex _roundIndex;
    private ulong _question;
    private int _asked;
    private Instant _askAgainAt = Instant.Never;

    /// <summary>A read that waits here; <paramref name="From"/> is none for one of this replica's own.</summary>
    private readonly record struct WaitingRead(ulong Id, NodeId From, Instant Deadline);

    private Instant ReadDeadline
    {
        get
        {
            var next = Instant.Min(_askAgainAt, _waitingReads.Count > 0 ? _waitingReads[0].Deadline : Instant.Never);
            return _roundReads.Count > 0 ? Instant.Min(next, _roundReads[0].Deadline) : next;
        }
    }

    /// <summary>
    /// Asks for a linearizable read index; ends in exactly one <see cref="Effect.ReadReady"/> or
    /// <see cref="Effect.ReadFailed"/>. One id may stand for many reads that wait; ids are never used twice.
    /// </summary>
    public void RequestRead(ulong id, Instant now)
    {
        _now = now;
        if (Role != Role.Leader && Leader.IsNone)
        {
            _failedReads.Add(id);
            return;
        }

        _waitingReads.Add(new WaitingRead(id, default, now.PlusMs(_options.ReadTimeoutMs)));
    }

    /// <summary>Begins a round for all reads that wait, unless one is under way.</summary>
    private void StartReadRound()
    {
        if (_waitingReads.Count == 0 || _roundReads.Count > 0 || CommitIndex < _termStart)
        {
            return;
        }

        _roundReads.AddRange(_waitingReads);
        _waitingReads.Clear();
        _roundIndex = CommitIndex;
        SendRound();
        ConfirmReads();
    }

    /// <summary>
    /// Sends a heartbeat to every member and returns the number of its round, for <see cref="HasAnswered"/>, or one that nobody ever answers if this replica does not lead: unlike the time at
    /// which an answer is read, it tells a member that lives from one whose last answers still lie in a queue. Whoever takes a vote
    /// away asks first: once the change is in the log, a shard whose other voters are gone can't go back.
    /// </summary>
    public ulong BeginRound(Instant now)
    {
        _now = now;
        if (Role != Role.Leader)
        {
            return ulong.MaxValue;
        }

        SendRound();
        return _round;
    }

    /// <summary>A later round confirms the reads of one under way as well: it began after they came.</summary>
    private void SendRound()
    {
        Wake();
        IsBusy();
        _round++;
        foreach (var follower in _followers)
        {
            SendHeartbeat(follower);
        }
    }

    /// <summary>Completes the round if a majority has confirmed it.</summary>
    private void ConfirmReads()
    {
        if (_roundReads.Count == 0)
        {
            return;
        }

        if (!ConfirmedBy(Configuration.Voters) || (Configuration.IsJoint && !ConfirmedBy(Configuration.OldVoters)))
        {
            return;
        }

        foreach (var read in _roundReads)
        {
            if (read.From.IsNone)
            {
                _readyReads.Add((read.Id, _roundIndex));
            }
            else
            {
                Send(read.From, new ReadIndexReply(Term, read.Id, true, _roundIndex), default);
            }
        }

        _roundReads.Clear();
    }

    /// <summary>A follower's reads: asks the leader, unless a question is under way.</summary>
    private void ForwardReads()
    {
        if (_asked > 0 || _waitingReads.Count == 0 || Leader.IsNone)
        {
            return;
        }

        _asked = _waitingReads.Count;
        _question++;
        AskLeader();
    }

    private void AskLeader()
    {
        _askAgainAt = _now.PlusMs(2 * _options.HeartbeatMs);
        Send(Leader, new ReadIndexRequest(Term, _question), default);
    }

    private void OnReadIndexRequest(NodeId from, ReadIndexRequest request)
    {
        if (Role != Role.Leader)
        {
            Send(from, new ReadIndexReply(Term, request.Id, false, default), default);
            return;
        }

        // A question that is repeated while its first copy waits is the same question.
        if (!_waitingReads.Exists(read => read.From == from && read.Id == request.Id)
            && !_roundReads.Exists(read => read.From == from && read.Id == request.Id))
        {
            _waitingReads.Add(new WaitingRead(request.Id, from, _now.PlusMs(_options.ReadTimeoutMs)));
        }
    }

    private void OnReadIndexReply(ReadIndexReply reply)
    {
        if (Role == Role.Leader || _asked == 0 || reply.Id != _question)
        {
            return;
        }

        for (var i = 0; i < _asked; i++)
        {
            if (reply.Ok)
            {
                _readyReads.Add((_waitingReads[i].Id, reply.Index));
            }
            else
            {
                _failedReads.Add(_waitingReads[i].Id);
            }
        }

        _waitingReads.RemoveRange(0, _asked);
        _asked = 0;
        _askAgainAt = Instant.Never;
    }

    private void TickReads()
    {
        DropOverdue(_roundReads);
        var overdue = DropOverdue(_waitingReads);
        _asked = Math.Max(0, _asked - overdue);
        if (_asked == 0)
        {
            _askAgainAt = Instant.Never;
        }
        else if (_now >= _askAgainAt && !Leader.IsNone)
        {
            AskLeader();
        }
    }

    private int DropOverdue(List<WaitingRead> reads)
    {
        var overdue = 0;
        while (overdue < reads.Count && reads[overdue].Deadline <= _now)
        {
            Fail(reads[overdue++]);
        }

        reads.RemoveRange(0, overdue);
        return overdue;
    }

    private void FailLeaderReads()
    {
        _roundReads.ForEach(Fail);
        _roundReads.Clear();
        _waitingReads.ForEach(Fail);
        _waitingReads.Clear();
    }

    private void FailForwardedReads()
    {
        if (Role != Role.Leader)
        {
            FailLeaderReads();
            _asked = 0;
            _askAgainAt = Instant.Never;
        }
    }

    private void Fail(WaitingRead read)
    {
        if (read.From.IsNone)
        {
            _failedReads.Add(read.Id);
        }
        else
        {
            Send(read.From, new ReadIndexReply(Term, read.Id, false, default), default);
        }
    }

    private void AddReadyReads(List<Effect> into)
    {
        foreach (var (id, index) in _readyReads)
        {
            into.Add(new Effect.ReadReady(id, index));
        }

        foreach (var id in _failedReads)
        {
            into.Add(new Effect.ReadFailed(id));
        }

        _readyReads.Clear();
        _failedReads.Clear();
    }
}
