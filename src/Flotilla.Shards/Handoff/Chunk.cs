using Flotilla.Raft;
using Flotilla.Shards.ExactlyOnce;
using Flotilla.Topology;
using Version = Flotilla.Data.Version;

namespace Flotilla.Shards.Handoff;

/// <summary>What one item of a chunk does. Explicit and append-only: on the wire and in logs.</summary>
internal enum ChunkItemKind : byte
{
    /// <summary>Whatever is staged of the slot goes: it is sent whole.</summary>
    Reset = 1,

    /// <summary>A record.</summary>
    Record = 2,

    /// <summary>A record that is not there any more.</summary>
    Gone = 3,

    /// <summary>An idempotency key, as its table keeps it.</summary>
    Key = 4,

    /// <summary>Whatever is staged of sessions goes: they are sent whole.</summary>
    SessionsAnew = 5,

    /// <summary>A session, without its results.</summary>
    Session = 6,

    /// <summary>A result of the session before it.</summary>
    Result = 7,
}

/// <summary>One item of a chunk; fields that the kind does not name are default. Its memory is slices of the chunk.</summary>
/// <param name="Kind">What it does.</param>
/// <param name="Slot">The slot of a record, or the one to reset.</param>
/// <param name="Key">The key of a record.</param>
/// <param name="Value">The value.</param>
/// <param name="Version">The version.</param>
/// <param name="ExpiresAtMs">The expiry; 0 for never.</param>
/// <param name="More">What the rarer kinds have: a list of a chunk's records is to stay a small object to the collector.</param>
internal readonly record struct ChunkItem(
    ChunkItemKind Kind, Slot Slot, ReadOnlyMemory<byte> Key = default, ReadOnlyMemory<byte> Value = default, Version Version = default, long ExpiresAtMs = 0, object? More = null)
{
    /// <summary>The session.</summary>
    public CopiedSession Session => (CopiedSession)More!;

    /// <summary>The result.</summary>
    public RecordedResult Result => (RecordedResult)More!;

    /// <summary>The lane of an idempotency key.</summary>
    public int Lane => (((int Lane, KeyRecord Key))More!).Lane;

    /// <summary>The idempotency key.</summary>
    public KeyRecord KeyRecord => (((int Lane, KeyRecord Key))More!).Key;
}

/// <summary>Writes and reads chunks: what a source sends and a target's log holds.</summary>
/// <remarks><code>
/// chunk  = items, to the end
/// item   = kind:u8 (ChunkItemKind)   by kind
///   Reset         slot:varint
///   Record        key:bytes  version  expiry:varint (ms; 0 = never)  value:bytes
///   Gone          key:bytes
///   Key           lane:varint  due:varint (ms)  slot:varint  name:16 × u8  digest:varint  code:u8  version
///                 hasNumber:u8 (0, 1)  [number:zigzag varint]
///   SessionsAnew  -
///   Session       lineage:varint  origin:varint  index:varint  place:varint  idle:varint  window:varint  maxSessions:varint
///                 maxResults:varint  lastUsed:varint (ms)  mark:varint
///   Result        sequence:varint  slot:varint  code:u8  version  value:bytes
/// </code></remarks>
internal static class Chunk
{
    public static void Reset(EncodedWriter to, Slot slot)
    {
        to.Byte((byte)ChunkItemKind.Reset);
        to.Varint(slot.Value);
    }

    public static void Record(EncodedWriter to, ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, Version version, long expiresAtMs)
    {
        to.Byte((byte)ChunkItemKind.Record);
        to.Bytes(key);
        to.Version(version);
        to.Varint((ulong)expiresAtMs);
        to.Bytes(value);
    }

    public static void Gone(EncodedWriter to, ReadOnlySpan<byte> key)
    {
        to.Byte((byte)ChunkItemKind.Gone);
        to.Bytes(key);
    }

    public static void Key(EncodedWriter to, int lane, in KeyRecord key)
    {
        to.Byte((byte)ChunkItemKind.Key);
        to.Varint((uint)lane);
        to.Varint((ulong)key.DueMs);
        to.Varint(key.Slot.Value);
        to.UInt128(key.Name);
        to.Varint(key.Digest);
        to.Byte((byte)key.Code);
        to.Version(key.Version);
        to.Byte(key.Number is null ? (byte)0 : (byte)1);
        if (key.Number is { } number)
        {
            to.Varint(Encoded.ZigZag(number));
        }
    }

    public static void SessionsAnew(EncodedWriter to) => to.Byte((byte)ChunkItemKind.SessionsAnew);

    public static void Session(EncodedWriter to, CopiedSession session)
    {
        to.Byte((byte)ChunkItemKind.Session);
        SessionBody(to, session);
    }

    public static void SessionBody(EncodedWriter to, CopiedSession session)
    {
        to.Varint((uint)session.Lineage);
        to.Varint(session.Origin.Value);
        to.Varint(session.Id.Index.Value);
        to.Varint(session.Id.Place);
        to.Varint((ulong)session.Terms.IdleMs);
        to.Varint((uint)session.Terms.Window);
        to.Varint((uint)session.Terms.MaxSessions);
        to.Varint((uint)session.Terms.MaxResults);
        to.Varint((ulong)session.LastUsedMs);
        to.Varint(session.Mark);
    }

    public static void Result(EncodedWriter to, in RecordedResult result)
    {
        to.Byte((byte)ChunkItemKind.Result);
        ResultBody(to, in result);
    }

