namespace Flotilla.Raft;

/// <summary>
/// Numbers the persist effects of one replica since its start: 1, 2, 3 … The disk acknowledges a number, never an index,
/// so that a late acknowledgement cannot be credited to an entry written over since (hazard 6).
/// </summary>
public readonly record struct PersistSequence(ulong Value) : IComparable<PersistSequence>
{
    /// <inheritdoc/>
    public int CompareTo(PersistSequence other) => Value.CompareTo(other.Value);

    /// <inheritdoc/>
    public override string ToString() => $"#{Value}";
}

/// <summary>
/// What a group wants done in the world. A closed union, printable and comparable; the effects of one step are carried
/// out in their order, save that a <see cref="Send"/> may have to wait for the disk.
/// </summary>
public abstract record Effect
{
    /// <summary>
    /// Make durable, in one piece and after all earlier persists of this group. If <paramref name="Entries"/> is not empty,
    /// every stored entry from the first one's index on is replaced. Report <see cref="Raft.Persisted"/> when done.
    /// With <paramref name="ResetTo"/> the whole stored log is forgotten first, all in the same piece.
    /// </summary>
    /// <param name="Sequence">The number to report.</param>
    /// <param name="HardState">The new hard state, or null if it did not change.</param>
    /// <param name="Identity">The new identity state, or null if it did not change.</param>
    /// <param name="Entries">Consecutive entries to append.</param>
    /// <param name="MustSync">False when only the commit hint moved: written whenever something else is, with no sync of its own. True with <paramref name="ResetTo"/>.</param>
    /// <param name="ResetTo">
    /// Normally null. Otherwise a snapshot was installed: forget every stored entry, also a conflicting suffix behind it (hazard 24);
    /// the log begins behind <see cref="LogBase.Index"/>, whose term is <see cref="LogBase.Term"/>; then append <paramref name="Entries"/>.
    /// The snapshot must be durable before. Never below what the log has released or was reset to.
    /// </param>
    public sealed record Persist(
        PersistSequence Sequence, HardState? HardState, IdentityState? Identity, IReadOnlyList<Entry> Entries, bool MustSync, LogBase? ResetTo = null) : Effect;

    /// <summary>Send a message, not before persist <paramref name="After"/> is durable (0: at once).</summary>
    public sealed record Send(NodeId To, Message Message, PersistSequence After) : Effect;

    /// <summary>Everything up to <paramref name="Index"/> is committed: apply it in order, reading entries by <see cref="Raft.Log"/>.</summary>
    public sealed record Commit(LogIndex Index) : Effect;

    /// <summary>Read <paramref name="Id"/> may be served from a state that has applied <paramref name="Index"/>.</summary>
    public sealed record ReadReady(ulong Id, LogIndex Index) : Effect;

    /// <summary>Read <paramref name="Id"/> got no read index (no leader known, leadership lost, too slow). Nothing was read: it may be tried again.</summary>
    public sealed record ReadFailed(ulong Id) : Effect;

    /// <summary>
    /// The entries from <paramref name="From"/> on are no longer in memory: read some of them back from the disk, up to
    /// <paramref name="Through"/> and about <paramref name="MaxBytes"/>, and hand them to <see cref="Raft.EntriesFetched"/>.
    /// At most one fetch per peer is under way. <paramref name="To"/> names whom it is for (this node itself: to apply).
    /// </summary>
    public sealed record Fetch(NodeId To, LogIndex From, LogIndex Through, int MaxBytes) : Effect;

    /// <summary>A snapshot holds the entries up to <paramref name="Through"/>: the disk may forget them.</summary>
    public sealed record Release(LogIndex Through) : Effect;

    /// <summary>
    /// Read up to <paramref name="MaxBytes"/> of a snapshot's file at <paramref name="Offset"/> for <paramref name="To"/>, and report
    /// <see cref="Raft.SnapshotRead"/>. At most one read per peer is under way.
    /// </summary>
    public sealed record ReadSnapshot(NodeId To, SnapshotMeta Snapshot, long Offset, int MaxBytes) : Effect;

    /// <summary>
    /// Store a piece of a snapshot that the leader sends, and report <see cref="Raft.SnapshotStored"/>. A piece of another snapshot
    /// abandons the one before. After the last piece: verify the whole file, make it durable, load it, and report
    /// <see cref="Raft.SnapshotInstalled"/> instead. At most one store is under way.
    /// </summary>
    public sealed record StoreSnapshot(SnapshotMeta Snapshot, long Offset, ReadOnlyMemory<byte> Data, uint Crc) : Effect;

    /// <summary>Nobody needs this snapshot, or what was received of it, any more: delete it.</summary>
    public sealed record DropSnapshot(SnapshotMeta Snapshot) : Effect;

    /// <summary>Another configuration is in force, committed or not: know its members' addresses.</summary>
    public sealed record ConfigurationChanged(Membership.Configuration Configuration) : Effect;

    /// <summary>Role, term or known leader changed. <paramref name="Leader"/> is none while unknown.</summary>
    public sealed record RoleChanged(Role Role, Term Term, NodeId Leader) : Effect;
}

/// <summary>The part that a replica plays (Raft paper, section 5.1).</summary>
public enum Role
{
    /// <summary>Follows a leader, or waits for one.</summary>
    Follower = 0,

    /// <summary>Asks whether it would be elected (PreVote).</summary>
    PreCandidate = 1,

    /// <summary>Asks for votes.</summary>
    Candidate = 2,

    /// <summary>Leads.</summary>
    Leader = 3,

    /// <summary>Receives the log without a vote. How a follower without a vote is shown; <see cref="Raft.Role"/> calls it a follower.</summary>
    Learner = 4,
}
