using Flotilla.Data;
using Flotilla.Topology;

namespace Flotilla.Shards;

/// <summary>What a command does. Explicit and append-only: the values are on disk and on the wire.</summary>
public enum CommandKind : byte
{
    /// <summary>Writes the value, whatever is there.</summary>
    Put = 1,

    /// <summary>Removes the record.</summary>
    Delete = 2,

    /// <summary>Writes the value if the record's version is <see cref="Command.Expected"/>.</summary>
    CompareAndSwap = 3,

    /// <summary>Writes the value if there is no record.</summary>
    PutIfAbsent = 4,

    /// <summary>Adds <see cref="Command.Delta"/> to a decimal integer (absent counts as 0) and keeps the record's expiry.</summary>
    Increment = 5,

    /// <summary>Removes the record if its version is <see cref="Command.Expected"/>.</summary>
    CompareAndDelete = 6,

    /// <summary>Opens a session (<see cref="Once.Opening"/>). Names no key; the result's version holds the <see cref="SessionId"/>.</summary>
    OpenSession = 7,

    /// <summary>Forgets a session and its results (<see cref="Once.Closing"/>). Names no key.</summary>
    CloseSession = 8,

    /// <summary>Adds recorded idempotency keys to those of the key's slot, and leaves the record alone: a restore brings them (<see cref="ExactlyOnce.RestoredKeys"/>).</summary>
    LearnKeys = 9,
}

/// <summary>One write to one key, or the opening or closing of a session. Hot, so one tagged struct; fields that the kind does not name are default.</summary>
/// <param name="Kind">What to do.</param>
/// <param name="Key">The key, 1 byte to 4 KiB by default.</param>
/// <param name="Value">The new value, up to 1 MiB by default.</param>
/// <param name="Expected">The version that must be there (compare-and-…).</param>
/// <param name="TtlMs">Milliseconds of log time after which the record is gone; 0 for never.</param>
/// <param name="Delta">What to add (<see cref="CommandKind.Increment"/>).</param>
/// <param name="Once">How the command takes effect once, however often it is proposed; null for a plain one.</param>
public readonly record struct Command(CommandKind Kind, ReadOnlyMemory<byte> Key, ReadOnlyMemory<byte> Value, Data.Version Expected, long TtlMs, long Delta, Once? Once = null)
{
    /// <summary>A write to a key; false for the opening and the closing of a session.</summary>
    public bool NamesKey => Kind is not (CommandKind.OpenSession or CommandKind.CloseSession);

    /// <summary>Writes a value.</summary>
    public static Command Put(ReadOnlyMemory<byte> key, ReadOnlyMemory<byte> value, long ttlMs = 0) => new(CommandKind.Put, key, value, default, ttlMs, 0);

    /// <summary>Removes a record.</summary>
    public static Command Delete(ReadOnlyMemory<byte> key) => new(CommandKind.Delete, key, default, default, 0, 0);

    /// <summary>Writes a value over exactly one version.</summary>
    public static Command CompareAndSwap(ReadOnlyMemory<byte> key, Data.Version expected, ReadOnlyMemory<byte> value, long ttlMs = 0) => new(CommandKind.CompareAndSwap, key, value, expected, ttlMs, 0);

    /// <summary>Writes a value where there is none.</summary>
    public static Command PutIfAbsent(ReadOnlyMemory<byte> key, ReadOnlyMemory<byte> value, long ttlMs = 0) => new(CommandKind.PutIfAbsent, key, value, default, ttlMs, 0);

    /// <summary>Adds to a counter.</summary>
    public static Command Increment(ReadOnlyMemory<byte> key, long delta) => new(CommandKind.Increment, key, default, default, 0, delta);

    /// <summary>Removes exactly one version.</summary>
    public static Command CompareAndDelete(ReadOnlyMemory<byte> key, Data.Version expected) => new(CommandKind.CompareAndDelete, key, default, expected, 0, 0);

    /// <summary>Adds recorded idempotency keys.</summary>
    /// <param name="key">Any key of their slot.</param>
    /// <param name="keys">1 to <see cref="ExactlyOnce.RestoredKeys.MaxPerCommand"/> of them, as <see cref="ExactlyOnce.RestoredKey.Encoded"/>.</param>
    public static Command LearnKeys(ReadOnlyMemory<byte> key, ReadOnlyMemory<byte> keys) => new(CommandKind.LearnKeys, key, keys, default, 0, 0);

    /// <summary>Opens a session, under the terms of the replica that proposes it.</summary>
    public static Command OpenSession() => new(CommandKind.OpenSession, default, default, default, 0, 0, new Once.Opening());

    /// <summary>Closes a session.</summary>
    public static Command CloseSession(SessionId session) => new(CommandKind.CloseSession, default, default, default, 0, 0, new Once.Closing(session));
}