    public static void ResultBody(EncodedWriter to, in RecordedResult result)
    {
        to.Varint(result.Sequence);
        to.Varint(result.Slot.Value);
        to.Byte((byte)result.Code);
        to.Version(result.Version);
        to.Bytes(result.Value);
    }

    /// <summary>Reads a whole chunk before any of it is used.</summary>
    /// <exception cref="MalformedPayloadException">It is not exactly one chunk.</exception>
    public static List<ChunkItem> Read(ReadOnlyMemory<byte> chunk)
    {
        var reader = new EncodedReader<MalformedPayloadException>(chunk);
        var items = new List<ChunkItem>();
        while (reader.Remaining > 0)
        {
            var kind = (ChunkItemKind)reader.Byte();
            switch (kind)
            {
                case ChunkItemKind.Reset:
                    items.Add(new ChunkItem(kind, new Slot((ushort)reader.Int32(0, Slot.Count - 1))));
                    break;
                case ChunkItemKind.Record or ChunkItemKind.Gone:
                    var key = reader.Bytes();
                    reader.Require(key.Length is > 0 and <= ExpiryIndex.MaxKeyBytes, "a key is empty or too long");
                    items.Add(ReadRecord(ref reader, kind, key));
                    break;
                case ChunkItemKind.Key:
                    items.Add(ReadKey(ref reader));
                    break;
                case ChunkItemKind.SessionsAnew:
                    items.Add(new ChunkItem(kind, default));
                    break;
                case ChunkItemKind.Session:
                    items.Add(new ChunkItem(kind, default, More: ReadSession(ref reader)));
                    break;
                case ChunkItemKind.Result:
                    items.Add(new ChunkItem(kind, default, More: ReadResult(ref reader)));
                    break;
                default:
                    throw new MalformedPayloadException($"there is no chunk item of kind {(byte)kind}", reader.At - 1);
            }
        }

        return items;
    }

    public static CopiedSession ReadSession<T>(ref EncodedReader<T> reader)
        where T : IMalformed
    {
        var lineage = reader.Int32(0, Slot.Count - 1);
        var origin = new GroupId(reader.Varint(ulong.MaxValue));
        var id = new SessionId(reader.Index(), (uint)reader.Varint(uint.MaxValue));
        var terms = new SessionTerms((long)reader.Varint(long.MaxValue), (int)reader.Varint(int.MaxValue), (int)reader.Varint(int.MaxValue), (int)reader.Varint(int.MaxValue));
        reader.Require(terms.IsValid, "the terms of a session cannot be");
        return new CopiedSession(lineage, origin, id, terms, (long)reader.Varint(long.MaxValue), reader.Varint(ulong.MaxValue));
    }

    public static RecordedResult ReadResult<T>(ref EncodedReader<T> reader)
        where T : IMalformed
    {
        var sequence = reader.Varint(ulong.MaxValue);
        var slot = new Slot((ushort)reader.Int32(0, Slot.Count - 1));
        var code = (ResultCode)reader.Byte();
        var version = reader.Version();
        var value = reader.Bytes();
        reader.Require(RecordedResult.MayBeKept(code, value.Length), "a result cannot have been recorded");
        return new RecordedResult(sequence, slot, code, version, value.IsEmpty ? null : value.ToArray());
    }

    private static ChunkItem ReadRecord(ref EncodedReader<MalformedPayloadException> reader, ChunkItemKind kind, ReadOnlyMemory<byte> key)
    {
        var slot = Slot.Of(key.Span);
        if (kind == ChunkItemKind.Gone)
        {
            return new ChunkItem(kind, slot, key);
        }

        var version = reader.Version();
        var expiresAtMs = (long)reader.Varint(long.MaxValue);
        return new ChunkItem(kind, slot, key, reader.Bytes(), version, expiresAtMs);
    }

    /// <summary>Reads a chunk that is to hold nothing but idempotency keys, so many at most; it gives up at the first item too many, or of another kind.</summary>
    /// <exception cref="MalformedPayloadException">It is none.</exception>
    public static List<ChunkItem> ReadKeys(ReadOnlyMemory<byte> chunk, int most)
    {
        var reader = new EncodedReader<MalformedPayloadException>(chunk);
        var items = new List<ChunkItem>();
        while (reader.Remaining > 0)
        {
            reader.Require(items.Count < most, $"more than {most} idempotency keys come at once");
            reader.Require(reader.Byte() == (byte)ChunkItemKind.Key, "something else than an idempotency key comes");
            items.Add(ReadKey(ref reader));
        }

        return items;
    }

    private static ChunkItem ReadKey(ref EncodedReader<MalformedPayloadException> reader)
    {
        var lane = reader.Int32(1, KeyLane.End - 1);
        var dueMs = (long)reader.Varint(long.MaxValue);
        var slot = new Slot((ushort)reader.Int32(0, Slot.Count - 1));
        var name = reader.UInt128();
        var digest = reader.Varint(ulong.MaxValue);
        var code = (ResultCode)reader.Byte();
        var version = reader.Version();
        var hasNumber = reader.Byte();
        reader.Require(hasNumber <= 1, "a key neither has a number nor has none");
        var key = new KeyRecord(name, digest, slot, code, version, hasNumber == 1 ? Encoded.UnZigZag(reader.Varint(ulong.MaxValue)) : null, dueMs);
        reader.Require(key.IsValid, "an idempotency key cannot have been recorded");
        return new ChunkItem(ChunkItemKind.Key, default, More: (lane, key));
    }
}
