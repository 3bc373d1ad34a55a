using Flotilla.Raft.Identity;
using Flotilla.Raft.Membership;
using Flotilla.Raft.Quorum;

namespace Flotilla.Raft;

/// <content>
/// Elections (the paper, 5.2 and 5.4.1), PreVote (dissertation, 9.6) and stickiness (4.2.3).
/// A pre-candidate asks without raising anybody's term, so a replica that cannot win cannot disturb. Granting a pre-vote
/// promises nothing and changes nothing, least of all the voter's own timer (hazard 4).
/// A candidate counts its own vote when it is durable, like everybody else's (hazard 2).
/// </content>
public sealed partial class Raft
{
    /// <summary>Over how many milliseconds the survivors of a dead leader spread their elections, so that they rarely collide.</summary>
    private const double HintSpreadMs = 50;

    private readonly Dictionary<NodeId, Vote> _votes = [];
    private readonly bool _leadsFirst;
    private Instant _electionDeadline;
    private Instant _lastLeaderContact = new(long.MinValue / 2);
    private Instant _askEmptyAt;

    private readonly record struct Vote(bool Granted, Incarnation Incarnation, IReadOnlyList<KnownPeer> Known);

    /// <summary>This replica leads, or heard from its leader within the shortest election timeout.</summary>
    private bool LeaderIsAlive =>
        Role == Role.Leader || (!Leader.IsNone && _now.MsSince(_lastLeaderContact) < _options.ElectionTimeoutMs);

    private void RestartElectionTimer() =>
        _electionDeadline = _now.PlusMs(_options.ElectionTimeoutMs + RandomMs(_options.ElectionTimeoutMs) + ReluctanceMs);

    /// <summary>
    /// A candidate asks again sooner than a follower loses patience: when one of three is dead, a split vote is never seen
    /// as lost, and asking costs nothing, since each attempt begins with a PreVote.
    /// </summary>
    private void RestartCandidateTimer() =>
        _electionDeadline = _now.PlusMs((_options.ElectionTimeoutMs + RandomMs(_options.ElectionTimeoutMs)) / 2);

    private void BecomeFollower(Term term, NodeId leader)
    {
        if (Role == Role.Leader)
        {
            StopLeading();
        }

        if (leader != Leader)
        {
            FailForwardedReads();
        }

        if (term > Term)
        {
            Term = term;
            _votedFor = default;
            _hardStateDirty = true;
        }

        Role = Role.Follower;
        Leader = leader;
        IsQuiet = false;
        _votes.Clear();
        RestartElectionTimer();
    }

    private void StartPreVote()
    {
        RestartCandidateTimer();
        if (IsRemoved || !MayCampaign)
        {
            // Who has no vote asks for none, but no longer believes in a leader that says nothing.
            FailForwardedReads();
            Leader = default;
            return;
        }

        if (DiskIsStalled)
        {
            // A vote could not be made durable, so there is nothing to win.
            SayThatNobodyLeads();
            return;
        }

        FailForwardedReads();
        Role = Role.PreCandidate;
        Leader = default;
        _votes.Clear();
        foreach (var member in Configuration.Members)
        {
            if (member.Suffrage != Suffrage.Learner && member.Id != _self)
            {
                Send(member.Id, new RequestVote(Term.Next, PreVote: true, Log.LastIndex, Log.LastTerm, Transfer: false), default);
            }
        }

        _votes[_self] = new Vote(true, default, _admission.Known);
        CountVotes();
    }

    private void Campaign(bool transfer)
    {
        FailForwardedReads();
        Role = Role.Candidate;
        Leader = default;
        Term = Term.Next;
        _votedFor = _self;
        _hardStateDirty = true;
        _votes.Clear();
        RestartCandidateTimer();
        foreach (var member in Configuration.Members)
        {
            if (member.Suffrage != Suffrage.Learner && member.Id != _self)
            {
                Send(member.Id, new RequestVote(Term, PreVote: false, Log.LastIndex, Log.LastTerm, transfer), Vow);
            }
        }
    }

    private void CountOwnVote()
    {
        _votes[_self] = new Vote(true, default, _admission.Known);
        CountVotes();
    }

