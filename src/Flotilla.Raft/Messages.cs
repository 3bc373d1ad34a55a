namespace Flotilla.Raft;

/// <summary>
/// A message between two replicas of one group. A closed union; the envelope (group, sender, sender's incarnation,
/// cluster id) belongs to the transport. <paramref name="Term"/> is the sender's current term, but for a pre-vote,
/// which carries the term that the sender would have.
/// </summary>
public abstract record Message(Term Term);

/// <summary>Asks for a vote (Raft paper, figure 2) or, with <paramref name="PreVote"/>, whether one would be given (dissertation, section 9.6).</summary>
/// <param name="Term">The candidate's term; for a pre-vote its term + 1.</param>
/// <param name="PreVote">Nothing is promised by the answer and nothing need be durable.</param>
/// <param name="LastLogIndex">Index of the candidate's last entry.</param>
/// <param name="LastLogTerm">Term of the candidate's last entry.</param>
/// <param name="Transfer">The leader itself asked for this election (TimeoutNow), so stickiness to it does not apply (dissertation, section 4.2.3).</param>
public sealed record RequestVote(Term Term, bool PreVote, LogIndex LastLogIndex, Term LastLogTerm, bool Transfer) : Message(Term);

/// <summary>Answers <see cref="RequestVote"/>.</summary>
/// <param name="Term">The voter's term; for a granted pre-vote the term asked for.</param>
/// <param name="PreVote">Which question this answers.</param>
/// <param name="Granted">The vote.</param>
/// <param name="Known">The incarnations that the voter has stored: a candidate counts no vote that a grant contradicts.</param>
public sealed record RequestVoteReply(Term Term, bool PreVote, bool Granted, IReadOnlyList<KnownPeer> Known) : Message(Term);

/// <summary>Replicates entries, and is the heartbeat (Raft paper, figure 2).</summary>
/// <param name="Term">The leader's term.</param>
/// <param name="PrevLogIndex">Index of the entry before <paramref name="Entries"/>.</param>
/// <param name="PrevLogTerm">Its term.</param>
/// <param name="Entries">Consecutive entries; empty for a heartbeat.</param>
/// <param name="LeaderCommit">The leader's commit index.</param>
/// <param name="Round">The newest read round that the leader has begun; the answer repeats it, which confirms leadership at that round (dissertation, section 6.4).</param>
/// <param name="Seat">The incarnation that the leader's configuration names for the receiver, if it names one: a replica that may have forgotten something takes part again when it is its own. None in what is passed on.</param>
/// <param name="Leader">Whose words these are if another carries them (<c>Raft.Chain.cs</c>); none if the sender leads.</param>
public sealed record AppendEntries(
    Term Term, LogIndex PrevLogIndex, Term PrevLogTerm, IReadOnlyList<Entry> Entries, LogIndex LeaderCommit, ulong Round, Incarnation Seat = default, NodeId Leader = default) : Message(Term)
{
    /// <summary>To whom the receiver passes on what it appends, and these to each other, in this order.</summary>
    public IReadOnlyList<NodeId> Route { get; init; } = [];
}

/// <summary>Answers <see cref="AppendEntries"/>.</summary>
/// <param name="Term">The follower's term.</param>
/// <param name="Success">The follower's log held the previous entry.</param>
/// <param name="MatchIndex">If it did: everything up to here equals the leader's log <b>and is durable</b> at the follower.</param>
/// <param name="ConflictIndex">If not: where the leader should try next (dissertation, section 5.3: fast backtracking).</param>
/// <param name="ConflictTerm">If not: the term of the follower's entry at the previous index, or 0 when its log is shorter.</param>
/// <param name="RejectedIndex">If not: the previous index that was refused, so that a late refusal is told from a fresh one.</param>
/// <param name="Round">The round of the message answered.</param>
/// <param name="NoRoom">The follower's disk is full: it keeps no new entries, so that none need be sent before an answer says otherwise.</param>
public sealed record AppendEntriesReply(Term Term, bool Success, LogIndex MatchIndex, LogIndex ConflictIndex, Term ConflictTerm, LogIndex RejectedIndex, ulong Round, bool NoRoom = false) : Message(Term);

