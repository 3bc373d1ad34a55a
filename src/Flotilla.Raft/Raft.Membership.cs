using Flotilla.Raft.Membership;
using Flotilla.Raft.Progress;

namespace Flotilla.Raft;

/// <content>
/// Changing who belongs to the group (the paper, section 6; dissertation, 4.3: joint consensus).
/// <para>Invariants. A configuration counts from the moment it is appended. Voters change only by way of a joint
/// configuration, in which every election and every commit needs a majority of both halves; so there is no moment at which
/// two disjoint majorities could decide. A change begins only when the one before is done and committed, and when this leader
/// has committed an entry of its own term (hazard 18: otherwise a change of an older leader, not yet seen, might commit after
/// all). Whoever leads when a joint configuration is committed appends C-new, so a change survives the leader's death at
/// every step. A leader that is not in C-new goes on until that is committed, without counting itself, and then steps down.</para>
/// <para>A new member is a learner first and is promoted when it has caught up. Its seat names its incarnation: nobody else's
/// votes and acknowledgements count for it, and a replica that has forgotten what it once knew takes part again only when a
/// leader tells it that its very incarnation has the seat (hazard 17). That seat was given after the removal of whatever sat
/// there before was committed, so no promise of an earlier incarnation is still counted on by a majority.</para>
/// <para>A removed member is told: by C-new itself, which the leader goes on sending to it for a while, or by the answer to
/// its next question. It then asks for no more votes (hazard 21); PreVote and stickiness keep it harmless until then.</para>
/// </content>
public sealed partial class Raft
{
    /// <summary>A member that left is sent the log for so many election timeouts, so that it learns of it.</summary>
    private const int FarewellTimeouts = 10;

    /// <summary>A learner has caught up when it lacks no more bytes of log than this.</summary>
    private const long CaughtUpBytes = 1 << 20;

    private readonly ConfigurationHistory _configurations;
    private readonly Dictionary<NodeId, Instant> _farewells = [];
    private Configuration? _announcedConfiguration;

    /// <summary>Who belongs to the group, as the newest entry says, committed or not.</summary>
    public Configuration Configuration => _configurations.Current;

    /// <summary>The entry that made <see cref="Configuration"/>; 0 for the first one.</summary>
    public LogIndex ConfigurationIndex => _configurations.CurrentIndex;

    /// <summary>Who belongs to the group as far as this replica knows it to be committed, and which entry says so; 0 for the first members.</summary>
    public (LogIndex Index, Configuration Configuration) CommittedConfiguration => _configurations.EntryAt(CommitIndex);

    /// <summary>This replica learned that it is no member any more: it asks for no votes.</summary>
    public bool IsRemoved { get; private set; }

    /// <summary>The data directory that counts for a member: the one that the configuration names or, for a first member, that was met first. None for who is no member, or was never met.</summary>
    public Incarnation IncarnationOf(NodeId id) =>
        Configuration.Find(id) is not { } member ? default
        : !member.Incarnation.IsNone ? member.Incarnation
        : id == _self ? _incarnation : _admission.Stored(id);

    /// <summary>The configuration that was in force after <paramref name="index"/>, which must be in the log or its base.</summary>
    public Configuration ConfigurationAt(LogIndex index) => _configurations.At(index);

    /// <summary>Adds a learner, which becomes a voter by itself once it has caught up.</summary>
    /// <param name="id">The node.</param>
    /// <param name="incarnation">Its data directory.</param>
    /// <param name="address">Where its peers reach it.</param>
    /// <param name="now">The time.</param>
    public ChangeOutcome AddMember(NodeId id, Incarnation incarnation, string address, Instant now)
    {
        _now = now;
        if (MayChange() is not ChangeOutcome.Accepted and var refused)
        {
            return refused;
        }

        if (Configuration.Find(id) is { } member)
        {
            return member.Incarnation == incarnation ? ChangeOutcome.AlreadyDone : ChangeOutcome.SeatIsTaken;
        }

        if (Configuration.Members.Count == Configuration.MaxMembers)
        {
            return ChangeOutcome.TooManyMembers;
        }

        AppendConfiguration(Configuration.Adding(id, incarnation, address));
        return ChangeOutcome.Accepted;
    }

    /// <summary>Removes a member; this replica too, which then hands over.</summary>
    public ChangeOutcome RemoveMember(NodeId id, Instant now)
    {
        _now = now;
        if (MayChange() is not ChangeOutcome.Accepted and var refused)
        {
            return refused;
        }

        if (Configuration.Find(id) is not { } member)
        {
            return ChangeOutcome.AlreadyDone;
        }

        if (member.Suffrage == Suffrage.Voter && Configuration.Voters.Count == 1)
        {
            return ChangeOutcome.LastVoter;
        }

        AppendConfiguration(Configuration.Removing(id));
        return ChangeOutcome.Accepted;
    }

