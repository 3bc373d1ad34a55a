using Flotilla.Raft.Membership;
using Flotilla.Raft.Progress;

namespace Flotilla.Raft;

/// <content>
/// The leader's side of replication (the paper, 5.3 and 5.4): the no-op that opens a term, pipelined AppendEntries in a
/// window, fast backtracking, commit by counting own-term entries only (5.4.2, figure 8; hazard 1), heartbeats, CheckQuorum.
/// The leader writes to its own disk while it sends (dissertation, 10.2.1) and counts itself once that write is durable.
/// </content>
public sealed partial class Raft
{
    private readonly List<Follower> _followers = [];
    private LogIndex _termStart;
    private long _uncommittedBytes;
    private Instant _heartbeatAt;
    private Instant _checkQuorumAt;

    private Instant LeaderDeadline
    {
        get
        {
            if (IsQuiet)
            {
                return Instant.Never;
            }

            var next = Instant.Min(Instant.Min(_heartbeatAt, _checkQuorumAt), Instant.Min(SnapshotDeadline, ChainDeadline));
            if (_followers.Count > 0 && _underWay.Count > 0 && !DiskIsStalled)
            {
                next = Instant.Min(next, DiskOwesSince.PlusMs(_options.DiskStallMs + 1));
            }

            return _transfer is { } transfer ? Instant.Min(next, transfer.Deadline) : next;
        }
    }

    /// <summary>Appends an entry if this replica leads. On <see cref="ProposeOutcome.Accepted"/> the entry may commit; otherwise it is certain that it was not appended.</summary>
    /// <param name="kind">What the entry is for.</param>
    /// <param name="payload">Its bytes; they must not change any more.</param>
    /// <param name="now">The time.</param>
    /// <param name="index">Where it was appended, in the current <see cref="Term"/>.</param>
    public ProposeOutcome Propose(EntryKind kind, ReadOnlyMemory<byte> payload, Instant now, out LogIndex index)
    {
        _now = now;
        index = default;
        if (Role != Role.Leader)
        {
            return ProposeOutcome.NotLeader;
        }

        if (_transfer is not null)
        {
            return ProposeOutcome.Transferring;
        }

        if (!HasRoomToCommit)
        {
            return ProposeOutcome.NoRoom;
        }

        var entry = new Entry(Log.LastIndex.Next, Term, kind, payload);
        if (_uncommittedBytes > 0 && _uncommittedBytes + entry.Cost > _options.MaxUncommittedBytes)
        {
            return ProposeOutcome.Overloaded;
        }

        AppendAsLeader(entry);
        index = entry.Index;
        return ProposeOutcome.Accepted;
    }

    /// <summary>
    /// Entries asked for by <see cref="Effect.Fetch"/> have been read; consecutive from its <c>From</c>, possibly fewer than
    /// asked, or none if they could not be read. Entries that this log no longer holds are left out.
    /// </summary>
    public void EntriesFetched(NodeId to, IReadOnlyList<Entry> entries, Instant now)
    {
        _now = now;
        if (FollowerOf(to) is not { } follower)
        {
            return;
        }

        follower.Fetching = false;
        if (entries.Count == 0)
        {
            follower.FetchAgainAt = now.PlusMs(_options.HeartbeatMs);
            return;
        }

        if (entries[0].Index != follower.Next || !follower.MaySend(_options, _termStart))
        {
            return;
        }

        foreach (var entry in entries)
        {
            if (Log.TermAt(entry.Index) != entry.Term)
            {
                return;
            }
        }

        SendEntries(follower, entries);
    }

    private void BecomeLeader()
    {
        Role = Role.Leader;
        Leader = _self;
        _votes.Clear();
        _followers.Clear();
        SyncFollowers();
        _uncommittedBytes = Log.CostAbove(CommitIndex);
        _transfer = null;
        IsBusy();
        _heartbeatAt = _now.PlusMs(_options.HeartbeatMs);
        _checkQuorumAt = _now.PlusMs(_options.ElectionTimeoutMs);
        _termStart = Log.LastIndex.Next;
        AppendAsLeader(new Entry(_termStart, Term, EntryKind.NoOp, default));
    }

