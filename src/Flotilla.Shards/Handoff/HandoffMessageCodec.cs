using Flotilla.Raft;
using Flotilla.Topology;

namespace Flotilla.Shards.Handoff;

/// <summary>A <see cref="HandoffMessage"/> as bytes between nodes, and back from any bytes. Append-only; pure.</summary>
/// <remarks>
/// <code>
/// message = kind:u8  id  from:varint (1 or more)   by kind
///    1 Offer   attempt  slots  lineages:varint  lineages × set
///    2 Data    attempt  number:varint  items:bytes
///    3 Ready   attempt
///    4 Decide  attempt  chunks:varint  digest:16 × u8  logTime:varint (ms)
///    5 GiveUp
///    6 Over    floor:varint
///    7 Answer  state:u8  attempt  chunks:varint  digests:varint (0 none, else count + 1)  digests × 16 × u8
/// </code>
/// The rest is as in <see cref="HandoffCodec"/>.
/// </remarks>
public static class HandoffMessageCodec
{
    /// <summary>Encodes a message into a buffer of its own.</summary>
    public static byte[] Encode(HandoffMessage message)
    {
        ArgumentNullException.ThrowIfNull(message);
        var writer = new EncodedWriter(message is HandoffMessage.Data { Items.Length: var length } ? length + 64 : 128);
        switch (message)
        {
            case HandoffMessage.Offer m:
                Head(writer, 1, m);
                writer.Attempt(m.Attempt);
                writer.Slots(m.Slots);
                writer.Sets(m.Lineages);
                break;
            case HandoffMessage.Data m:
                Head(writer, 2, m);
                writer.Attempt(m.Attempt);
                writer.Varint(m.Number);
                writer.Bytes(m.Items.Span);
                break;
            case HandoffMessage.Ready m:
                Head(writer, 3, m);
                writer.Attempt(m.Attempt);
                break;
            case HandoffMessage.Decide m:
                Head(writer, 4, m);
                writer.Attempt(m.Attempt);
                writer.Varint(m.Chunks);
                writer.UInt128(m.Digest);
                writer.Varint((ulong)m.LogTimeMs);
                break;
            case HandoffMessage.GiveUp m:
                Head(writer, 5, m);
                break;
            case HandoffMessage.Over m:
                Head(writer, 6, m);
                writer.Varint(m.Floor.Value);
                break;
            case HandoffMessage.Answer m:
                Head(writer, 7, m);
                writer.Byte((byte)m.State);
                writer.Attempt(m.Attempt);
                writer.Varint(m.Chunks);
                writer.Varint(m.Digests is null ? 0 : (uint)m.Digests.Count + 1);
                foreach (var digest in m.Digests ?? [])
                {
                    writer.UInt128(digest);
                }

                break;
            default:
                throw new InvalidOperationException($"{message.GetType().Name} is not encoded.");
        }

        return writer.ToArray();
    }

    /// <summary>Decodes a message. What it brings is slices of <paramref name="bytes"/>, which must never change.</summary>
    /// <exception cref="MalformedPayloadException">The bytes are not exactly one message.</exception>
    public static HandoffMessage Decode(ReadOnlyMemory<byte> bytes)
    {
        var reader = new EncodedReader<MalformedPayloadException>(bytes);
        var kind = reader.Byte();
        var id = reader.Id();
        var from = new ShardId(reader.Int32(1, int.MaxValue));
        HandoffMessage message;
        switch (kind)
        {
            case 1:
                message = new HandoffMessage.Offer(id, from, reader.Attempt(), reader.Slots(), reader.Sets());
                break;
            case 2:
                message = new HandoffMessage.Data(id, from, reader.Attempt(), (uint)reader.Varint(uint.MaxValue), reader.Bytes());
                break;
            case 3:
                message = new HandoffMessage.Ready(id, from, reader.Attempt());
                break;
            case 4:
                message = new HandoffMessage.Decide(id, from, reader.Attempt(), (uint)reader.Varint(uint.MaxValue), reader.UInt128(), (long)reader.Varint(long.MaxValue));
                break;
            case 5:
                message = new HandoffMessage.GiveUp(id, from);
                break;
            case 6:
                message = new HandoffMessage.Over(id, from, reader.Index());
                break;
            case 7:
                var state = reader.Byte();
                reader.Require(state <= (byte)TargetState.Busy, "there is no such state of a target");
                message = new HandoffMessage.Answer(id, from, (TargetState)state, reader.Attempt(), (uint)reader.Varint(uint.MaxValue), Digests(ref reader));
                break;
            default:
                throw new MalformedPayloadException($"there is no handoff message of kind {kind}", 0);
        }

        reader.Require(reader.Remaining == 0, "bytes follow the message");
        return message;
    }

    private static void Head(EncodedWriter writer, byte kind, HandoffMessage message)
    {
        writer.Byte(kind);
        writer.Id(message.Id);
        writer.Varint((uint)message.From.Value);
    }

    private static UInt128[]? Digests(ref EncodedReader<MalformedPayloadException> reader)
    {
        var count = reader.Int32(0, Slot.Count + 1);
        if (count == 0)
        {
            return null;
        }

        var digests = new UInt128[count - 1];
        for (var i = 0; i < digests.Length; i++)
        {
            digests[i] = reader.UInt128();
        }

        return digests;
    }
}
