using System.Buffers.Binary;
using Flotilla.Raft;
using Flotilla.Shards.ExactlyOnce;

namespace Flotilla.Shards;

/// <summary>
/// The payload of a command entry: a stamp and a batch of commands. On disk and on the wire, so versioned and
/// append-only.
/// </summary>
/// <remarks>
/// <code>
/// payload  = format:u8 (1 to 5)  stamp:i64 little-endian, milliseconds since the Unix epoch, not negative
///            count:varint   count × command
/// command  = kind:u8 (CommandKind)   [once]   [key:bytes (not empty)]   then by kind
///   Put, PutIfAbsent     ttl:varint (ms, below 2^63; 0 = never)   value:bytes
///   Delete               -
///   CompareAndSwap       version   ttl:varint   value:bytes
///   Increment            delta:zigzag varint
///   CompareAndDelete     version
/// version  = slotEpoch:varint (below 2^32)  modeEpoch:varint (below 2^32)  counter:varint  sub:varint
/// bytes    = length:varint  length × u8
/// varint   = unsigned LEB128 of at most 64 bits, in its shortest form
///
/// Format 2 adds:
/// kind     : 0x80 set: in a session; 0x40: by key (not both); 0x20: a retry (in a session only)
/// once     = 0x80: session  mark:varint  ahead:varint (sequence − mark)
///          | 0x40: idempotencyKey:bytes (1 to 255)  life:varint (ms)  maxBytes:varint
///   OpenSession          no key   idle:varint (ms)  window:varint  maxSessions:varint  maxResults:varint   all 1 or more
///   CloseSession         no key   session
/// session  = index:varint  place:varint (below 2^32)
///
/// Format 3 adds: 0x80 and 0x40 set together: in a session of another group; once then begins with that group:varint (1 or more)
///
/// Format 4 adds: 0x40 and 0x20 set together: by key, with until:varint (ms, 1 to 2^63 - 1) at the end of once
///
/// Format 5 adds:
///   LearnKeys            keys:bytes (items of a handoff's chunk, each an idempotency key of the key's slot)
/// </code>
/// Nothing follows the last command. A count of 0 is a time entry: it only moves the log time. Plain commands look the
/// same in both formats. One batch has exactly one encoding in each. The decoder accepts nothing else: what doesn't fit was
/// written by a broken or a newer program, and applying a guess would let replicas diverge.
/// </remarks>
public static class CommandCodec
{
    /// <summary>The format that <see cref="Encode"/> writes. <see cref="Decode"/> reads all from 1 on, since logs on disk hold them.</summary>
    public const byte Format = 5;

    /// <summary>No header is longer than this, in bytes: format, stamp and the largest count.</summary>
    public const int MaxHeaderBytes = 1 + sizeof(long) + 5;

    private const int MinCommandBytes = 3; // A delete of a key of one byte; the closing of session 1.0.

    private const byte InSession = 0x80;
    private const byte ByKey = 0x40;
    private const byte Retry = 0x20;
    private const byte Until = 0x20; // with ByKey alone
    private const byte KindBits = 0x1F;

    /// <summary>Encodes a batch into a buffer of its own, which must never change: it becomes an entry's payload.</summary>
    /// <param name="stampMs">The entry's stamp, not negative.</param>
    /// <param name="commands">The batch; empty for a time entry. Keys aren't empty and times to live not negative.</param>
    public static byte[] Encode(long stampMs, ReadOnlySpan<Command> commands)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(stampMs);
        var size = 1 + sizeof(long) + Encoded.VarintSize((uint)commands.Length);
        foreach (ref readonly var command in commands)
        {
            size = checked(size + SizeOf(in command));
        }

        var payload = new byte[size];
        payload[0] = Format;
        BinaryPrimitives.WriteInt64LittleEndian(payload.AsSpan(1), stampMs);
        var at = Encoded.WriteVarint(payload, 1 + sizeof(long), (uint)commands.Length);
        foreach (ref readonly var command in commands)
        {
            at = Write(payload, at, in command);
        }

