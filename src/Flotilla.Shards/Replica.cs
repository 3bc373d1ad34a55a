using Flotilla.Data;
using Flotilla.Raft;
using Flotilla.Topology;

namespace Flotilla.Shards;

/// <summary>Both clocks of a node at one step: monotonic for timeouts, wall for the stamps of log entries.</summary>
/// <param name="Now">The monotonic clock.</param>
/// <param name="WallMs">Milliseconds since the Unix epoch.</param>
public readonly record struct ClockReading(Instant Now, long WallMs);

/// <summary>A request that the shell made and wants answered. The shell draws the numbers; unique per replica.</summary>
public readonly record struct RequestId(ulong Value);

/// <summary>
/// One replica of one shard as a deterministic state machine: Raft, the state machine, and who waits for what.
/// Commands are gathered by <see cref="Execute"/> and go into the log, many to an entry, at <see cref="Flush"/>.
/// Not thread-safe: one shard loop owns it.
/// </summary>
public sealed class Replica
{
    /// <summary>A replica that starts from what its disk holds; entries up to the commit hint are applied through <see cref="Effect.Fetch"/>.</summary>
    public Replica(ShardGenesis genesis, NodeId self, Incarnation incarnation, ReplicaOptions options, RaftRecovery recovered, ulong seed, ClockReading clock) => throw new NotSupportedException();

    /// <summary>The consensus group, to read its state.</summary>
    public Raft.Raft Raft { get; } = null!;

    /// <summary>The last entry that the state machine has applied.</summary>
    public LogIndex LastApplied { get; }

    /// <summary>The records, to count them and for stale reads.</summary>
    public IRecordView Records { get; } = null!;

    /// <summary>When <see cref="Tick"/> has something to do, if nothing else happens.</summary>
    public Instant NextDeadline { get; }

    /// <summary>Time has passed.</summary>
    public void Tick(ClockReading clock) => throw new NotSupportedException();

    /// <summary>A message of this group has arrived.</summary>
    public void Receive(NodeId from, Incarnation incarnation, Message message, ClockReading clock) => throw new NotSupportedException();

    /// <summary>Every persist up to <paramref name="sequence"/> is durable.</summary>
    public void Persisted(PersistSequence sequence, ClockReading clock) => throw new NotSupportedException();

    /// <summary>Entries asked for by <see cref="Effect.Fetch"/> have been read.</summary>
    public void EntriesFetched(NodeId to, IReadOnlyList<Entry> entries, ClockReading clock) => throw new NotSupportedException();

    /// <summary>The dead-leader hint.</summary>
    public void PeerGone(NodeId peer, ClockReading clock) => throw new NotSupportedException();

    /// <summary>Hands leadership over.</summary>
    public bool TransferLeadership(NodeId target, ClockReading clock) => throw new NotSupportedException();

    /// <summary>A write. Answered by exactly one <see cref="ReplicaOutput.Replies"/>, at the latest at <paramref name="deadline"/>.</summary>
    public void Execute(RequestId id, in Command command, Instant deadline, ClockReading clock) => throw new NotSupportedException();

    /// <summary>A get; linearizable, or <paramref name="stale"/> from what is applied here. Answered likewise.</summary>
    public void Get(RequestId id, ReadOnlyMemory<byte> key, bool stale, Instant deadline, ClockReading clock) => throw new NotSupportedException();

    /// <summary>A page of a scan, likewise.</summary>
    public void Scan(RequestId id, in ScanRequest request, bool stale, Instant deadline, ClockReading clock) => throw new NotSupportedException();

    /// <summary>Proposes what was gathered, applies what is committed, serves the reads that became ready, and returns everything to be done. Call it once after each batch of inputs. The lists are reused: they are valid until the next call.</summary>
    public ReplicaOutput Flush(ClockReading clock) => throw new NotSupportedException();
}

/// <summary>What one batch of inputs led to.</summary>
public sealed class ReplicaOutput
{
    /// <summary>Persist, Send, Fetch and RoleChanged effects, in order (Commit and reads are dealt with inside).</summary>
    public List<Effect> Effects { get; } = [];

    /// <summary>Answers to commands and gets. Values are copies: they belong to the receiver.</summary>
    public List<(RequestId Id, CommandResult Result)> Replies { get; } = [];

    /// <summary>Answers to scans.</summary>
    public List<(RequestId Id, ScanPage Page)> Pages { get; } = [];
}

/// <summary>Limits of one replica.</summary>
public sealed record ReplicaOptions
{
    /// <summary>Raft's times and limits.</summary>
    public RaftOptions Raft { get; init; } = new();

    /// <summary>Longest key in bytes. Default 4 KiB.</summary>
    public int MaxKeyBytes { get; init; } = 4 << 10;

    /// <summary>Longest value in bytes. Default 1 MiB.</summary>
    public int MaxValueBytes { get; init; } = 1 << 20;

    /// <summary>Payload bytes in one entry over which the next command starts another. Default 256 KiB.</summary>
    public int MaxEntryBytes { get; init; } = 256 << 10;

    /// <summary>Commands and reads that may wait in one replica before new ones are answered <see cref="ResultCode.Overloaded"/>. Default 16,384.</summary>
    public int MaxWaiting { get; init; } = 16_384;
}

/// <summary>One shard as genesis made it.</summary>
/// <param name="Shard">Its number.</param>
/// <param name="Group">Its Raft group.</param>
/// <param name="Voters">Its first voters; the first one is meant to lead first.</param>
/// <param name="Slots">The slots that it owns at first, under slot epoch 1; in order.</param>
public sealed record ShardGenesis(ShardId Shard, GroupId Group, IReadOnlyList<NodeId> Voters, IReadOnlyList<Slot> Slots);
