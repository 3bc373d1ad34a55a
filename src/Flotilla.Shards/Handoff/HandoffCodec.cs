using System.Buffers.Binary;
using Flotilla.Raft;
using Flotilla.Topology;
using Flotilla.Topology.Descriptors;

namespace Flotilla.Shards.Handoff;

/// <summary>
/// The payload of an entry that holds one <see cref="HandoffStep"/>. On disk and on the wire, so versioned and append-only. Its
/// first byte is no format of <see cref="CommandCodec"/>, which tells the two apart.
/// </summary>
/// <remarks>
/// <code>
/// payload = format:u8 (0x81)  stamp:i64 little-endian, milliseconds since the Unix epoch, not negative   kind:u8   by kind
///    1 Begin     source:varint  targetShard:varint (1 or more)  target:varint  slots
///    2 Cancel    move:varint (an index)      3 Freeze, 4 Release, 5 Unfreeze, 6 Close   likewise
///    7 Open      id  attempt  sourceShard:varint  slots   lineages:varint (1 or more)  lineages × set
///    8 Stage     id  attempt  number:varint  items:bytes
///    9 Prepare   id  attempt
///   10 Accept    id  attempt  chunks:varint  digest:16 × u8 little-endian  logTime:varint (ms)
///   11 Abort     id
///   12 Settle    source:varint  floor:varint
///   13 Purge     walk:varint  from:bytes  to:bytes
///   14 SetState  state:u8          15 SetWeight  weight:varint
///   16 SetMode   mode:u8           17 SetInSync  node:bytes  isIn:u8 (0, 1)
/// id      = source:varint  begin:varint             attempt = term:varint  number:varint
/// set     = ranges:varint  ranges × (gap:varint  length:varint (1 or more))    gap: slots that are not in it before the range
/// slots   = set   runs of (epoch:varint (1 or more)  count:varint), neighbours with different epochs, over the set's slots
/// </code>
/// One step has exactly one encoding, and the decoder accepts nothing else.
/// </remarks>
public static class HandoffCodec
{
    /// <summary>The first byte.</summary>
    public const byte Format = 0x81;

    /// <summary>Whether an entry's payload holds a step and not commands.</summary>
    public static bool IsStep(ReadOnlySpan<byte> payload) => !payload.IsEmpty && payload[0] >= 0x80;

    /// <summary>Encodes a step into a buffer of its own, which must never change: it becomes an entry's payload.</summary>
    /// <param name="stampMs">The entry's stamp, not negative.</param>
    /// <param name="step">The step.</param>
    public static byte[] Encode(long stampMs, HandoffStep step)
    {
        ArgumentNullException.ThrowIfNull(step);
        ArgumentOutOfRangeException.ThrowIfNegative(stampMs);
        var writer = new EncodedWriter(step is HandoffStep.Stage stage ? stage.Items.Length + 64 : 256);
        writer.Byte(Format);
        writer.Int64(stampMs);
        switch (step)
        {
            case HandoffStep.Begin s:
                writer.Byte(1);
                writer.Varint(s.Source.Value);
                writer.Varint((uint)s.TargetShard.Value);
                writer.Varint(s.Target.Value);
                writer.Slots(s.Slots);
                break;
            case HandoffStep.Cancel s:
                WriteMove(writer, 2, s.Move);
                break;
            case HandoffStep.Freeze s:
                WriteMove(writer, 3, s.Move);
                break;
            case HandoffStep.Release s:
                WriteMove(writer, 4, s.Move);
                break;
            case HandoffStep.Unfreeze s:
                WriteMove(writer, 5, s.Move);
                break;
            case HandoffStep.Close s:
                WriteMove(writer, 6, s.Move);
                break;
            case HandoffStep.Open s:
                WriteHead(writer, 7, s.Id, s.Attempt);
                writer.Varint((uint)s.SourceShard.Value);
                writer.Slots(s.Slots);
                writer.Sets(s.Lineages);
                break;
            case HandoffStep.Stage s:
                WriteHead(writer, 8, s.Id, s.Attempt);
                writer.Varint(s.Number);
                writer.Bytes(s.Items.Span);
                break;
            case HandoffStep.Prepare s:
                WriteHead(writer, 9, s.Id, s.Attempt);
                break;
            case HandoffStep.Accept s:
                WriteHead(writer, 10, s.Id, s.Attempt);
                writer.Varint(s.Chunks);
                writer.UInt128(s.Digest);
                writer.Varint((ulong)s.LogTimeMs);
                break;
            case HandoffStep.Abort s:
                writer.Byte(11);
                writer.Id(s.Id);
                break;
            case HandoffStep.Settle s:
                writer.Byte(12);
                writer.Varint(s.Source.Value);
                writer.Varint(s.Floor.Value);
                break;
            case HandoffStep.Purge s:
                writer.Byte(13);
                writer.Varint(s.Walk);
                writer.Bytes(s.From.Span);
                writer.Bytes(s.To.Span);
                break;
            case HandoffStep.SetState s:
                writer.Byte(14);
                writer.Byte((byte)s.State);
                break;
            case HandoffStep.SetWeight s:
                writer.Byte(15);
                writer.Varint((uint)s.Weight);
                break;
            case HandoffStep.SetMode s:
                writer.Byte(16);
                writer.Byte((byte)s.Mode);
                break;
            case HandoffStep.SetInSync s:
                writer.Byte(17);
                writer.Node(s.Node);
                writer.Byte(s.IsIn ? (byte)1 : (byte)0);
                break;
            default:
                throw new InvalidOperationException($"{step.GetType().Name} is not encoded.");
        }

        return writer.ToArray();
    }

