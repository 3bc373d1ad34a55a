using Flotilla.Raft.Membership;
using Flotilla.Raft.Progress;
using Flotilla.Raft.Quiet;

namespace Flotilla.Raft;

/// <content>
/// Quiet groups: a group in which nothing is to be done sends no heartbeats, and its replicas have no timers; one heartbeat of
/// the node stands in for those of all groups that it leads (DESIGN, section 4).
/// <para><b>Going quiet.</b> A leader that has had nothing to do for <see cref="RaftOptions.QuietAfterMs"/> and knows that every
/// member holds its whole log asks all of them to be quiet (<see cref="GoQuiet"/>, in the place of a heartbeat). A follower agrees if
/// it has applied all that the leader has and owes nothing to anybody; it is quiet from then on. The leader is quiet once all
/// have agreed to one and the same question, if still nothing is to be done. Whatever is not certain (a learner, a change of
/// members, a farewell, a snapshot under way, a transfer, a full or slow disk, a move of slots, somebody who does not answer)
/// keeps the group awake. A leader that does not go quiet after all goes on with its heartbeats, which wake who agreed.</para>
/// <para><b>Why it is safe.</b> Being quiet changes no term, vote, entry, commit index or read index. It stops three timers: the
/// leader's heartbeats, its CheckQuorum, and the followers' elections. No promise rests on a timer. Elections are safe whenever
/// they start. A leader that was deposed without knowing it answers nothing: a read takes a round begun after it, which a
/// majority answers in the leader's term (<c>Raft.Reads.cs</c>), and a write takes a majority. A lease, if there were one, would
/// have to end when its leader goes quiet (hazard 32).</para>
/// <para><b>Why no group sleeps for ever.</b> A quiet follower trusts in one thing: the node heartbeats of the very loop of the very
/// process in which its leader was when it asked (<see cref="LeaderPulse"/>). If they end, or that process was started anew, the
/// host says so (<see cref="LeaderIsSilent"/>) and the election timer runs, as after missed heartbeats. While they go on, the
/// leader's replica is there: as a quiet leader; or as one that is awake, which sends heartbeats until each follower answers; or
/// it leads no more. Then it is awake, and its own election timer makes it ask every voter for a pre-vote or, if its disk
/// stalls, tell every voter that nobody leads. Every message but the leader's question wakes who receives it, and one that was
/// woken by anybody but its leader tells its leader. So once messages arrive, a group of which one replica is awake and lacks a
/// leader is awake as a whole.</para>
/// <para><b>What the host owes.</b> While a replica here leads quietly, a node heartbeat to each member's node at least every third of
/// the election timeout, from the thread that steps the replica: like a group's own heartbeat it says "this thread lives". And while
/// one follows quietly, as many to its leader's node: they stand in for the answers (<see cref="QuorumIsSilent"/>).
/// <see cref="QuietGroups{T}"/> keeps the books.</para>
/// </content>
public sealed partial class Raft
{
    private LogIndex _applied;
    private Instant _busyAt;
    private Instant _wokeAt = new(long.MinValue / 2);
    private ulong _questions;
    private Instant _askedToBeQuietAt = Instant.Never;
    private bool _hasToWake;

    /// <summary>This replica has no heartbeats to send and no election timer. Only a leader or a follower is ever quiet.</summary>
    public bool IsQuiet { get; private set; }

    /// <summary>Of a quiet follower: the node heartbeats that stand in for those of its leader.</summary>
    public Pulse LeaderPulse { get; private set; }

    /// <summary>
    /// The node heartbeats that the host sends for the replicas which lead quietly here; none (the default) if it sends and watches
    /// none, then this replica neither goes quiet nor agrees to. Set once, before the first input.
    /// </summary>
    public Pulse Pulse { get; set; }

    /// <summary>
    /// Something is under way that Raft does not see: this replica neither goes quiet nor agrees to. A quiet one stays so: what is
    /// under way wakes it by what it asks for. Set before <see cref="TakeEffects"/>, as it changes.
    /// </summary>
    public bool StaysAwake { get; set; }