    /// <summary>
    /// This replica votes; or it was removed by an entry that is not known to be committed: then it may be the only one that
    /// can be elected, since its log is longest (dissertation, 4.2.2).
    /// </summary>
    private bool MayCampaign => Configuration.IsVoter(_self) || (ConfigurationIndex > CommitIndex && _configurations.At(CommitIndex).IsVoter(_self));

    private ChangeOutcome MayChange() =>
        Role != Role.Leader ? ChangeOutcome.NotLeader
        : _transfer is not null || CommitIndex < _termStart ? ChangeOutcome.NotReady
        : Configuration.IsJoint || ConfigurationIndex > CommitIndex ? ChangeOutcome.ChangeUnderWay
        : ChangeOutcome.Accepted;

    private void AppendConfiguration(Configuration configuration)
    {
        var seated = configuration.Seating(id => id == _self ? _incarnation : IsStoredDurably(id) ? _admission.Stored(id) : default);
        AppendAsLeader(new Entry(Log.LastIndex.Next, Term, EntryKind.Configuration, ConfigurationCodec.Encode(seated)));
        SyncFollowers();
    }

    /// <summary>True if a member has answered <paramref name="round"/> of <see cref="BeginRound"/>, or is this leader itself; false on a node that does not lead.</summary>
    public bool HasAnswered(NodeId member, ulong round) =>
        Role == Role.Leader && (member == _self || FollowerOf(member)?.Round >= round);

    /// <summary>An entry that is being appended names a configuration.</summary>
    private void Adopt(in Entry entry)
    {
        var configuration = ConfigurationCodec.Decode(entry.Payload.Span);
        Invariant.Require(configuration is not null, "a configuration entry holds a configuration");
        _configurations.Appended(entry.Index, configuration!);
        NoticeMembership();
    }

    private void NoticeMembership()
    {
        if (Configuration.Find(_self) is not null)
        {
            IsRemoved = false;
        }
    }

    /// <summary>What a committed configuration leads to: the end of a joint one, and of a leader that is no member any more.</summary>
    private void AdvanceConfiguration()
    {
        if (Role != Role.Leader || ConfigurationIndex > CommitIndex || CommitIndex < _termStart)
        {
            return;
        }

        if (Configuration.IsJoint)
        {
            AppendConfiguration(Configuration.LeavingJoint());
        }
        else if (!Configuration.IsVoter(_self))
        {
            if (MostUpToDate([]) is { } heir)
            {
                Send(heir.Id, new TimeoutNow(Term), default);
            }

            BecomeFollower(Term, default);
        }
    }

    /// <summary>Makes a voter of a learner that has caught up; one at a time.</summary>
    private void PromoteLearners()
    {
        if (Configuration.Learners.Count == 0 || MayChange() != ChangeOutcome.Accepted)
        {
            return;
        }

        // How many bytes lie among what was recovered is not known, so all of that is to be there.
        var enough = Log.LastIndex > Log.Base.Index ? LogIndex.Max(Log.BeforeLast(CaughtUpBytes), Log.RecoveredLast) : Log.LastIndex;
        foreach (var id in Configuration.Learners)
        {
            if (FollowerOf(id) is { Flow: Flow.Replicate } follower && follower.Match > LogIndex.Zero && follower.Match >= enough
                && _now.MsSince(follower.LastHeard) < _options.ElectionTimeoutMs)
            {
                AppendConfiguration(Configuration.Promoting(id));
                return;
            }
        }
    }

    /// <summary>Brings the list of followers in line with the configuration; members that left stay in it for a while.</summary>
    private void SyncFollowers()
    {
        foreach (var member in Configuration.Members)
        {
            if (_farewells.Remove(member.Id))
            {
                // What the one that left had acknowledged says nothing of the one that comes.
                _followers.RemoveAll(follower => follower.Id == member.Id);
            }

            if (member.Id != _self && FollowerOf(member.Id) is null)
            {
                _followers.Add(new Follower(member.Id, Log.LastIndex.Next, _now));
            }
        }

        foreach (var follower in _followers)
        {
            if (Configuration.Find(follower.Id) is null)
            {
                _farewells.TryAdd(follower.Id, _now.PlusMs(FarewellTimeouts * _options.ElectionTimeoutMs));
            }
        }
    }

    private void EndFarewells()
    {
        if (_farewells.Count == 0)
        {
            return;
        }

        foreach (var follower in _followers.FindAll(f => _farewells.ContainsKey(f.Id)))
        {
            var knows = follower.Match >= ConfigurationIndex && CommitIndex >= ConfigurationIndex;
            if (knows)
            {
                // One word more, so that it knows that the configuration is committed.
                SendHeartbeat(follower);
            }

            if (knows || _now >= _farewells[follower.Id])
            {
                _farewells.Remove(follower.Id);
                _followers.Remove(follower);
                DropUnusedSnapshots();
            }
        }
    }

