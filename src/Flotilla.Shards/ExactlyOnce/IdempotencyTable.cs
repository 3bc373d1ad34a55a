using System.Buffers.Binary;
using Flotilla.Data;
using Flotilla.Topology;
using Version = Flotilla.Data.Version;

namespace Flotilla.Shards.ExactlyOnce;

/// <summary>
/// The idempotency keys of a shard, each with the digest of its command and the recorded result, until its life in log
/// time is over. A part of the state machine. A tree like that of the records: compact, with snapshots in O(1).
/// </summary>
/// <remarks>
/// <para>A key is looked up together with the slot of the command's own key. So it means the same before and after its slot
/// has moved to another shard, and keys of two shards never meet in one.</para>
/// <para>Why a full table does not stay full: as for sessions, the entry that asks for room moves the log time first.</para>
/// <code>
/// key     = slot:u16 big-endian  idempotency key (1 to 255 bytes)
/// value   = digest:16 bytes little-endian  code:u8  value of the answer
/// version = the answer's version; expiry = when the key's life is over
/// </code>
/// </remarks>
internal sealed class IdempotencyTable
{
    /// <summary>One entry removes at most so many keys whose life is over; the others count as gone anyhow.</summary>
    public const int MaxExpiredPerEntry = 1024;

    /// <summary>What a key counts for beside its bytes, about what it takes. The same for ever and on all nodes: refusals depend on it.</summary>
    public const int OverheadBytes = 160;

    private const int SlotBytes = sizeof(ushort);
    private const int DigestBytes = 16;
    private const int ValueBytes = DigestBytes + 1;
    private const int MaxKeyBytes = SlotBytes + Once.ByKey.MaxKeyBytes;

    private readonly BTree _kept;
    private readonly ExpiryIndex _due;

    /// <summary>A table with these keys, which fall due then; none of both at first.</summary>
    public IdempotencyTable(BTree kept, ExpiryIndex due)
    {
        _kept = kept;
        _due = due;
    }

    /// <summary>How many keys are kept.</summary>
    public long Count => _kept.Count;

    /// <summary>The log time at which the next key's life is over, or <see cref="long.MaxValue"/>.</summary>
    public long NextDueMs => _due.NextMs;

    /// <summary>True if the write under this key is to be executed and then recorded by <see cref="Record"/>; false with the recorded result or a refusal.</summary>
    public bool Admits(Once.ByKey once, in Command command, Slot slot, long logTimeMs, out UInt128 digest, out CommandResult answer)
    {
        digest = Digest128.Of(in command);
        Span<byte> key = stackalloc byte[MaxKeyBytes];
        if (_kept.TryGet(KeyOf(once, slot, key), out var there) && !StateMachine.IsExpired(there.ExpiresAtMs, logTimeMs))
        {
            answer = BinaryPrimitives.ReadUInt128LittleEndian(there.Value.Span) == digest ? AnswerOf(in there) : CommandResult.Of(ResultCode.KeyReused);
            return false;
        }

        var isFull = Cost(_kept.Count, _kept.Bytes) + Cost(1, SlotBytes + once.Key.Length + ValueBytes) > once.Terms.MaxBytes;
        answer = isFull ? CommandResult.Of(ResultCode.Overloaded) : default;
        return !isFull;
    }

    /// <summary>Records the result of a write that was just admitted and executed.</summary>
    public void Record(Once.ByKey once, UInt128 digest, Slot slot, in CommandResult result, long logTimeMs)
    {
        if (!RecordedResult.MayBeKept(result.Code, result.Value.Length))
        {
            throw new InvalidOperationException($"An outcome {result.Code} with {result.Value.Length} bytes is not one of execution.");
        }

        Span<byte> value = stackalloc byte[ValueBytes + RecordedResult.MaxValueBytes];
        BinaryPrimitives.WriteUInt128LittleEndian(value, digest);
        value[DigestBytes] = (byte)result.Code;
        result.Value.Span.CopyTo(value[ValueBytes..]);

        Span<byte> buffer = stackalloc byte[MaxKeyBytes];
        var key = KeyOf(once, slot, buffer);
        var expiresAtMs = once.Terms.LifeMs > long.MaxValue - logTimeMs ? long.MaxValue : logTimeMs + once.Terms.LifeMs;
        var oldExpiry = _kept.TryGet(key, out var old) ? old.ExpiresAtMs : 0; // One that is over and not removed yet.
        _due.Change(key, oldExpiry, expiresAtMs);
        _kept.Put(key, value[..(ValueBytes + result.Value.Length)], result.Version, expiresAtMs);
    }

    /// <summary>Removes keys whose life is over, the first to end first.</summary>
    public void RemoveExpired(long logTimeMs)
    {
        for (var n = 0; n < MaxExpiredPerEntry && _due.TryTake(logTimeMs, out var key); n++)
        {
            _kept.Remove(key.Span);
        }
    }

    /// <summary>Whether a key can be kept so.</summary>
    public static bool IsValid(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, long expiresAtMs) =>
        key.Length is > SlotBytes and <= MaxKeyBytes
        && BinaryPrimitives.ReadUInt16BigEndian(key) < Slot.Count
        && value.Length >= ValueBytes
        && RecordedResult.MayBeKept((ResultCode)value[DigestBytes], value.Length - ValueBytes)
        && expiresAtMs > 0;

    /// <summary>The keys as they are now, in O(1).</summary>
    public IRecordView Snapshot() => _kept.Snapshot();

    /// <summary>Adds all that is known to a hash.</summary>
    public void Visit<TVisitor>(ref TVisitor visitor)
        where TVisitor : struct, IRecordVisitor => _kept.Visit([], ref visitor);

    private static long Cost(long count, long bytes) => (count * OverheadBytes) + bytes;

    private static Span<byte> KeyOf(Once.ByKey once, Slot slot, Span<byte> buffer)
    {
        BinaryPrimitives.WriteUInt16BigEndian(buffer, slot.Value);
        once.Key.Span.CopyTo(buffer[SlotBytes..]);
        return buffer[..(SlotBytes + once.Key.Length)];
    }

    private static CommandResult AnswerOf(in Record there)
    {
        var value = there.Value[ValueBytes..];
        return new CommandResult((ResultCode)there.Value.Span[DigestBytes], there.Version, value.IsEmpty ? default : value.ToArray());
    }
}