    /// <summary>Decodes a step. What it brings is slices of <paramref name="payload"/>, not copies.</summary>
    /// <returns>The stamp, in milliseconds since the Unix epoch, and the step.</returns>
    /// <exception cref="MalformedPayloadException">The payload is not exactly one step.</exception>
    public static (long StampMs, HandoffStep Step) Decode(ReadOnlyMemory<byte> payload)
    {
        var reader = new EncodedReader<MalformedPayloadException>(payload);
        var format = reader.Byte();
        reader.Require(format == Format, $"the format of a handoff step is {format}, and this program knows {Format}");
        var stampMs = reader.Int64();
        reader.Require(stampMs >= 0, "a stamp is negative");
        var step = Read(ref reader);
        reader.Require(reader.Remaining == 0, "bytes follow the step");
        return (stampMs, step);
    }

    private static void WriteMove(EncodedWriter writer, byte kind, LogIndex move)
    {
        writer.Byte(kind);
        writer.Varint(move.Value);
    }

    private static void WriteHead(EncodedWriter writer, byte kind, HandoffId id, Attempt attempt)
    {
        writer.Byte(kind);
        writer.Id(id);
        writer.Attempt(attempt);
    }

    private static HandoffStep Read(ref EncodedReader<MalformedPayloadException> reader)
    {
        var kind = reader.Byte();
        switch (kind)
        {
            case 1:
                var source = new GroupId(reader.Varint(ulong.MaxValue));
                var targetShard = new ShardId(reader.Int32(1, int.MaxValue));
                return new HandoffStep.Begin(source, targetShard, new GroupId(reader.Varint(ulong.MaxValue)), reader.Slots());
            case 2:
                return new HandoffStep.Cancel(reader.Index());
            case 3:
                return new HandoffStep.Freeze(reader.Index());
            case 4:
                return new HandoffStep.Release(reader.Index());
            case 5:
                return new HandoffStep.Unfreeze(reader.Index());
            case 6:
                return new HandoffStep.Close(reader.Index());
            case 7:
                return ReadOpen(ref reader);
            case 8:
                return new HandoffStep.Stage(reader.Id(), reader.Attempt(), (uint)reader.Varint(uint.MaxValue), reader.Bytes());
            case 9:
                return new HandoffStep.Prepare(reader.Id(), reader.Attempt());
            case 10:
                return new HandoffStep.Accept(reader.Id(), reader.Attempt(), (uint)reader.Varint(uint.MaxValue), reader.UInt128(), (long)reader.Varint(long.MaxValue));
            case 11:
                return new HandoffStep.Abort(reader.Id());
            case 12:
                return new HandoffStep.Settle(new GroupId(reader.Varint(ulong.MaxValue)), reader.Index());
            case 13:
                return new HandoffStep.Purge((uint)reader.Varint(uint.MaxValue), reader.Bytes(), reader.Bytes());
            case 14:
                var state = (ShardState)reader.Byte();
                reader.Require(state is >= ShardState.Joining and <= ShardState.Retired, "there is no such state of a shard");
                return new HandoffStep.SetState(state);
            case 15:
                return new HandoffStep.SetWeight(reader.Int32(1, Ring.MaxWeight));
            case 16:
                var mode = (ShardMode)reader.Byte();
                reader.Require(mode is ShardMode.Raft or ShardMode.Sync or ShardMode.Chain, "there is no such mode of the log");
                return new HandoffStep.SetMode(mode);
            case 17:
                var node = reader.Node();
                var isIn = reader.Byte();
                reader.Require(isIn <= 1, "a member is neither in sync nor out of it");
                return new HandoffStep.SetInSync(node, isIn == 1);
            default:
                throw new MalformedPayloadException($"there is no handoff step of kind {kind}", reader.At - 1);
        }
    }

    private static HandoffStep.Open ReadOpen(ref EncodedReader<MalformedPayloadException> reader)
    {
        var id = reader.Id();
        var attempt = reader.Attempt();
        var shard = new ShardId(reader.Int32(1, int.MaxValue));
        var slots = reader.Slots();
        var lineages = reader.Sets();
        reader.Require(lineages.Count > 0 && lineages.Aggregate(SlotSet.Empty, (a, b) => a.Union(b)).Equals(slots.Slots) && lineages.Sum(s => s.Count) == slots.Count, "the lineages do not split the slots");
        return new HandoffStep.Open(id, attempt, shard, slots, lineages);
    }
}
