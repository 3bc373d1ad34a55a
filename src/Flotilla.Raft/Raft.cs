using Flotilla.Raft.Identity;
using Flotilla.Raft.Membership;
using Flotilla.Raft.Progress;

namespace Flotilla.Raft;

/// <summary>
/// One replica of one group as a deterministic state machine: every input is a method that takes the time, every output
/// an <see cref="Effect"/>. Not thread-safe: one loop owns it.
/// </summary>
/// <remarks>
/// <para>Source: Ongaro and Ousterhout, "In search of an understandable consensus algorithm" (the paper), figure 2; and
/// Ongaro's dissertation for PreVote (9.6), CheckQuorum (6.2), leadership transfer (3.10) and reads (6.4).</para>
/// <para>Invariants (the paper, figure 3): <b>Election Safety</b>, at most one leader a term; <b>Leader Append-Only</b>, a
/// leader never changes its log's past; <b>Log Matching</b>, equal index and term mean equal logs up to there; <b>Leader
/// Completeness</b>, what is committed is in every later leader's log; <b>State Machine Safety</b>, no two replicas apply
/// different entries at one index. They hold because a vote, a term and an entry are durable before anybody is told
/// (<see cref="Effect.Send"/> names the persist it waits for), a vote goes only to a log at least as new, and only
/// entries of the leader's own term are committed by counting (5.4.2).</para>
/// <para>The parts: <c>Raft.Durability.cs</c> what waits for the disk; <c>Raft.Elections.cs</c>; <c>Raft.Leader.cs</c> and
/// <c>Raft.Follower.cs</c> replication from both sides; <c>Raft.Chain.cs</c> entries that followers pass on; <c>Raft.Snapshots.cs</c>; <c>Raft.Reads.cs</c>; <c>Raft.Quiet.cs</c>; <c>Raft.Transfer.cs</c>; <c>Raft.Membership.cs</c> and <c>Membership/</c> who belongs to
/// the group; <c>Identity/</c> who may vote.</para>
/// </remarks>
public sealed partial class Raft
{
    private readonly NodeId _self;
    private readonly RaftOptions _options;
    private readonly Incarnation _incarnation;
    private readonly Admission _admission;
    private SplitMix64 _random;

    private NodeId _votedFor;
    private Instant _now;

    private List<Effect> _effects = [];
    private List<Effect> _taken = [];
    private LogIndex _announcedCommit;
    private (Role Role, Term Term, NodeId Leader) _announced;

    /// <summary>A replica that starts from what its disk holds.</summary>
    /// <param name="self">This node.</param>
    /// <param name="incarnation">This node's data directory.</param>
    /// <param name="voters">The initial voters, as genesis names them. A node that is not among them joins: it waits until a leader gives it a seat. The first one is meant to lead first: at the very first start it asks for votes before the others.</param>
    /// <param name="options">Times and limits.</param>
    /// <param name="recovered">What the disk holds.</param>
    /// <param name="seed">Seeds the election timeouts.</param>
    /// <param name="now">The time.</param>
    public Raft(NodeId self, Incarnation incarnation, IReadOnlyList<NodeId> voters, RaftOptions options, RaftRecovery recovered, ulong seed, Instant now)
    {
        _self = self;
        _options = options;
        _incarnation = incarnation;
        _random = new SplitMix64(seed);
        _now = now;

        Log = new RaftLog(recovered);
        Term = recovered.HardState.Term;
        _votedFor = recovered.HardState.VotedFor;
        CommitIndex = LogIndex.Max(LogIndex.Min(recovered.HardState.Commit, Log.LastIndex), Log.Base.Index);
        _persistedCommit = CommitIndex;
        _durableIndex = Log.LastIndex;
        _configurations = new ConfigurationHistory(default, voters.Count > 0 ? Configuration.Genesis(voters) : Configuration.None);
        RecoverSnapshot(recovered);
        foreach (var entry in recovered.Configurations)
        {
            if (entry.Index > ConfigurationIndex && entry.Index <= Log.LastIndex)
            {
                Adopt(entry);
            }
        }

        _announcedConfiguration = Configuration;
        _admission = new Admission(self, incarnation, [.. voters.Where(voter => voter != self).Order()], voters.Contains(self), recovered.Identity);
        _leadsFirst = IsEmpty && voters.Count > 0 && voters[0] == self;
        _announced = (Role.Follower, Term, default);

        // Nobody is known to lead, and a PreVote disturbs nobody, so the first election may come sooner than later ones.
        _electionDeadline = _leadsFirst ? now : now.PlusMs(_options.ElectionTimeoutMs / 2.0 + RandomMs(_options.ElectionTimeoutMs));
        _askEmptyAt = now;

        // A late answer to a question asked before a restart must not pass for the answer to a new one (hazard 31).
        _question = _random.Next();
        Tick(now);
    }