/// <summary>A piece of a snapshot for a follower that needs entries which the leader no longer has (Raft paper, section 7, figure 13).</summary>
/// <param name="Term">The leader's term.</param>
/// <param name="Snapshot">Which file this is a piece of.</param>
/// <param name="Offset">Where in the file; equal to its length when the leader only asks how far the follower is.</param>
/// <param name="Data">The bytes.</param>
/// <param name="Crc">The CRC32C of the bytes.</param>
/// <param name="Seat">As in <see cref="AppendEntries"/>.</param>
public sealed record InstallSnapshot(Term Term, SnapshotMeta Snapshot, long Offset, ReadOnlyMemory<byte> Data, uint Crc, Incarnation Seat = default) : Message(Term);

/// <summary>Answers <see cref="InstallSnapshot"/>.</summary>
/// <param name="Term">The follower's term.</param>
/// <param name="Id">The file that is spoken of.</param>
/// <param name="NextOffset">What the follower wants next; the file's length once it has all of it.</param>
/// <param name="MatchIndex">Everything up to here equals the leader's log and is durable at the follower: at least the snapshot's index once it is installed, 0 before.</param>
public sealed record InstallSnapshotReply(Term Term, ulong Id, long NextOffset, LogIndex MatchIndex) : Message(Term);

/// <summary>The leader asks its successor to start an election at once (dissertation, section 3.10).</summary>
public sealed record TimeoutNow(Term Term) : Message(Term);

/// <summary>The leader, which has nothing to do, asks its follower to be quiet with it; a heartbeat otherwise (<c>Raft.Quiet.cs</c>).</summary>
/// <param name="Term">The leader's term.</param>
/// <param name="Index">Where its log ends, all of it committed.</param>
/// <param name="Boot">The boot number of the leader's process; its node heartbeats stand in from here on.</param>
/// <param name="Loop">Which of the process's loops sends them.</param>
/// <param name="Question">Numbers the leader's questions in this term; the answer repeats it.</param>
public sealed record GoQuiet(Term Term, LogIndex Index, ulong Boot, uint Loop, ulong Question) : Message(Term);

/// <summary>Answers <see cref="GoQuiet"/>; or, unasked, tells that the sender is awake, which wakes who is quiet.</summary>
/// <param name="Term">The follower's term.</param>
/// <param name="Question">The question that is answered; 0 if none is.</param>
/// <param name="Agrees">The follower is quiet from now on.</param>
public sealed record GoQuietReply(Term Term, ulong Question, bool Agrees) : Message(Term);

/// <summary>A follower asks the leader for a read index (dissertation, section 6.4). <paramref name="Id"/> is the follower's own, echoed.</summary>
public sealed record ReadIndexRequest(Term Term, ulong Id) : Message(Term);

/// <summary>Answers <see cref="ReadIndexRequest"/>. Not <paramref name="Ok"/>: this replica does not lead, ask again.</summary>
public sealed record ReadIndexReply(Term Term, ulong Id, bool Ok, LogIndex Index) : Message(Term);

/// <summary>"You are no member any more", to one who asks for votes or whether others are empty.</summary>
/// <param name="Term">The sender's term.</param>
/// <param name="ConfigurationIndex">The committed entry whose configuration says so.</param>
public sealed record NotMember(Term Term, LogIndex ConfigurationIndex) : Message(Term);

/// <summary>"My incarnation is in the envelope, I have nothing stored: are you empty too?" (DESIGN section 4, "Identity").</summary>
public sealed record EmptyRequest(Term Term) : Message(Term);

/// <summary>Answers <see cref="EmptyRequest"/>.</summary>
/// <param name="Term">The sender's term.</param>
/// <param name="Empty">The sender is empty, or was when it first stored the asker's incarnation.</param>
/// <param name="Begun">The sender has state: it was admitted, and has voted or stored an entry.</param>
/// <param name="Stored">The incarnation stored for the asker. Another than the asker's own: its seat belongs to another data directory.</param>
public sealed record EmptyReply(Term Term, bool Empty, bool Begun, Incarnation Stored) : Message(Term);