    private void OnRequestVote(NodeId from, RequestVote request)
    {
        // The paper, 5.4.1: the candidate's log must be at least as up-to-date as the voter's.
        var upToDate = request.LastLogTerm > Log.LastTerm
            || (request.LastLogTerm == Log.LastTerm && request.LastLogIndex >= Log.LastIndex);

        if (request.PreVote)
        {
            // A disk that stalls could not make the vote itself durable in time.
            var would = upToDate && request.Term > Term && !LeaderIsAlive && !DiskIsStalled;
            Send(from, new RequestVoteReply(would ? request.Term : Term, PreVote: true, would, _admission.Known), default);
            return;
        }

        var granted = upToDate && (_votedFor.IsNone || _votedFor == from);
        if (granted)
        {
            if (_votedFor.IsNone)
            {
                _votedFor = from;
                _hardStateDirty = true;
            }

            BecomeFollower(Term, Leader);
        }

        Send(from, new RequestVoteReply(Term, PreVote: false, granted, _admission.Known), Vow);
    }

    private void OnRequestVoteReply(NodeId from, Incarnation incarnation, RequestVoteReply reply)
    {
        var expected = reply.PreVote ? Role.PreCandidate : Role.Candidate;
        var askedFor = reply.PreVote && reply.Granted ? Term.Next : Term;
        if (Role != expected || reply.Term != askedFor || (reply.Granted && Configuration.Find(_self) is { Incarnation.IsNone: true } && _admission.ContradictsSelf(reply.Known)))
        {
            return;
        }

        _votes[from] = new Vote(reply.Granted, incarnation, reply.Known);
        CountVotes();
    }

    private void CountVotes()
    {
        // Both halves of a joint configuration must elect; either may refuse.
        var result = CountVotes(Configuration.Voters);
        if (Configuration.IsJoint)
        {
            var old = CountVotes(Configuration.OldVoters);
            result = result == VoteResult.Won ? old : old == VoteResult.Lost ? VoteResult.Lost : result;
        }

        switch (result)
        {
            case VoteResult.Won when Role == Role.PreCandidate:
                Campaign(transfer: false);
                break;
            case VoteResult.Won:
                BecomeLeader();
                break;
            case VoteResult.Lost:
                var split = Role == Role.Candidate;
                BecomeFollower(Term, default);
                if (split)
                {
                    // A split vote: somebody else asked at the same moment. Nobody leads, so ask again soon.
                    _electionDeadline = _now.PlusMs(RandomMs(_options.ElectionTimeoutMs / 2.0));
                }

                break;
        }
    }

    private VoteResult CountVotes(IReadOnlyList<NodeId> voters)
    {
        int yes = 0, no = 0;
        foreach (var voter in voters)
        {
            if (_votes.TryGetValue(voter, out var vote))
            {
                yes += vote.Granted && !IsContradicted(voter, vote.Incarnation) ? 1 : 0;
                no += vote.Granted ? 0 : 1;
            }
        }

        return Majority.Count(voters.Count, yes, no);
    }

    /// <summary>Some granted vote lists another incarnation of this voter: one of the two has forgotten something, so its vote does not count.</summary>
    private bool IsContradicted(NodeId voter, Incarnation incarnation)
    {
        // Where the configuration names the incarnation, what others met before does not matter.
        if (voter == _self || Configuration.Find(voter) is { Incarnation.IsNone: false })
        {
            return false;
        }

        foreach (var vote in _votes.Values)
        {
            if (vote.Granted && Admission.Contradicts(vote.Known, voter, incarnation))
            {
                return true;
            }
        }

        return false;
    }

    private void AskWhetherOthersAreEmpty()
    {
        if (!_admission.IsInitial)
        {
            // One that joins waits until a leader tells it of its seat.
            _askEmptyAt = Instant.Never;
            return;
        }

        if (_now < _askEmptyAt)
        {
            return;
        }

        _askEmptyAt = _now.PlusMs(_options.HeartbeatMs);
        foreach (var voter in _admission.Others)
        {
            Send(voter, new EmptyRequest(Term), default);
        }
    }

    private void OnEmptyRequest(NodeId from, Incarnation incarnation)
    {
        TellIfRemoved(from, incarnation, LogIndex.Zero, Term.Zero);
        var (empty, stored) = _admission.Answer(from, incarnation);
        if (stored.IsNone)
        {
            return;
        }

        Send(from, new EmptyReply(Term, empty, !IsEmpty, stored), Vow);
    }

    private void OnEmptyReply(NodeId from, EmptyReply reply)
    {
        if (_admission.Answered(from, reply.Empty, reply.Begun, reply.Stored))
        {
            MarkIdentityDirty();
            _electionDeadline = _leadsFirst
                ? _now
                : _now.PlusMs(_options.ElectionTimeoutMs / 2.0 + RandomMs(_options.ElectionTimeoutMs));
        }
    }
}