    /// <summary>
    /// Someone who is no member asks to be elected, or whether it may take part. It can't know better if its log lacks the entry that
    /// removed it; which it may, however long it is, if it ends with what an earlier leader could not commit. Nor can it if it holds
    /// that entry and never heard that it is committed: the leader's last word to it is said once, and may be lost.
    /// <para>Nobody is told who may still be needed, as the one whose log is the longest (<see cref="MayCampaign"/>). That can't be one
    /// whose whole log is no more up-to-date (the paper, 5.4.1) than the last entry that is committed here: it holds no
    /// committed entry that is not committed here, since a later leader would have had it before it wrote that last one (Leader
    /// Completeness). So a majority of the voters without it holds as much as it does and elects one of its own, and an entry that
    /// gave it its seat back, which is not in this log's committed part, is not in its log either as a committed one. One whose log
    /// goes on behind this replica's commit index may know better than this replica: whoever has committed as much tells it.
    /// The notice ends nothing but asking for votes; a vote is granted as before, so no election's safety rests on it.</para>
    /// </summary>
    private void TellIfRemoved(NodeId from, Incarnation incarnation, LogIndex lastLogIndex, Term lastLogTerm)
    {
        var committed = _configurations.At(CommitIndex);
        var committedTerm = Log.TermAt(CommitIndex) ?? Log.Base.Term;
        var isNotNeeded = lastLogTerm < committedTerm || (lastLogTerm == committedTerm && lastLogIndex <= CommitIndex);
        if (ConfigurationIndex > LogIndex.Zero && ConfigurationIndex <= CommitIndex && isNotNeeded
            && (committed.Find(from) is not { } member || (!member.Incarnation.IsNone && member.Incarnation != incarnation)))
        {
            Send(from, new NotMember(Term, ConfigurationIndex), default);
        }
    }

    // A configuration in this log that is not known to be committed, and older than the sender's term, does not count against
    // the notice: it may be what was replaced. Should it be wrong, the leader's next word gives the seat back (TakeSeat).
    private void OnNotMember(NotMember notice)
    {
        // One that leaves this replica out is what the notice confirms, if it is as old.
        var isConfirmed = notice.ConfigurationIndex == ConfigurationIndex && Configuration.Find(_self) is null;
        var isNews = isConfirmed || notice.ConfigurationIndex > ConfigurationIndex || (ConfigurationIndex > CommitIndex && Log.LastTerm < notice.Term);
        if (Role != Role.Leader && isNews)
        {
            IsRemoved = true;
            if (Role != Role.Follower)
            {
                BecomeFollower(Term, default);
            }
        }
    }

    /// <summary>The lowest of both halves' values: what a majority of each has reached.</summary>
    private LogIndex ReachedByMajorities()
    {
        var reached = ReachedBy(Configuration.Voters);
        return Configuration.IsJoint ? LogIndex.Min(reached, ReachedBy(Configuration.OldVoters)) : reached;
    }

    private LogIndex ReachedBy(IReadOnlyList<NodeId> voters)
    {
        Span<LogIndex> matches = stackalloc LogIndex[voters.Count];
        for (var i = 0; i < matches.Length; i++)
        {
            matches[i] = voters[i] == _self ? _durableIndex : FollowerOf(voters[i])?.Match ?? LogIndex.Zero;
        }

        return Quorum.Majority.Reached(matches);
    }

    /// <summary>When a majority of <paramref name="voters"/>, this leader included if it is one, had last been heard from in this term.</summary>
    private Instant HeardFrom(IReadOnlyList<NodeId> voters)
    {
        Span<Instant> heard = stackalloc Instant[voters.Count];
        for (var i = 0; i < heard.Length; i++)
        {
            heard[i] = voters[i] == _self ? _now : FollowerOf(voters[i])?.LastHeard ?? new Instant(long.MinValue / 2);
        }

        return Quorum.Majority.Reached(heard);
    }

    private bool ConfirmedBy(IReadOnlyList<NodeId> voters)
    {
        var confirmed = 0;
        foreach (var voter in voters)
        {
            confirmed += voter == _self || FollowerOf(voter)?.Round >= _round ? 1 : 0;
        }

        return confirmed >= Quorum.Majority.Of(voters.Count);
    }
}

/// <summary>What became of a wish to change the configuration.</summary>
public enum ChangeOutcome
{
    /// <summary>Appended: it goes on by itself from here, under this leader or the next.</summary>
    Accepted = 0,

    /// <summary>The configuration is as wished already.</summary>
    AlreadyDone = 1,

    /// <summary>This replica does not lead.</summary>
    NotLeader = 2,

    /// <summary>This leader has committed nothing yet, or is handing over: ask again shortly.</summary>
    NotReady = 3,

    /// <summary>The change before this one is not done: ask again when it is.</summary>
    ChangeUnderWay = 4,

    /// <summary>Another data directory sits under this node id: remove it first.</summary>
    SeatIsTaken = 5,

    /// <summary>The last voter can't be removed.</summary>
    LastVoter = 6,

    /// <summary>The group has as many members as it may have.</summary>
    TooManyMembers = 7,
}
