using Flotilla.Registers;
using Flotilla.Registers.Overlays;
using Flotilla.Topology;

namespace Flotilla.Shards.Epochs;

/// <summary>A <see cref="RegisterMessage"/> as bytes between nodes, and back from any bytes. Append-only; pure.</summary>
/// <remarks>
/// <code>
/// message = kind:u8  epoch:varint  question   by kind
///    1 Query         key:bytes  wantsItem:u8  above:stamp
///    2 QueryReply    stamp  hasItem:u8  [item]
///    3 Store         item
///    4 Stored
///    5 Spread        count × item
///    6 SpreadReply
///    7 Compare       128 × u64 little-endian
///    8 CompareReply  count × group:varint   count × (slot:varint  digest:u64)
///    9 Page          slot:varint  after:bytes  isLast:u8  count × (key:bytes  stamp)
///   10 PageReply     count × item   count × key:bytes   through:bytes  isLast:u8
///   11 MergeQuery    after:bytes
///   12 MergeReply    isLast:u8  count × item
/// </code>
/// Every count is a varint. The rest is as in <c>RegisterEncoding</c>.
/// </remarks>
public static class RegisterMessageCodec
{
    /// <summary>Encodes a message into a buffer of its own.</summary>
    public static byte[] Encode(RegisterMessage message)
    {
        ArgumentNullException.ThrowIfNull(message);
        switch (message)
        {
            case Query m:
                var query = Head(1, m, m.Question, 64 + m.Key.Length);
                query.Bytes(m.Key.Span);
                query.Flag(m.WantsItem);
                query.Stamp(m.Above);
                return query.ToArray();
            case QueryReply m:
                var reply = Head(2, m, m.Question, 128 + (m.Item?.Cost ?? 0));
                reply.Stamp(m.Stamp);
                reply.Flag(m.Item is not null);
                if (m.Item is { } there)
                {
                    reply.Item(in there);
                }

                return reply.ToArray();
            case Store m:
                var store = Head(3, m, m.Question, 128 + m.Item.Cost);
                store.Item(m.Item);
                return store.ToArray();
            case Stored m:
                return Head(4, m, m.Question, 32).ToArray();
            case Spread m:
                var spread = Head(5, m, m.Question, RegisterEncoding.CostOf(m.Items));
                spread.Items(m.Items);
                return spread.ToArray();
            case SpreadReply m:
                return Head(6, m, m.Question, 32).ToArray();
            case Compare m:
                return Encode(m);
            case CompareReply m:
                return Encode(m);
            case Page m:
                return Encode(m);
            case PageReply m:
                return Encode(m);
            case MergeQuery m:
                var merge = Head(11, m, m.Question, 32 + m.After.Length);
                merge.Bytes(m.After.Span);
                return merge.ToArray();
            case MergeReply m:
                var part = Head(12, m, m.Question, RegisterEncoding.CostOf(m.Items));
                part.Flag(m.IsLast);
                part.Items(m.Items);
                return part.ToArray();
            default:
                throw new InvalidOperationException($"{message.GetType().Name} is not encoded.");
        }
    }

    /// <summary>Decodes a message. What it brings is slices of <paramref name="bytes"/>, which must never change.</summary>
    /// <exception cref="MalformedPayloadException">The bytes are not exactly one message.</exception>
    public static RegisterMessage Decode(ReadOnlyMemory<byte> bytes)
    {
        var reader = new EncodedReader<MalformedPayloadException>(bytes);
        var kind = reader.Byte();
        var epoch = reader.Epoch();
        var question = new QuestionId(reader.Varint(ulong.MaxValue), reader.Varint(ulong.MaxValue));
        RegisterMessage message = kind switch
        {
            1 => new Query(epoch, question, Key(ref reader), reader.Flag(), reader.Stamp()),
            2 => new QueryReply(epoch, question, reader.Stamp(), reader.Flag() ? reader.Item() : null),
            3 => new Store(epoch, question, reader.Item()),
            4 => new Stored(epoch, question),
            5 => new Spread(epoch, question, reader.Items()),
            6 => new SpreadReply(epoch, question),
            7 => new Compare(epoch, question, Groups(ref reader)),
            8 => new CompareReply(epoch, question, Numbers(ref reader, SlotDigests.GroupCount), Slots(ref reader)),
            9 => ReadPage(ref reader, epoch, question),
            10 => new PageReply(epoch, question, reader.Items(), Keys(ref reader), reader.Bytes(), reader.Flag()),
            11 => new MergeQuery(epoch, question, reader.Bytes()),
            12 => ReadPart(ref reader, epoch, question),
            _ => throw new MalformedPayloadException($"there is no register message of kind {kind}", 0),
        };
        reader.Require(reader.Remaining == 0, "bytes follow the message");
        return message;
    }

    private static EncodedWriter Head(byte kind, RegisterMessage message, QuestionId question, int capacity)
    {
        var writer = new EncodedWriter(capacity);
        writer.Byte(kind);
        writer.Epoch(message.Epoch);
        writer.Varint(question.Boot);
        writer.Varint(question.Number);
        return writer;
    }

