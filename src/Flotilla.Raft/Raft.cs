namespace Flotilla.Raft;

/// <summary>
/// One replica of one group as a deterministic state machine: every input is a method that takes the time, every output
/// an <see cref="Effect"/>. Not thread-safe: one loop owns it.
/// </summary>
public sealed class Raft
{
    /// <summary>A replica that starts from what its disk holds.</summary>
    /// <param name="self">This node.</param>
    /// <param name="incarnation">This node's data directory.</param>
    /// <param name="voters">All voters, this node among them; any order.</param>
    /// <param name="options">Times and limits.</param>
    /// <param name="recovered">What the disk holds.</param>
    /// <param name="seed">Seeds the election timeouts.</param>
    /// <param name="now">The time.</param>
    public Raft(NodeId self, Incarnation incarnation, IReadOnlyList<NodeId> voters, RaftOptions options, RaftRecovery recovered, ulong seed, Instant now) => throw new NotSupportedException();

    /// <summary>The part that this replica plays.</summary>
    public Role Role { get; }

    /// <summary>The current term.</summary>
    public Term Term { get; }

    /// <summary>The leader of the current term, or none while unknown.</summary>
    public NodeId Leader { get; }

    /// <summary>The commit index.</summary>
    public LogIndex CommitIndex { get; }

    /// <summary>The log: last index, terms, and the entries in memory.</summary>
    public RaftLog Log { get; } = null!;

    /// <summary>When <see cref="Tick"/> has something to do, if nothing else happens.</summary>
    public Instant NextDeadline { get; }

    /// <summary>This replica may vote and acknowledge (DESIGN section 4, "Identity").</summary>
    public bool Admitted { get; }

    /// <summary>The leader has committed its no-op and is not handing over: it accepts proposals.</summary>
    public bool AcceptsProposals { get; }

    /// <summary>Time has passed. May be called at any time.</summary>
    public void Tick(Instant now) => throw new NotSupportedException();

    /// <summary>A message has arrived. <paramref name="incarnation"/> is the sender's. Anything that makes no sense is dropped.</summary>
    public void Receive(NodeId from, Incarnation incarnation, Message message, Instant now) => throw new NotSupportedException();

    /// <summary>Appends an entry if this replica leads. On <see cref="ProposeOutcome.Accepted"/> the entry may commit; otherwise it is certain that it was not appended.</summary>
    public ProposeOutcome Propose(EntryKind kind, ReadOnlyMemory<byte> payload, Instant now, out LogIndex index) => throw new NotSupportedException();

    /// <summary>Asks for a linearizable read index; ends in <see cref="Effect.ReadReady"/> or <see cref="Effect.ReadFailed"/>. One id may stand for many reads that wait.</summary>
    public void RequestRead(ulong id, Instant now) => throw new NotSupportedException();

    /// <summary>Every persist up to <paramref name="sequence"/> is durable.</summary>
    public void Persisted(PersistSequence sequence, Instant now) => throw new NotSupportedException();

    /// <summary>The process of <paramref name="peer"/> is gone: its connection closed and a reconnect was refused (the dead-leader hint).</summary>
    public void PeerGone(NodeId peer, Instant now) => throw new NotSupportedException();

    /// <summary>Hands leadership to <paramref name="target"/>. False if this replica does not lead or the target is no other voter.</summary>
    public bool TransferLeadership(NodeId target, Instant now) => throw new NotSupportedException();

    /// <summary>Entries asked for by <see cref="Effect.Fetch"/> have been read; consecutive from its <c>From</c>, possibly fewer than asked.</summary>
    public void EntriesFetched(NodeId to, IReadOnlyList<Entry> entries, Instant now) => throw new NotSupportedException();

    /// <summary>The state machine has applied everything up to here: older entries may leave memory.</summary>
    public void Applied(LogIndex index) => throw new NotSupportedException();

    /// <summary>The effects since the last call, in order. Empty if nothing is to be done.</summary>
    public IReadOnlyList<Effect> TakeEffects() => throw new NotSupportedException();
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
}