    /// <summary>The question whether to be quiet is under way.</summary>
    private bool IsAskingToBeQuiet => _askedToBeQuietAt != Instant.Never;

    /// <summary>When the leader last spoke to this follower, or its node stood in for it; long ago where it never did.</summary>
    public Instant LastLeaderContact => _lastLeaderContact;

    /// <summary>
    /// A node heartbeat of <see cref="LeaderPulse"/> was heard <paramref name="at"/> that time: this quiet follower counts it as the leader's
    /// own. To be told before a message is handed to a quiet follower, which may have to say whether its leader lives.
    /// </summary>
    public void LeaderWasHeard(Instant at)
    {
        if (IsQuiet && Role == Role.Follower)
        {
            _lastLeaderContact = at >= _lastLeaderContact ? at : _lastLeaderContact;
        }
    }

    /// <summary>
    /// No heartbeat of <see cref="LeaderPulse"/> was heard for an election timeout, or the process that sent them has ended. A quiet follower
    /// wakes; its election timer has what random time is left of it, so that a dead leader is replaced as soon as if it had not
    /// been quiet.
    /// </summary>
    public void LeaderIsSilent(Instant now)
    {
        _now = now;
        if (IsQuiet && Role == Role.Follower)
        {
            WakeAndSay(default);
            _electionDeadline = now.PlusMs(RandomMs(_options.ElectionTimeoutMs) + ReluctanceMs);
        }
    }

    /// <summary>
    /// No heartbeat came from the nodes of a majority of the members for an election timeout. A leader that is quiet wakes, asks, and steps
    /// down if nobody answers (CheckQuorum): one that is deaf would only be found out by the first who needs it.
    /// </summary>
    public void QuorumIsSilent(Instant now)
    {
        _now = now;
        if (Role == Role.Leader)
        {
            Wake();
        }
    }

    /// <summary>Nothing is to be done here, as far as this replica alone can tell.</summary>
    private bool IsAtRest =>
        !Pulse.IsNone && _options.QuietAfterMs > 0 && !StaysAwake && !HasNoRoom && !_hasToWake
        && CommitIndex == Log.LastIndex && _applied >= CommitIndex && _durableIndex == Log.LastIndex
        && _underWay.Count == 0 && _unpersisted.Count == 0 && !_hardStateDirty && !_identityDirty && _resetTo is null
        && _waitingReads.Count == 0 && _roundReads.Count == 0 && !_storing
        && Configuration.IsVoter(_self) && !Configuration.IsJoint && Configuration.Learners.Count == 0;

    private bool MayAskToBeQuiet => IsAtRest && AcceptsProposals && _farewells.Count == 0 && _followers.TrueForAll(IsAtRestToo);

    private bool IsAtRestToo(Follower follower) =>
        follower is { Flow: Flow.Replicate, HasNoRoom: false, Fetching: false } && follower.Match == Log.LastIndex
        && _now.MsSince(follower.LastHeard) < _options.ElectionTimeoutMs;

    /// <summary>In the place of this tick's heartbeats: asks to be quiet, for the first time or again. False if heartbeats are due as ever.</summary>
    private bool AskToBeQuiet()
    {
        // At least one heartbeat comes between a question that was refused and the next, or one that was never told what is
        // committed would refuse for ever.
        if (!MayAskToBeQuiet || _now.MsSince(_busyAt) < Math.Max(_options.QuietAfterMs, 2 * _options.HeartbeatMs))
        {
            return false;
        }

        if (!IsAskingToBeQuiet)
        {
            _askedToBeQuietAt = _now;
            _questions++;
        }
        else if (_now.MsSince(_askedToBeQuietAt) > _options.ElectionTimeoutMs)
        {
            // Somebody is slow, or refuses: ask anew after a while.
            IsBusy();
            return false;
        }

        foreach (var follower in _followers)
        {
            follower.LastSent = _now;
            Send(follower.Id, new GoQuiet(Term, Log.LastIndex, Pulse.Boot, Pulse.Loop, _questions), default);
        }

        GoQuietIfAllAgree();
        return true;
    }

