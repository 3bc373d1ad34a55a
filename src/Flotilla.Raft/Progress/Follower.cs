namespace Flotilla.Raft.Progress;

/// <summary>How a leader sends to one follower.</summary>
internal enum Flow
{
    /// <summary>It is not known where the logs part: one message at a time.</summary>
    Probe = 0,

    /// <summary>The logs agree up to the match index: messages are pipelined in a window.</summary>
    Replicate = 1,

    /// <summary>The log no longer holds what it lacks: it is being sent a snapshot.</summary>
    Snapshot = 2,
}

/// <summary>
/// What a leader knows of one follower in its term (Raft paper, figure 2: nextIndex and matchIndex), and the window of
/// messages under way to it.
/// </summary>
/// <remarks>Invariants: <c>Match &lt; Next</c>; <c>Match</c> never falls in a term, since it stands for durable entries of this leader's log.</remarks>
internal sealed class Follower(NodeId id, LogIndex next, Instant now)
{
    private const double MinRelayPauseMs = 1000;
    private const double MaxRelayPauseMs = 64_000;

    private readonly Queue<UnderWay> _inflight = new();
    private long _inflightBytes;
    private int _inflightRelayed;
    private double _relayPauseMs = MinRelayPauseMs;

    private readonly record struct UnderWay(LogIndex Last, int Bytes, Instant SentAt, bool IsRelayed);

    public NodeId Id { get; } = id;

    public Flow Flow { get; private set; } = Flow.Probe;

    public LogIndex Match { get; private set; }

    public LogIndex Next { get; private set; } = next;

    /// <summary>When the follower last answered in this term (CheckQuorum).</summary>
    public Instant LastHeard { get; private set; } = now;

    /// <summary>When something was last sent: a busy follower needs no heartbeats.</summary>
    public Instant LastSent { get; set; } = now;

    /// <summary>The newest read round that it has confirmed.</summary>
    public ulong Round { get; private set; }

    /// <summary>In <see cref="Flow.Probe"/>: a probe is under way. If it is lost, the answer to the next heartbeat, which is a probe too, goes on from there.</summary>
    public bool ProbeSent { get; private set; }

    /// <summary>The newest question whether to be quiet to which it agreed.</summary>
    public ulong AgreedToBeQuiet { get; set; }

    /// <summary>Entries for it are being read back from the disk.</summary>
    public bool Fetching { get; set; }

    /// <summary>A fetch that brought nothing is not repeated sooner.</summary>
    public Instant FetchAgainAt { get; set; } = now;

    /// <summary>Its disk is full, as it said last: no entries are sent but those up to the term's no-op, and no snapshot is begun.</summary>
    public bool HasNoRoom { get; private set; }

    /// <summary>The snapshot that is being sent; null but in <see cref="Flow.Snapshot"/>.</summary>
    public SnapshotTransfer? Transfer { get; private set; }

    /// <summary>Nothing is sent by way of others before this.</summary>
    public Instant RelayAgainAt { get; private set; } = now;

    /// <summary>The oldest message that it has not acknowledged, if that was to come by way of another: its last entry, and when it was sent.</summary>
    public (LogIndex Last, Instant SentAt)? OldestRelayed => _inflight.TryPeek(out var oldest) && oldest.IsRelayed ? (oldest.Last, oldest.SentAt) : null;

    /// <summary>The last entry of the newest message of which it was asked whether it came.</summary>
    public LogIndex AskedFor { get; set; }

    /// <summary>Begins to send a snapshot.</summary>
    public void BeginSnapshot(SnapshotMeta snapshot, Instant now)
    {
        Flow = Flow.Snapshot;
        Transfer = new SnapshotTransfer(snapshot, now);
        ForgetInflight();
    }

    /// <summary>Gives up sending a snapshot.</summary>
    public void EndSnapshot()
    {
        Transfer = null;
        Flow = Flow.Probe;
        ProbeSent = false;
    }

    /// <summary>It answered, whatever the answer, in this term.</summary>
    public void Heard(ulong round, Instant now)
    {
        LastHeard = now;
        Round = Math.Max(Round, round);
    }