/// <summary>How a command or a read ended. Append-only: on the wire. Every code but <see cref="Indeterminate"/> is definite, as far as the attempt that it answers goes.</summary>
public enum ResultCode : byte
{
    /// <summary>Done: applied, or read.</summary>
    Ok = 0,

    /// <summary>No such record (a read, or a delete that found nothing).</summary>
    NotFound = 1,

    /// <summary>A condition did not hold; <see cref="CommandResult.Version"/> is what is there (none if nothing is). Nothing was written.</summary>
    VersionMismatch = 2,

    /// <summary>Not valid for what is there, for example an increment of text. Nothing was written.</summary>
    BadRequest = 3,

    /// <summary>This replica does not lead the shard; nothing was written.</summary>
    NotLeader = 4,

    /// <summary>This shard does not own the key's slot; nothing was written. Where it went, if it was here: <see cref="Handoff.MovedHint"/>.</summary>
    NotOwner = 5,

    /// <summary>Too much is waiting; nothing was written. Try again later.</summary>
    Overloaded = 6,

    /// <summary>No leader was found in time; nothing was written.</summary>
    NoQuorum = 7,

    /// <summary>The write may be in a log: it may or may not have happened, or may still happen.</summary>
    Indeterminate = 8,

    /// <summary>The slot is frozen: its owner is being decided, for milliseconds as a rule. Nothing was written or read; wait and ask again.</summary>
    SlotMoving = 9,

    /// <summary>A key or value over the limit; nothing was written.</summary>
    TooLarge = 10,

    /// <summary>
    /// The session, or the sequence in it, is not kept (any more): <em>this</em> attempt was not executed, but an earlier one
    /// may have been. So it is definite for a first attempt only; for a retry it means <see cref="Indeterminate"/>.
    /// </summary>
    SessionExpired = 11,

    /// <summary>The idempotency key is kept for another command; nothing was written. Not kept itself.</summary>
    KeyReused = 12,

    /// <summary>
    /// The log time has reached the end that the idempotency key came with, or that end lies further ahead than a key lives: this
    /// attempt was not executed, but an earlier one may have been, as for <see cref="SessionExpired"/>. The log time is the
    /// counter of <see cref="CommandResult.Version"/>.
    /// </summary>
    KeyExpired = 13,

    /// <summary>
    /// A replica that must hold every write does not answer (<see cref="ReplicaOptions.SyncSilenceMs"/>); nothing was written. Its
    /// node's id is <see cref="CommandResult.Value"/>.
    /// </summary>
    ReplicaUnavailable = 14,

    /// <summary>A command's keys are not all of one shard; nothing was read or written. A gateway's word: no replica says it.</summary>
    CrossShard = 15,
}

/// <summary>The answer to one <see cref="Command"/> or one get.</summary>
/// <param name="Code">How it ended.</param>
/// <param name="Version">The record's version after a write that took effect; what is there for a mismatch; the record's version for a get.</param>
/// <param name="Value">The value for a get; the new number in decimal for an increment; else empty.</param>
public readonly record struct CommandResult(ResultCode Code, Data.Version Version, ReadOnlyMemory<byte> Value)
{
    /// <summary>A result that is only a code.</summary>
    public static CommandResult Of(ResultCode code) => new(code, default, default);
}

/// <summary>Bounds on one page of an ordered scan of one shard, or the keys that are to be read together.</summary>
/// <param name="From">The first key wanted (inclusive); empty for the beginning.</param>
/// <param name="Prefix">Only keys that begin so; empty for all.</param>
/// <param name="Limit">At most so many records, 1 to 10,000.</param>
/// <param name="MaxBytes">Stop after about so many bytes of keys and values (at least one record is returned).</param>
public readonly record struct ScanRequest(ReadOnlyMemory<byte> From, ReadOnlyMemory<byte> Prefix, int Limit, int MaxBytes)
{
    /// <summary>The most <see cref="Keys"/>.</summary>
    public const int MaxKeys = 1000;

    /// <summary>These keys alone, each once and in key order, all read from one state; 1 to <see cref="MaxKeys"/>. Then From and Prefix mean nothing, and what is not there is left out. Null for a scan.</summary>
    public IReadOnlyList<ReadOnlyMemory<byte>>? Keys { get; init; }
}

/// <summary>One page of a scan.</summary>
/// <param name="Code">How it ended.</param>
/// <param name="Records">The records, in key order; their memory is the receiver's.</param>
/// <param name="More">There may be more records after the last one.</param>
public sealed record ScanPage(ResultCode Code, IReadOnlyList<Record> Records, bool More)
{
    /// <summary>
    /// The slots that the page speaks of: those that the shard owned in the state that it was read from. Pages of several shards
    /// together are complete only if every slot is in one of them: between two of them a slot may have moved.
    /// </summary>
    public SlotSet Slots { get; init; } = SlotSet.Empty;
}