        return at == size ? payload : throw new InvalidOperationException($"A batch took {at} bytes where {size} were reckoned.");
    }

    /// <summary>How many bytes a command takes in a batch. It must keep the rules: a key that is not empty, a time to live not negative, valid terms.</summary>
    public static int SizeOf(in Command command)
    {
        if (CommandRules.Fault(in command) is { } fault)
        {
            throw new ArgumentOutOfRangeException(nameof(command), fault);
        }

        var size = checked(1 + SizeOf(command.Once) + (command.Key.IsEmpty ? 0 : Encoded.BytesSize(command.Key.Length)));
        return command.Kind switch
        {
            CommandKind.Put or CommandKind.PutIfAbsent => checked(size + Encoded.VarintSize((ulong)command.TtlMs) + Encoded.BytesSize(command.Value.Length)),
            CommandKind.CompareAndSwap => checked(size + Encoded.VersionSize(command.Expected) + Encoded.VarintSize((ulong)command.TtlMs) + Encoded.BytesSize(command.Value.Length)),
            CommandKind.Increment => size + Encoded.VarintSize(Encoded.ZigZag(command.Delta)),
            CommandKind.CompareAndDelete => size + Encoded.VersionSize(command.Expected),
            CommandKind.LearnKeys => checked(size + Encoded.BytesSize(command.Value.Length)),
            _ => size,
        };
    }

    /// <summary>Decodes a whole batch before any of it is used. Keys and values are slices of <paramref name="payload"/>, not copies.</summary>
    /// <param name="payload">An entry's payload.</param>
    /// <param name="into">Cleared, then filled.</param>
    /// <returns>The stamp, in milliseconds since the Unix epoch.</returns>
    /// <exception cref="MalformedPayloadException">The payload is not exactly one batch.</exception>
    public static long Decode(ReadOnlyMemory<byte> payload, List<Command> into)
    {
        ArgumentNullException.ThrowIfNull(into);
        into.Clear();
        var reader = new EncodedReader<MalformedPayloadException>(payload);
        var format = reader.Byte();
        if (format is 0 or > Format)
        {
            throw new MalformedPayloadException($"the format is {format}, and this program knows 1 to {Format}", 0);
        }

        var stampMs = reader.Int64();
        var count = reader.Varint(int.MaxValue);
        if (stampMs < 0 || count > (ulong)(reader.Remaining / MinCommandBytes))
        {
            throw new MalformedPayloadException($"stamp {stampMs} and {count} commands cannot be", reader.At);
        }

        into.EnsureCapacity((int)count);
        for (var i = 0; i < (int)count; i++)
        {
            into.Add(ReadCommand(ref reader, format));
        }

        reader.Require(reader.Remaining == 0, "bytes follow the last command");
        return stampMs;
    }

    private static int SizeOf(Once? once) => once switch
    {
        null => 0,
        Once.InSession s => (s.Origin == default ? 0 : Encoded.VarintSize(s.Origin.Value)) + SizeOf(s.Session) + Encoded.VarintSize(s.Mark) + Encoded.VarintSize(s.Sequence - s.Mark),
        Once.ByKey k => Encoded.BytesSize(k.Key.Length) + Encoded.VarintSize((ulong)k.Terms.LifeMs) + Encoded.VarintSize((ulong)k.Terms.MaxBytes)
            + (k.UntilMs == 0 ? 0 : Encoded.VarintSize((ulong)k.UntilMs)),
        Once.Opening o => Encoded.VarintSize((ulong)o.Terms.IdleMs) + Encoded.VarintSize((uint)o.Terms.Window)
            + Encoded.VarintSize((uint)o.Terms.MaxSessions) + Encoded.VarintSize((uint)o.Terms.MaxResults),
        Once.Closing c => SizeOf(c.Session),
        _ => throw new InvalidOperationException($"{once.GetType().Name} is not encoded."),
    };

    private static int SizeOf(SessionId session) => Encoded.VarintSize(session.Index.Value) + Encoded.VarintSize(session.Place);

    private static int Write(Span<byte> to, int at, in Command command)
    {
        to[at] = (byte)((byte)command.Kind | FlagsOf(command.Once));
        at = Write(to, at + 1, command.Once);
        if (!command.Key.IsEmpty)
        {
            at = Encoded.WriteBytes(to, at, command.Key.Span);
        }

        switch (command.Kind)
        {
            case CommandKind.Put or CommandKind.PutIfAbsent:
                at = Encoded.WriteVarint(to, at, (ulong)command.TtlMs);
                return Encoded.WriteBytes(to, at, command.Value.Span);
            case CommandKind.CompareAndSwap:
                at = Encoded.WriteVersion(to, at, command.Expected);
                at = Encoded.WriteVarint(to, at, (ulong)command.TtlMs);
                return Encoded.WriteBytes(to, at, command.Value.Span);
            case CommandKind.Increment:
                return Encoded.WriteVarint(to, at, Encoded.ZigZag(command.Delta));
            case CommandKind.CompareAndDelete:
                return Encoded.WriteVersion(to, at, command.Expected);
            case CommandKind.LearnKeys:
                return Encoded.WriteBytes(to, at, command.Value.Span);
            default:
                return at;
        }
    }

    private static byte FlagsOf(Once? once) => once switch
    {
        Once.InSession s => (byte)(InSession | (s.IsRetry ? Retry : 0) | (s.Origin == default ? 0 : ByKey)),
        Once.ByKey k => (byte)(ByKey | (k.UntilMs == 0 ? 0 : Until)),
        _ => 0,
    };

    private static int Write(Span<byte> to, int at, Once? once)
    {
        switch (once)
        {
            case Once.InSession s:
                at = s.Origin == default ? at : Encoded.WriteVarint(to, at, s.Origin.Value);
                at = Write(to, at, s.Session);
                at = Encoded.WriteVarint(to, at, s.Mark);
                return Encoded.WriteVarint(to, at, s.Sequence - s.Mark);
            case Once.ByKey k:
                at = Encoded.WriteBytes(to, at, k.Key.Span);
                at = Encoded.WriteVarint(to, at, (ulong)k.Terms.LifeMs);
                at = Encoded.WriteVarint(to, at, (ulong)k.Terms.MaxBytes);
                return k.UntilMs == 0 ? at : Encoded.WriteVarint(to, at, (ulong)k.UntilMs);
            case Once.Opening o:
                at = Encoded.WriteVarint(to, at, (ulong)o.Terms.IdleMs);
                at = Encoded.WriteVarint(to, at, (uint)o.Terms.Window);
                at = Encoded.WriteVarint(to, at, (uint)o.Terms.MaxSessions);
                return Encoded.WriteVarint(to, at, (uint)o.Terms.MaxResults);
            case Once.Closing c:
                return Write(to, at, c.Session);
            default:
                return at;
        }
    }

    private static int Write(Span<byte> to, int at, SessionId session)
    {
        at = Encoded.WriteVarint(to, at, session.Index.Value);
        return Encoded.WriteVarint(to, at, session.Place);
    }

    private static Command ReadCommand(ref EncodedReader<MalformedPayloadException> reader, byte format)
    {
        var at = reader.At;
        var head = reader.Byte();
        var kind = (CommandKind)(format == 1 ? head : head & KindBits);
        var last = format == 1 ? CommandKind.CompareAndDelete : format < 5 ? CommandKind.CloseSession : CommandKind.LearnKeys;
        if (kind < CommandKind.Put || kind > last)
        {
            throw new MalformedPayloadException($"there is no command kind {head} in format {format}", at);
        }

        var once = kind switch
        {
            CommandKind.OpenSession => new Once.Opening(ReadSessionTerms(ref reader)),
            CommandKind.CloseSession => new Once.Closing(ReadSession(ref reader)),
            _ => ReadOnce(ref reader, head, format),
        };
        if (kind is CommandKind.OpenSession or CommandKind.CloseSession)
        {
            reader.Require(head == (byte)kind, "a session's own command carries flags");
            return new Command(kind, default, default, default, 0, 0, once);
        }

        var key = reader.Bytes();
        reader.Require(!key.IsEmpty, "a key is empty");
        Data.Version expected = default;
        switch (kind)
        {
            case CommandKind.Delete:
                return new Command(kind, key, default, default, 0, 0, once);
            case CommandKind.Increment:
                return new Command(kind, key, default, default, 0, Encoded.UnZigZag(reader.Varint(ulong.MaxValue)), once);
            case CommandKind.CompareAndDelete:
                return new Command(kind, key, default, reader.Version(), 0, 0, once);
            case CommandKind.LearnKeys:
                var learning = new Command(kind, key, reader.Bytes(), default, 0, 0, once);
                reader.Require(RestoredKeys.Fault(in learning) is null, "what should be idempotency keys is not");
                return learning;
            case CommandKind.CompareAndSwap:
                expected = reader.Version();
                break;
        }

        var ttlMs = (long)reader.Varint(long.MaxValue);
        return new Command(kind, key, reader.Bytes(), expected, ttlMs, 0, once);
    }

    private static Once? ReadOnce(ref EncodedReader<MalformedPayloadException> reader, byte head, byte format)
    {
        switch (head & ~KindBits)
        {
            case 0:
                return null;
            case InSession or (InSession | Retry) or (InSession | ByKey) or (InSession | ByKey | Retry) when format > 2 || (head & (InSession | ByKey)) == InSession:
                var origin = new GroupId((head & ByKey) == 0 ? 0 : reader.Varint(ulong.MaxValue));
                reader.Require((head & ByKey) == 0 || origin != default, "a session is of no group");
                var session = ReadSession(ref reader);
                var mark = reader.Varint(ulong.MaxValue);
                var ahead = reader.Varint(ulong.MaxValue);
                reader.Require(ahead <= ulong.MaxValue - mark, "a sequence is beyond 64 bits");
                return new Once.InSession(session, mark + ahead, mark, (head & Retry) != 0, origin);
            case ByKey or (ByKey | Until) when format > 3 || head == (head & ~Until):
                var key = reader.Bytes();
                reader.Require(key.Length is > 0 and <= Once.ByKey.MaxKeyBytes, "an idempotency key is empty or too long");
                var terms = new KeyTerms((long)reader.Varint(long.MaxValue), (long)reader.Varint(long.MaxValue));
                reader.Require(terms.IsValid, "the terms of an idempotency key cannot be");
                var untilMs = (head & Until) == 0 ? 0 : (long)reader.Varint(long.MaxValue);
                reader.Require((head & Until) == 0 || untilMs > 0, "an idempotency key ends before it begins");
                return new Once.ByKey(key, terms, untilMs);
            default:
                reader.Require(false, $"flags {head:X2} do not go together");
                return null;
        }
    }

    private static SessionId ReadSession(ref EncodedReader<MalformedPayloadException> reader) =>
        new(new LogIndex(reader.Varint(ulong.MaxValue)), (uint)reader.Varint(uint.MaxValue));

    private static SessionTerms ReadSessionTerms(ref EncodedReader<MalformedPayloadException> reader)
    {
        var terms = new SessionTerms((long)reader.Varint(long.MaxValue), (int)reader.Varint(int.MaxValue), (int)reader.Varint(int.MaxValue), (int)reader.Varint(int.MaxValue));
        reader.Require(terms.IsValid, "the terms of a session cannot be");
        return terms;
    }
}

/// <summary>
/// A committed entry does not hold what this program can apply. A broken invariant: no replica may go on from here,
/// since skipping the entry would let it diverge from the others.
/// </summary>
/// <param name="what">What is wrong with it.</param>
/// <param name="offset">Where in the payload.</param>
public sealed class MalformedPayloadException(string what, int offset)
    : Exception($"A command entry is malformed at byte {offset}: {what}. It was written by a newer or a broken program; this replica cannot apply it."), IMalformed
{
    static Exception IMalformed.At(string what, int offset) => new MalformedPayloadException(what, offset);
}