    /// <summary>Ends leadership: nothing that was waiting for this leader stays without an answer (hazard 7).</summary>
    private void StopLeading()
    {
        _followers.Clear();
        _farewells.Clear();
        _transfer = null;
        DropUnusedSnapshots();
        FailLeaderReads();
    }

    private void TickLeader()
    {
        if (IsQuiet)
        {
            return;
        }

        if (_now >= _checkQuorumAt)
        {
            _checkQuorumAt = _now.PlusMs(_options.HeartbeatMs);
            var heard = HeardFrom(Configuration.Voters);
            heard = Configuration.IsJoint ? Instant.Min(heard, HeardFrom(Configuration.OldVoters)) : heard;
            if (_now.MsSince(heard) > _options.ElectionTimeoutMs)
            {
                BecomeFollower(Term, default);
                return;
            }
        }

        if (!TickTransfer())
        {
            return;
        }

        AskBehindRelays();
        if (_now >= _heartbeatAt)
        {
            _heartbeatAt = _now.PlusMs(_options.HeartbeatMs);
            Compact();
            EndFarewells();
            PromoteLearners();
            if (AskToBeQuiet())
            {
                return;
            }

            foreach (var follower in _followers)
            {
                if (_now.MsSince(follower.LastSent) >= _options.HeartbeatMs / 2.0)
                {
                    SendHeartbeat(follower);
                }
            }
        }
    }

    private void AppendAsLeader(in Entry entry)
    {
        Wake();
        IsBusy();
        AppendToLog(entry);
        _uncommittedBytes += entry.Cost;
    }

    /// <summary>Sends to each follower what it lacks, as far as its window allows; along the chain first, so that who can be fed by it is.</summary>
    private void SendAppends()
    {
        foreach (var link in Chain)
        {
            if (FollowerOf(link) is { } follower)
            {
                SendAppends(follower);
            }
        }

        foreach (var follower in _followers)
        {
            SendAppends(follower);
        }
    }

    private void SendAppends(Follower follower)
    {
        while (follower.Next <= Log.LastIndex && follower.Next > Log.Base.Index && !follower.Fetching && follower.MaySend(_options, _termStart))
        {
            var entries = new List<Entry>();
            if (Log.TryRead(follower.Next, follower.HasNoRoom ? _termStart : Log.LastIndex, _options.MaxAppendBytes, entries))
            {
                SendEntries(follower, entries);
            }
            else if (_now < follower.FetchAgainAt)
            {
                break;
            }
            else
            {
                follower.Fetching = true;
                _effects.Add(new Effect.Fetch(follower.Id, follower.Next, Log.FirstInMemory.Previous, _options.MaxAppendBytes));
            }
        }
    }

    private void SendEntries(Follower follower, IReadOnlyList<Entry> entries)
    {
        var previous = entries[0].Index.Previous;
        var bytes = 0;
        foreach (var entry in entries)
        {
            bytes += entry.Cost;
        }

        var route = RouteBehind(follower, entries[^1].Index, bytes);
        follower.Sent(entries[^1].Index, bytes, _now, isRelayed: false);
        follower.LastSent = _now;
        Send(follower.Id, new AppendEntries(Term, previous, Log.TermAt(previous)!.Value, entries, CommitIndex, _round, SeatOf(follower.Id)) { Route = route }, default);
    }

    private void SendHeartbeat(Follower follower)
    {
        follower.LastSent = _now;

        // Where the log no longer reaches back, a heartbeat claims nothing: everybody's log agrees at index 0.
        var previous = follower.Claim(_options, _now);
        previous = previous >= Log.Base.Index ? previous : LogIndex.Zero;
        var term = previous == LogIndex.Zero ? Term.Zero : Log.TermAt(previous)!.Value;
        Send(follower.Id, new AppendEntries(Term, previous, term, [], CommitIndex, _round, SeatOf(follower.Id)), default);
    }

