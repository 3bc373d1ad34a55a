namespace Flotilla.Raft;

/// <summary>What a log entry is for. Explicit and append-only: the values are on disk and on the wire.</summary>
public enum EntryKind : byte
{
    /// <summary>The entry that a leader appends at the start of its term (Raft paper, section 8).</summary>
    NoOp = 0,

    /// <summary>A batch of commands for the state machine; Raft never looks inside.</summary>
    Command = 1,

    /// <summary>A configuration (joint consensus), encoded by <see cref="Membership.ConfigurationCodec"/>.</summary>
    Configuration = 2,
}

/// <summary>One entry of a group's log. <paramref name="Payload"/> must never change once the entry is made.</summary>
public readonly record struct Entry(LogIndex Index, Term Term, EntryKind Kind, ReadOnlyMemory<byte> Payload)
{
    /// <summary>What this entry counts against the limits on memory and on messages, in bytes: its payload and a fixed overhead.</summary>
    public int Cost => Payload.Length + 48;

    /// <inheritdoc/>
    public override string ToString() => $"{Index}/{Term}{(Kind == EntryKind.NoOp ? " no-op" : "")}";
}

/// <summary>
/// What a replica must never forget (Raft paper, figure 2): its term and its vote. <paramref name="Commit"/> is no more
/// than a hint that saves time at a restart: it may lag, and never runs ahead of a committed entry.
/// </summary>
public readonly record struct HardState(Term Term, NodeId VotedFor, LogIndex Commit)
{
    /// <inheritdoc/>
    public override string ToString() => $"{Term} vote={VotedFor} commit={Commit}";
}

/// <summary>The incarnation that a replica has stored for one peer.</summary>
/// <param name="Peer">The peer.</param>
/// <param name="Incarnation">The only data directory whose votes and acknowledgements count for it.</param>
/// <param name="ToldEmpty">This replica told that incarnation "I am empty", and must answer it so ever after.</param>
public readonly record struct KnownPeer(NodeId Peer, Incarnation Incarnation, bool ToldEmpty);

/// <summary>A replica's durable part in the identity protocol (DESIGN section 4, "Identity"); small, and written whole.</summary>
/// <param name="Admitted">This replica may vote and acknowledge.</param>
/// <param name="Known">What is stored of the others, ordered by peer.</param>
public sealed record IdentityState(bool Admitted, IReadOnlyList<KnownPeer> Known)
{
    /// <summary>The state of an empty data directory.</summary>
    public static IdentityState Empty { get; } = new(false, []);
}