    private static byte[] Encode(Compare m)
    {
        var writer = Head(7, m, m.Question, 64 + (SlotDigests.GroupCount * sizeof(ulong)));
        foreach (var group in m.Groups)
        {
            writer.Int64(unchecked((long)group));
        }

        return writer.ToArray();
    }

    private static byte[] Encode(CompareReply m)
    {
        var writer = Head(8, m, m.Question, 64 + (m.Slots.Count * 12));
        writer.Varint((uint)m.Groups.Count);
        foreach (var group in m.Groups)
        {
            writer.Varint((uint)group);
        }

        writer.Varint((uint)m.Slots.Count);
        foreach (var slot in m.Slots)
        {
            writer.Varint(slot.Slot);
            writer.Int64(unchecked((long)slot.Digest));
        }

        return writer.ToArray();
    }

    private static byte[] Encode(Page m)
    {
        var writer = Head(9, m, m.Question, 64 + m.After.Length + m.Keys.Sum(static k => k.Key.Length + 32));
        writer.Varint(m.Slot);
        writer.Bytes(m.After.Span);
        writer.Flag(m.IsLast);
        writer.Varint((uint)m.Keys.Count);
        foreach (var key in m.Keys)
        {
            writer.Bytes(key.Key.Span);
            writer.Stamp(key.Stamp);
        }

        return writer.ToArray();
    }

    private static byte[] Encode(PageReply m)
    {
        var writer = Head(10, m, m.Question, RegisterEncoding.CostOf(m.Newer) + m.Wanted.Sum(static k => k.Length + 5) + m.Through.Length);
        writer.Items(m.Newer);
        writer.Varint((uint)m.Wanted.Count);
        foreach (var key in m.Wanted)
        {
            writer.Bytes(key.Span);
        }

        writer.Bytes(m.Through.Span);
        writer.Flag(m.IsLast);
        return writer.ToArray();
    }

    private static ReadOnlyMemory<byte> Key(ref EncodedReader<MalformedPayloadException> reader)
    {
        var key = reader.Bytes();
        reader.Require(!key.IsEmpty, "a key is empty");
        return key;
    }

    private static ulong[] Groups(ref EncodedReader<MalformedPayloadException> reader)
    {
        var groups = new ulong[SlotDigests.GroupCount];
        for (var i = 0; i < groups.Length; i++)
        {
            groups[i] = unchecked((ulong)reader.Int64());
        }

        return groups;
    }

    // Rising, so that no list is longer than there are numbers.
    private static List<int> Numbers(ref EncodedReader<MalformedPayloadException> reader, int bound)
    {
        var numbers = new List<int>();
        for (var count = reader.Int32(0, bound); count > 0; count--)
        {
            var number = reader.Int32(0, bound - 1);
            reader.Require(numbers.Count == 0 || number > numbers[^1], "numbers are not in order");
            numbers.Add(number);
        }

        return numbers;
    }

    private static List<SlotDigest> Slots(ref EncodedReader<MalformedPayloadException> reader)
    {
        var slots = new List<SlotDigest>();
        for (var count = reader.Int32(0, Slot.Count); count > 0; count--)
        {
            var slot = (ushort)reader.Int32(0, Slot.Count - 1);
            reader.Require(slots.Count == 0 || slot > slots[^1].Slot, "slots are not in order");
            slots.Add(new SlotDigest(slot, unchecked((ulong)reader.Int64())));
        }

        return slots;
    }

    private static Page ReadPage(ref EncodedReader<MalformedPayloadException> reader, RegisterEpoch epoch, QuestionId question)
    {
        var slot = (ushort)reader.Int32(0, Slot.Count - 1);
        var after = reader.Bytes();
        var isLast = reader.Flag();
        var keys = new List<KeyStamp>();
        for (var count = reader.Int32(0, int.MaxValue); count > 0; count--)
        {
            var key = Key(ref reader);
            var before = keys.Count > 0 ? keys[^1].Key : after;
            reader.Require(key.Span.SequenceCompareTo(before.Span) > 0, "keys are not in order");
            keys.Add(new KeyStamp(key, reader.Stamp()));
        }

        reader.Require(isLast || keys.Count > 0, "a stretch of keys has no end");
        return new Page(epoch, question, slot, after, keys, isLast);
    }

    private static List<ReadOnlyMemory<byte>> Keys(ref EncodedReader<MalformedPayloadException> reader)
    {
        var keys = new List<ReadOnlyMemory<byte>>();
        for (var count = reader.Int32(0, int.MaxValue); count > 0; count--)
        {
            keys.Add(Key(ref reader));
        }

        return keys;
    }

    private static MergeReply ReadPart(ref EncodedReader<MalformedPayloadException> reader, RegisterEpoch epoch, QuestionId question)
    {
        var isLast = reader.Flag();
        var items = reader.Items();
        for (var i = 1; i < items.Count; i++)
        {
            reader.Require(items[i].Key.Span.SequenceCompareTo(items[i - 1].Key.Span) > 0, "keys are not in order");
        }

        return new MergeReply(epoch, question, items, isLast);
    }
}