    private void OnAppendEntriesReply(NodeId from, AppendEntriesReply reply)
    {
        if (FollowerOf(from) is not { } follower)
        {
            return;
        }

        follower.Heard(reply.Round, _now);
        var match = follower.Match;
        var isNews = false;
        if (reply.Success)
        {
            Invariant.Require(reply.MatchIndex <= Log.LastIndex, "a follower acknowledges only what its leader sent");
            if (follower.Flow != Flow.Snapshot || reply.MatchIndex >= Log.Base.Index)
            {
                follower.Acknowledged(reply.MatchIndex);
                DropUnusedSnapshots();
                MaybeCommit();
                MaybeFinishTransfer(follower);
            }
        }
        else
        {
            isNews = follower.Rejected(reply.RejectedIndex, NextToTry(reply), _now);
        }

        if (reply.NoRoom)
        {
            follower.Stop(makesProgress: isNews || follower.Match > match);
        }
        else if (follower.HasNoRoom)
        {
            follower.GoOn();
        }

        ConfirmReads();
    }

    /// <summary>
    /// Fast backtracking (the paper, end of 5.3): go on behind this leader's last entry of the conflicting term, or at the
    /// follower's first entry of it if this leader has none.
    /// </summary>
    private LogIndex NextToTry(AppendEntriesReply reply)
    {
        if (reply.ConflictTerm == Term.Zero)
        {
            return LogIndex.Max(reply.ConflictIndex, new(1));
        }

        var last = Log.LastAtOrBelow(reply.ConflictTerm, LogIndex.Min(reply.RejectedIndex, Log.LastIndex));
        return last >= reply.ConflictIndex && Log.TermAt(last) == reply.ConflictTerm ? last.Next : LogIndex.Max(reply.ConflictIndex, new(1));
    }

    /// <summary>Commits what a majority holds durably, if it is of this term (the paper, 5.4.2): earlier entries are committed by it.</summary>
    private void MaybeCommit()
    {
        var reached = ReachedByMajorities();
        if (reached > CommitIndex && Log.TermAt(reached) == Term)
        {
            CommitIndex = reached;
            _uncommittedBytes = Log.CostAbove(CommitIndex);
            AdvanceConfiguration();
        }
    }

    /// <summary>The incarnation that the configuration names for a follower, for it to compare with its own.</summary>
    private Incarnation SeatOf(NodeId id) => Configuration.Find(id) is { } member ? member.Incarnation : default;

    /// <summary>Up to where a member, this replica included, holds this leader's log on disk: see <see cref="MatchOf"/>.</summary>
    public LogIndex DurableOn(NodeId member) => member == _self ? _durableIndex : MatchOf(member);

    /// <summary>When a member last answered this leader in this term, or joined it; long ago for anybody else.</summary>
    public Instant LastHeardOf(NodeId member) => member == _self ? _now : FollowerOf(member)?.LastHeard ?? new Instant(long.MinValue / 2);

    /// <summary>Up to where another voter is known to hold this leader's log, durably; 0 if nothing is known, or this replica does not lead.</summary>
    public LogIndex MatchOf(NodeId voter) => FollowerOf(voter)?.Match ?? LogIndex.Zero;

    private Follower? FollowerOf(NodeId id)
    {
        foreach (var follower in _followers)
        {
            if (follower.Id == id)
            {
                return follower;
            }
        }

        return null;
    }
}

/// <summary>What became of a proposal.</summary>
public enum ProposeOutcome
{
    /// <summary>Appended to the leader's log: it may commit.</summary>
    Accepted = 0,

    /// <summary>This replica does not lead.</summary>
    NotLeader = 1,

    /// <summary>Leadership is being handed over: ask again shortly.</summary>
    Transferring = 2,

    /// <summary>Too many uncommitted bytes: ask again later.</summary>
    Overloaded = 3,

    /// <summary>The disks of so many voters are full that nothing could be committed.</summary>
    NoRoom = 4,
}