    /// <summary>There is, or was just now, something to do; a question that is under way is taken back.</summary>
    private void IsBusy()
    {
        _busyAt = _now;
        _askedToBeQuietAt = Instant.Never;
    }

    private void OnGoQuiet(NodeId from, Incarnation incarnation, GoQuiet request)
    {
        HearLeader(from);

        // The leader's log ends where it says, and nobody else writes in this term: an equal end is an equal log only if the last
        // entry is known to be committed here, which the leader's own word said.
        var agrees = IsAtRest && request.Index == Log.LastIndex;
        if (agrees)
        {
            BeQuiet();
            LeaderPulse = new Pulse(incarnation, request.Boot, request.Loop);
        }

        Send(from, new GoQuietReply(Term, request.Question, agrees), Vow);
    }

    private void OnGoQuietReply(NodeId from, GoQuietReply reply)
    {
        if (FollowerOf(from) is not { } follower)
        {
            return;
        }

        follower.Heard(0, _now);
        if (!reply.Agrees)
        {
            // Heartbeats go on, and wake those that agreed.
            IsBusy();
        }
        else if (IsAskingToBeQuiet && reply.Question == _questions)
        {
            follower.AgreedToBeQuiet = reply.Question;
            GoQuietIfAllAgree();
        }
    }

    private void GoQuietIfAllAgree()
    {
        if (MayAskToBeQuiet && _followers.TrueForAll(follower => follower.AgreedToBeQuiet == _questions))
        {
            BeQuiet();
        }
    }

    private void BeQuiet()
    {
        IsQuiet = true;
        _askedToBeQuietAt = Instant.Never;

        // What would be written down after a while is written now, so that no timer is left.
        _commitHintDue |= CommitIndex > _persistedCommit;
        _commitHintAt = Instant.Never;
    }

    /// <summary>Timers run again, all of them from now on.</summary>
    private void Wake()
    {
        if (!IsQuiet)
        {
            return;
        }

        IsQuiet = false;
        _wokeAt = _now;
        if (Role == Role.Leader)
        {
            IsBusy();
            _heartbeatAt = _now;
            _checkQuorumAt = _now.PlusMs(_options.ElectionTimeoutMs);
        }
        else
        {
            RestartElectionTimer();
        }
    }

    /// <summary>Wakes; a follower tells its leader, unless that is who woke it.</summary>
    private void WakeAndSay(NodeId because)
    {
        Wake();
        if (Role != Role.Leader && !Leader.IsNone && Leader != because)
        {
            Send(Leader, new GoQuietReply(Term, 0, false), Vow);
        }
    }

    /// <summary>Anything wakes but the leader's question, an agreement, and what a follower says of the log that it has.</summary>
    private void WakeFor(NodeId from, Message message)
    {
        if (IsQuiet && message is not (GoQuiet or GoQuietReply { Agrees: true })
            && !(message is AppendEntriesReply { Success: true, NoRoom: false } reply && Role == Role.Leader && reply.Term == Term && reply.MatchIndex == Log.LastIndex))
        {
            WakeAndSay(from);
        }
    }

    /// <summary>Wakes where that was asked for without the time.</summary>
    private void WakeIfDue()
    {
        if (_hasToWake)
        {
            _hasToWake = false;
            if (IsQuiet)
            {
                WakeAndSay(default);
            }
        }
    }

    /// <summary>Nobody leads, as far as this replica knows, and it can't ask for votes: those that are quiet find out by themselves.</summary>
    private void SayThatNobodyLeads()
    {
        foreach (var member in Configuration.Members)
        {
            if (member.Suffrage != Suffrage.Learner && member.Id != _self && !Pulse.IsNone)
            {
                Send(member.Id, new GoQuietReply(Term, 0, false), Vow);
            }
        }
    }
}
