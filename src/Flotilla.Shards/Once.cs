using Flotilla.Raft;

namespace Flotilla.Shards;

/// <summary>
/// What makes sure that a command takes effect once however often it is proposed, and the commands that open and close a
/// session. A closed union beside <see cref="Command"/>, so that a plain command pays for one null reference.
/// </summary>
public abstract record Once
{
    private Once()
    {
    }

    /// <summary>A write that belongs to a session (RIFL: Lee et al., SOSP 2015).</summary>
    /// <param name="Session">Opened by a <see cref="CommandKind.OpenSession"/> of this shard, or of <paramref name="Origin"/>.</param>
    /// <param name="Sequence">Names the write within the session, for all its attempts alike. Any order, gaps allowed; not below <paramref name="Mark"/>.</param>
    /// <param name="Mark">The client has the answers to all sequences below this one and will never ask for them again.</param>
    /// <param name="IsRetry">An earlier attempt may have been executed: whatever refuses this one refuses only this one.</param>
    /// <param name="Origin">The group that opened the session; none for the shard that the write is sent to. Another one when the key's slot has moved since.</param>
    public sealed record InSession(SessionId Session, ulong Sequence, ulong Mark, bool IsRetry = false, GroupId Origin = default) : Once;

    /// <summary>A write under a key that its client chose: the same key and the same command are executed once within the key's life.</summary>
    /// <param name="Key">1 to <see cref="MaxKeyBytes"/> bytes. The memory is read at the same times as the command's key.</param>
    /// <param name="Terms">How long the key is kept and how many are; set by the replica that proposes. Before that only a life above 0 counts: keep it for no longer.</param>
    /// <param name="UntilMs">
    /// The log time, in milliseconds since the Unix epoch, up to which the write may be executed, and its record is kept: an
    /// attempt that comes later is refused, so that no attempt ever executes it anew. It must lie within the key's life. 0: none;
    /// then an attempt after the life of the record executes the write anew.
    /// </param>
    public sealed record ByKey(ReadOnlyMemory<byte> Key, KeyTerms Terms = default, long UntilMs = 0) : Once
    {
        /// <summary>The longest key, in bytes.</summary>
        public const int MaxKeyBytes = 255;
    }

    /// <summary>Goes with <see cref="CommandKind.OpenSession"/>.</summary>
    /// <param name="Terms">What the session is opened under; set by the replica that proposes.</param>
    public sealed record Opening(SessionTerms Terms = default) : Once;

    /// <summary>Goes with <see cref="CommandKind.CloseSession"/>.</summary>
    /// <param name="Session">The session to close.</param>
    public sealed record Closing(SessionId Session) : Once;
}

/// <summary>A session, for ever and within its shard's group: the place in the log of the command that opened it. Ordered by age.</summary>
/// <param name="Index">The entry's index.</param>
/// <param name="Place">The command's place in the entry, from 0.</param>
public readonly record struct SessionId(LogIndex Index, uint Place) : IComparable<SessionId>
{
    /// <summary>The session that an <see cref="CommandKind.OpenSession"/> with this result opened. The result must be <see cref="ResultCode.Ok"/>.</summary>
    public static SessionId Of(in CommandResult opened) =>
        opened.Code == ResultCode.Ok ? new SessionId(new LogIndex(opened.Version.Counter), checked((uint)opened.Version.Sub)) : throw new ArgumentException($"No session was opened: {opened.Code}.", nameof(opened));

    /// <inheritdoc/>
    public int CompareTo(SessionId other)
    {
        var c = Index.CompareTo(other.Index);
        return c != 0 ? c : Place.CompareTo(other.Place);
    }

    /// <inheritdoc/>
    public override string ToString() => $"s{Index}.{Place}";
}

/// <summary>
/// The terms of a session. They travel in the entry that opens it, out of the options of the leader that proposed it, and
/// hold for that session as long as it lives: options differ between nodes and change over restarts, and a rule that
/// replicas apply differently would let them diverge.
/// </summary>
/// <param name="IdleMs">The session expires when the log time is this far past that of its last command. Milliseconds, 1 or more.</param>
/// <param name="Window">A sequence this far above the session's mark, or further, is refused: so many results are kept at most. 1 to <see cref="MaxWindow"/>.</param>
/// <param name="MaxSessions">The session is not opened if the shard has so many. 1 or more.</param>
/// <param name="MaxResults">A write of the session is refused while the shard keeps so many results of all sessions, some 50 bytes each. 1 or more.</param>
public readonly record struct SessionTerms(long IdleMs, int Window, int MaxSessions, int MaxResults)
{
    /// <summary>The largest window.</summary>
    public const int MaxWindow = 1 << 20;

    /// <summary>An hour, 4096 results, 10,000 sessions, and a million results (50 MB) per shard.</summary>
    public static SessionTerms Default { get; } = new(3_600_000, 4096, 10_000, 1_000_000);

    /// <summary>Whether all four are in their ranges.</summary>
    public bool IsValid => IdleMs > 0 && Window is > 0 and <= MaxWindow && MaxSessions > 0 && MaxResults > 0;
}

/// <summary>The terms of an idempotency key, which travel with it for the same reason as <see cref="SessionTerms"/>.</summary>
/// <param name="LifeMs">The key is kept until the log time is this far past that of its write. Milliseconds, 1 or more.</param>
/// <param name="MaxBytes">A write under a new key is refused if the shard would then keep more bytes of keys, overhead included. 1 or more.</param>
public readonly record struct KeyTerms(long LifeMs, long MaxBytes)
{
    /// <summary>An hour and 64 MiB per shard: a million keys, or 290 new ones a second.</summary>
    public static KeyTerms Default { get; } = new(3_600_000, 64 << 20);

    /// <summary>Whether both are in their ranges.</summary>
    public bool IsValid => LifeMs > 0 && MaxBytes > 0;
}