    /// <summary>The part that this replica plays.</summary>
    public Role Role { get; private set; } = Role.Follower;

    /// <summary>The current term.</summary>
    public Term Term { get; private set; }

    /// <summary>The leader of the current term, or none while unknown.</summary>
    public NodeId Leader { get; private set; }

    /// <summary>The highest index known to be committed.</summary>
    public LogIndex CommitIndex { get; private set; }

    /// <summary>The log: last index, terms, and the entries in memory.</summary>
    public RaftLog Log { get; }

    /// <summary>This replica may vote and acknowledge (<see cref="Admission"/>).</summary>
    public bool Admitted => _admission.Admitted;

    /// <summary>A peer has another data directory stored for this node: this one was wiped or replaced, and must be given its seat again before it takes part. Once it was, what others met before does not matter.</summary>
    public bool SeatIsTaken => !Admitted && _admission.SeatIsTaken;

    /// <summary>While this replica is not admitted: the first voters that it has not heard from since its start; else none.</summary>
    public IReadOnlyList<NodeId> Awaited => _admission.Awaited;

    /// <summary>The leader has committed its no-op and is not handing over: it accepts proposals.</summary>
    public bool AcceptsProposals => Role == Role.Leader && CommitIndex >= _termStart && _transfer is null;

    /// <summary>When <see cref="Tick"/> has something to do, if nothing else happens.</summary>
    public Instant NextDeadline
    {
        get
        {
            if (_hasToWake)
            {
                return _now;
            }

            var next = !Admitted ? _askEmptyAt : Role == Role.Leader ? LeaderDeadline : IsQuiet ? Instant.Never : _electionDeadline;
            return Instant.Min(Instant.Min(next, ReadDeadline), CommitHintDeadline);
        }
    }

    private bool IsEmpty => Term == Term.Zero && Log.LastIndex == LogIndex.Zero;

    /// <summary>Time has passed. May be called at any time; messages that wait should be received first.</summary>
    public void Tick(Instant now)
    {
        _now = now;
        WakeIfDue();
        if (!Admitted)
        {
            AskWhetherOthersAreEmpty();
        }
        else if (Role == Role.Leader)
        {
            TickLeader();
        }
        else if (!IsQuiet && now >= _electionDeadline)
        {
            StartPreVote();
        }

        TickReads();
        PersistCommitHint();
    }

    /// <summary>A message has arrived. <paramref name="incarnation"/> is the sender's. Anything that makes no sense is dropped.</summary>
    public void Receive(NodeId from, Incarnation incarnation, Message message, Instant now)
    {
        _now = now;
        var speaker = SpeakerOf(from, message);
        if (from == _self || speaker == _self)
        {
            return;
        }

        WakeFor(speaker, message);
        var known = Recognizes(from, incarnation);
        from = speaker;
        switch (message)
        {
            case EmptyRequest:
                OnEmptyRequest(from, incarnation);
                return;
            case EmptyReply reply:
                OnEmptyReply(from, reply);
                return;
            case NotMember notice:
                OnNotMember(notice);
                return;
            case AppendEntries { Seat: var seat } when seat == _incarnation:
            case InstallSnapshot { Seat: var place } when place == _incarnation:
                TakeSeat();
                break;
            case RequestVote request:
                TellIfRemoved(from, incarnation, request.LastLogIndex, request.LastLogTerm);
                break;
        }

        // A replica that may have forgotten its vote takes no part. And only the right incarnation of a peer counts, once it is
        // stored durably: for what is counted, which is answers. What a peer asks or says as leader stands on its term and its
        // log, and this replica's log may not tell yet which incarnation sits there now. Peers ask again, so nothing is lost.
        var counts = message is RequestVoteReply or AppendEntriesReply or InstallSnapshotReply or GoQuietReply;
        if (!Admitted || (counts && !known) || (counts && message is not RequestVoteReply { PreVote: true } && !IsStoredDurably(from)))
        {
            return;
        }

        if (message.Term > Term && !FromTheFuture(from, message))
        {
            return;
        }

        if (message.Term < Term)
        {
            AnswerTheOutdated(from, message);
            return;
        }

        switch (message)
        {
            case RequestVote request:
                OnRequestVote(from, request);
                break;
            case RequestVoteReply reply:
                OnRequestVoteReply(from, incarnation, reply);
                break;
            case AppendEntries request:
                OnAppendEntries(from, request);
                break;
            case AppendEntriesReply reply:
                OnAppendEntriesReply(from, reply);
                break;
            case InstallSnapshot request:
                OnInstallSnapshot(from, request);
                break;
            case InstallSnapshotReply reply:
                OnInstallSnapshotReply(from, reply);
                break;
            case TimeoutNow:
                OnTimeoutNow();
                break;
            case GoQuiet request:
                OnGoQuiet(from, incarnation, request);
                break;
            case GoQuietReply reply:
                OnGoQuietReply(from, reply);
                break;
            case ReadIndexRequest request:
                OnReadIndexRequest(from, request);
                break;
            case ReadIndexReply reply:
                OnReadIndexReply(reply);
                break;
        }
    }

