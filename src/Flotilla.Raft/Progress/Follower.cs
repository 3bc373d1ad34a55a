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
    private readonly Queue<(LogIndex Last, int Bytes)> _inflight = new();
    private long _inflightBytes;

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

    /// <summary>Begins to send a snapshot.</summary>
    public void BeginSnapshot(SnapshotMeta snapshot, Instant now)
    {
        Flow = Flow.Snapshot;
        Transfer = new SnapshotTransfer(snapshot, now);
        _inflight.Clear();
        _inflightBytes = 0;
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
            _inflight.Clear();
            _inflightBytes = 0;
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

    /// <summary>Entries through <paramref name="last"/> are on their way.</summary>
    public void Sent(LogIndex last, int bytes)
    {
        if (Flow == Flow.Probe)
        {
            ProbeSent = true;
            return;
        }

        Next = last.Next;
        _inflight.Enqueue((last, bytes));
        _inflightBytes += bytes;
    }

    /// <summary>The follower holds everything through <paramref name="match"/>, durably.</summary>
    public void Acknowledged(LogIndex match)
    {
        Match = LogIndex.Max(Match, match);
        Next = LogIndex.Max(Next, Match.Next);
        while (_inflight.TryPeek(out var oldest) && oldest.Last <= Match)
        {
            _inflightBytes -= _inflight.Dequeue().Bytes;
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
    public bool Rejected(LogIndex rejected, LogIndex hint)
    {
        var stale = Flow == Flow.Replicate ? rejected <= Match : rejected != Next.Previous;
        if (stale || Flow == Flow.Snapshot)
        {
            return false;
        }

        Next = LogIndex.Max(Match.Next, LogIndex.Min(rejected, hint));
        Flow = Flow.Probe;
        ProbeSent = false;
        _inflight.Clear();
        _inflightBytes = 0;
        return true;
    }
}