    /// <summary>
    /// Its disk is full: what was sent beyond <see cref="Match"/> was not kept, and is sent anew once there is room. While it
    /// makes progress it may be sent what <see cref="MaySend"/> allows; from then on it is asked by heartbeats alone. A snapshot
    /// that was begun goes on.
    /// </summary>
    public void Stop(bool makesProgress)
    {
        HasNoRoom = true;
        if (Flow == Flow.Replicate)
        {
            Flow = Flow.Probe;
            Next = Match.Next;
            ForgetInflight();
        }

        ProbeSent = !makesProgress;
    }

    /// <summary>There is room again.</summary>
    public void GoOn()
    {
        HasNoRoom = false;
        ProbeSent = false;
    }

    public bool MaySend(RaftOptions options, LogIndex termStart) => Flow switch
    {
        _ when HasNoRoom && Next > termStart => false,
        Flow.Probe => !ProbeSent,
        Flow.Replicate => _inflight.Count < options.MaxInflightAppends && _inflightBytes < options.MaxInflightBytes,
        _ => false,
    };

    /// <summary>Entries through <paramref name="last"/> are on their way, from here or by way of another follower.</summary>
    public void Sent(LogIndex last, int bytes, Instant now, bool isRelayed)
    {
        if (Flow == Flow.Probe)
        {
            ProbeSent = true;
            return;
        }

        Next = last.Next;
        _inflight.Enqueue(new UnderWay(last, bytes, now, isRelayed));
        _inflightBytes += bytes;
        _inflightRelayed += isRelayed ? 1 : 0;
    }

    /// <summary>Another follower may pass on to it what begins at <paramref name="next"/>: it has been sent all before that, answers, and is not to be fed from here for now.</summary>
    public bool MayBeFedByOthers(LogIndex next, RaftOptions options, LogIndex termStart, Instant now) =>
        Flow == Flow.Replicate && Next == next && !Fetching && now >= RelayAgainAt && now.MsSince(LastHeard) < 2 * options.HeartbeatMs && MaySend(options, termStart);

    /// <summary>
    /// Up to where a heartbeat asks whether it has this leader's log. What is sent from here comes before the heartbeat; what others pass on
    /// may come behind it, so it is asked for only once it is late.
    /// </summary>
    public LogIndex Claim(RaftOptions options, Instant now) =>
        _inflightRelayed == 0 ? Next.Previous
        : _inflight.Peek() is var oldest && (!oldest.IsRelayed || now.MsSince(oldest.SentAt) >= options.RelayStallMs) ? oldest.Last
        : Match;

    /// <summary>The follower holds everything through <paramref name="match"/>, durably.</summary>
    public void Acknowledged(LogIndex match)
    {
        Match = LogIndex.Max(Match, match);
        Next = LogIndex.Max(Next, Match.Next);
        while (_inflight.TryPeek(out var oldest) && oldest.Last <= Match)
        {
            _inflight.Dequeue();
            _inflightBytes -= oldest.Bytes;
            if (oldest.IsRelayed)
            {
                _inflightRelayed--;
                _relayPauseMs = MinRelayPauseMs;
            }
        }

        if (Flow != Flow.Replicate)
        {
            Flow = Flow.Replicate;
            Transfer = null;
            Next = Match.Next;
        }

        ProbeSent = false;
    }

    /// <summary>The follower refused <paramref name="rejected"/> as the previous index; <paramref name="hint"/> is where to try next. False if the refusal is an old one.</summary>
    /// <remarks>Where what it lacks was to be passed on by another, that way is not taken again for a while, each time it fails for twice as long.</remarks>
    public bool Rejected(LogIndex rejected, LogIndex hint, Instant now)
    {
        var stale = Flow == Flow.Replicate ? rejected <= Match : rejected != Next.Previous;
        if (stale || Flow == Flow.Snapshot)
        {
            return false;
        }

        if (OldestRelayed is not null)
        {
            RelayAgainAt = now.PlusMs(_relayPauseMs);
            _relayPauseMs = Math.Min(2 * _relayPauseMs, MaxRelayPauseMs);
        }

        Next = LogIndex.Max(Match.Next, LogIndex.Min(rejected, hint));
        Flow = Flow.Probe;
        ProbeSent = false;
        ForgetInflight();
        return true;
    }

    private void ForgetInflight()
    {
        _inflight.Clear();
        _inflightBytes = 0;
        _inflightRelayed = 0;
    }
}