    /// <summary>
    /// Whether this incarnation may speak for the node. The configuration says so once it names one; else, for an initial voter, the one
    /// first met counts. Whom this log does not know yet may be a member by entries that have not arrived: a term decides what its words are worth.
    /// </summary>
    private bool Recognizes(NodeId from, Incarnation incarnation)
    {
        if (Configuration.Find(from) is { Incarnation: { IsNone: false } seated })
        {
            return seated == incarnation;
        }

        if (!_admission.Others.Contains(from))
        {
            return true;
        }

        var known = _admission.Meet(from, incarnation, IsEmpty, out var met);
        if (met)
        {
            MarkMet(from);
        }

        return known || Configuration.Find(from) is null;
    }

    /// <summary>The leader's configuration names this very incarnation.</summary>
    private void TakeSeat()
    {
        IsRemoved = false;
        if (!Admitted)
        {
            _admission.Admit();
            MarkIdentityDirty();
            RestartElectionTimer();
        }
    }

    /// <summary>The process of <paramref name="peer"/> is gone: its connection closed and a reconnect was refused (the dead-leader hint).</summary>
    /// <remarks>
    /// Ends stickiness to that leader on this replica, as candidate and as voter, and brings its own election forward.
    /// Elections are safe whenever they start, so a wrong hint costs at most one needless election.
    /// </remarks>
    public void PeerGone(NodeId peer, Instant now)
    {
        _now = now;
        if (peer == Leader && Role == Role.Follower)
        {
            Leader = default;
            IsQuiet = false;
            FailForwardedReads();
            _electionDeadline = now.PlusMs(RandomMs(HintSpreadMs) + ReluctanceMs);
        }
    }

    /// <summary>
    /// The effects since the last call, in order: a persist, if there is one, comes first. Empty if nothing is to be done.
    /// The list is reused by the call after next.
    /// </summary>
    public IReadOnlyList<Effect> TakeEffects()
    {
        _taken.Clear();
        if (Role == Role.Leader)
        {
            StartReadRound();
            SendAppends();
            SendSnapshots();
        }
        else
        {
            ForwardReads();
        }

        EmitPersist(_taken);
        _taken.AddRange(_effects);
        if (CommitIndex > _announcedCommit)
        {
            _announcedCommit = CommitIndex;
            _taken.Add(new Effect.Commit(CommitIndex));
        }

        AddReadyReads(_taken);
        if (!ReferenceEquals(_announcedConfiguration, Configuration))
        {
            _announcedConfiguration = Configuration;
            _taken.Add(new Effect.ConfigurationChanged(Configuration));
        }

        if (_announced != (Role, Term, Leader))
        {
            _announced = (Role, Term, Leader);
            _taken.Add(new Effect.RoleChanged(Role, Term, Leader));
        }

        _effects.Clear();
        return _taken;
    }

    /// <summary>Reacts to a newer term (the paper, 5.1). False if the message is to be ignored, term and all.</summary>
    private bool FromTheFuture(NodeId from, Message message)
    {
        switch (message)
        {
            case RequestVote { PreVote: true }:
            case RequestVoteReply { PreVote: true, Granted: true }:
                // A pre-vote speaks of a term that may never be: nobody's term moves.
                return true;
            case RequestVote { Transfer: false } when LeaderIsAlive:
                // Dissertation, 4.2.3: a server that hears from a live leader lets nobody raise its term.
                return false;
            default:
                BecomeFollower(message.Term, message is AppendEntries or InstallSnapshot or GoQuiet ? from : default);
                return true;
        }
    }

    /// <summary>Whoever lives in an older term is told of this one, so that it steps down or asks anew; answers to old questions are dropped.</summary>
    private void AnswerTheOutdated(NodeId from, Message message)
    {
        switch (message)
        {
            case AppendEntries append:
                Send(from, new AppendEntriesReply(Term, false, default, default, default, append.PrevLogIndex, append.Round), Vow);
                break;
            case InstallSnapshot install:
                Send(from, new InstallSnapshotReply(Term, install.Snapshot.Id, install.Offset, default), Vow);
                break;
            case RequestVote request:
                Send(from, new RequestVoteReply(Term, request.PreVote, false, _admission.Known), Vow);
                break;
            case ReadIndexRequest request:
                Send(from, new ReadIndexReply(Term, request.Id, false, default), Vow);
                break;
            case GoQuiet request:
                Send(from, new GoQuietReply(Term, request.Question, false), Vow);
                break;
        }
    }

    private void Send(NodeId to, Message message, PersistSequence after) => _effects.Add(new Effect.Send(to, message, after));

    private double RandomMs(double bound) => _random.Below((long)(bound * 1000)) / 1000.0;
}
