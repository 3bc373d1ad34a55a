using Flotilla.Raft;
using Flotilla.Topology;
using Flotilla.Topology.Descriptors;

namespace Flotilla.Shards.Handoff;

/// <summary>A shard's <see cref="Ownership"/> as bytes, for images (docs/image.md); slot epochs aside, which have a block of their own. Equal states give equal bytes.</summary>
/// <remarks><code>
/// ownership = state:u8  weight:varint  group:varint  lastLineage:varint
///             count × outgoing   count × incoming   count × (source:varint  floor:varint)
///             purge = walk:varint  pending:set  walking:u8 (0, 1)  [walking:set  at:bytes]
///             count × (epoch:varint  shard:varint  group:varint  frozenAt:varint  set)     departures, by their lowest slot
///             count × (lineage:varint  set)                                                 by lineage
///             mode:u8   count × node:bytes                                                  since image format 4
/// outgoing  = begin:varint  phase:u8  shard:varint  group:varint  [slots, if open or frozen]
///             [frozenAt:varint  frozenTime:varint (ms)  sessions, if frozen]
/// incoming  = id  phase:u8  shard:varint  [attempt  chunks:varint  slots  sets  sessions, if it is not decided]
/// sessions  = count × (a session and its results' count and results, as in chunks, without the kinds)
/// </code>Every count is a varint.</remarks>
internal static class OwnershipCodec
{
    public static byte[] Encode(Ownership ownership, byte format = Image.ImageFormat.Version)
    {
        var to = new EncodedWriter();
        to.Byte((byte)ownership.State);
        to.Varint((uint)ownership.Weight);
        to.Varint(ownership.Group.Value);
        to.Varint((uint)ownership.LastLineage);
        to.Varint((uint)ownership.OutgoingByBegin.Count);
        foreach (var move in ownership.Outgoing)
        {
            Write(to, move);
        }

        to.Varint((uint)ownership.IncomingById.Count);
        foreach (var move in ownership.Incoming)
        {
            Write(to, move);
        }

        to.Varint((uint)ownership.Floors.Count);
        foreach (var (source, floor) in ownership.Floors)
        {
            to.Varint(source);
            to.Varint(floor.Value);
        }

        WritePurge(to, ownership.Purge);
        var departures = ownership.Departures.OrderBy(d => d.Key).GroupBy(d => d.Value, d => new Slot(d.Key)).ToArray();
        to.Varint((uint)departures.Length);
        foreach (var departure in departures)
        {
            to.Varint(departure.Key.Epoch.Value);
            to.Varint((uint)departure.Key.Shard.Value);
            to.Varint(departure.Key.Group.Value);
            to.Varint(departure.Key.FrozenAt.Value);
            to.Set(SlotSet.Of(departure));
        }

        var lineages = ownership.Lineages.GroupBy(l => l.Value, l => new Slot(l.Key)).OrderBy(g => g.Key).ToArray();
        to.Varint((uint)lineages.Length);
        foreach (var lineage in lineages)
        {
            to.Varint((uint)lineage.Key);
            to.Set(SlotSet.Of(lineage));
        }

        if (format > 3)
        {
            WriteMode(to, ownership);
        }

        return to.ToArray();
    }

    /// <summary>Reads what <see cref="Encode"/> wrote, over the epochs of the slots, into an image of this format.</summary>
    public static Ownership Decode(ReadOnlyMemory<byte> bytes, SlotEpochs slots, byte format)
    {
        var reader = new EncodedReader<Image.MalformedImageException>(bytes);
        var state = (ShardState)reader.Byte();
        reader.Require(state is >= ShardState.Joining and <= ShardState.Retired, "there is no such state of a shard");
        var ownership = new Ownership(slots)
        {
            State = state,
            Weight = reader.Int32(1, Ring.MaxWeight),
            Group = new GroupId(reader.Varint(ulong.MaxValue)),
            LastLineage = reader.Int32(0, int.MaxValue),
        };
        for (var count = reader.Int32(0, Ownership.MaxMoves); count > 0; count--)
        {
            var move = ReadOutgoing(ref reader);
            reader.Require(ownership.OutgoingByBegin.TryAdd(move.Begin, move), "two moves have one beginning");
        }

        for (var count = reader.Int32(0, Ownership.MaxMoves); count > 0; count--)
        {
            var move = ReadIncoming(ref reader);
            reader.Require(ownership.IncomingById.TryAdd(move.Id, move), "two moves have one id");
        }

        for (var count = reader.Int32(0, int.MaxValue); count > 0; count--)
        {
            reader.Require(ownership.Floors.TryAdd(reader.Varint(ulong.MaxValue), reader.Index()), "a source has two floors");
        }

        ReadPurge(ref reader, ownership.Purge);
        for (var count = reader.Int32(0, Slot.Count); count > 0; count--)
        {
            var departure = new Departure(new SlotEpoch((uint)reader.Varint(uint.MaxValue)), new ShardId(reader.Int32(1, int.MaxValue)), new GroupId(reader.Varint(ulong.MaxValue)), reader.Index());
            foreach (var slot in reader.Set().Slots())
            {
                ownership.RestoreDeparture(slot, departure);
            }
        }

        for (var count = reader.Int32(0, Slot.Count); count > 0; count--)
        {
            var lineage = reader.Int32(1, ownership.LastLineage);
            foreach (var slot in reader.Set().Slots())
            {
                ownership.RestoreLineage(slot, lineage);
            }
        }

        if (format > 3)
        {
            ReadMode(ref reader, ownership);
        }

        reader.Require(reader.Remaining == 0, "bytes follow the ownership");
        reader.Require(Encode(ownership, format).AsSpan().SequenceEqual(bytes.Span), "the ownership is not written as such a one is");
        ownership.Recount();
        return ownership;
    }

    private static void Write(EncodedWriter to, OutgoingMove move)
    {
        to.Varint(move.Begin.Value);
        to.Byte((byte)move.Phase);
        to.Varint((uint)move.TargetShard.Value);
        to.Varint(move.Target.Value);
        if (move.Phase is OutgoingPhase.Open or OutgoingPhase.Frozen)
        {
            to.Slots(move.Slots);
        }

        if (move.Phase == OutgoingPhase.Frozen)
        {
            to.Varint(move.FrozenAt.Value);
            to.Varint((ulong)move.FrozenTimeMs);
            Write(to, move.Sessions);
        }
    }

    private static OutgoingMove ReadOutgoing(ref EncodedReader<Image.MalformedImageException> reader)
    {
        var begin = reader.Index();
        var phase = (OutgoingPhase)reader.Byte();
        reader.Require(phase is >= OutgoingPhase.Open and <= OutgoingPhase.Cancelled, "there is no such phase of a move");
        var shard = new ShardId(reader.Int32(1, int.MaxValue));
        var group = new GroupId(reader.Varint(ulong.MaxValue));
        var slots = phase is OutgoingPhase.Open or OutgoingPhase.Frozen ? reader.Slots() : SlotEpochs.Empty;
        var move = new OutgoingMove(begin, shard, group, slots) { Phase = phase };
        if (phase == OutgoingPhase.Frozen)
        {
            move.FrozenAt = reader.Index();
            move.FrozenTimeMs = (long)reader.Varint(long.MaxValue);
            move.Sessions = ReadSessions(ref reader);
        }

        return move;
    }

    private static void Write(EncodedWriter to, IncomingMove move)
    {
        to.Id(move.Id);
        to.Byte((byte)move.Phase);
        to.Varint((uint)move.SourceShard.Value);
        if (move.IsOpen)
        {
            to.Attempt(move.Attempt);
            to.Varint(move.Chunks);
            to.Slots(move.Slots);
            to.Sets(move.Lineages);
            Write(to, move.Sessions);
        }
    }

    private static IncomingMove ReadIncoming(ref EncodedReader<Image.MalformedImageException> reader)
    {
        var id = reader.Id();
        var phase = (IncomingPhase)reader.Byte();
        reader.Require(phase is >= IncomingPhase.Staging and <= IncomingPhase.Aborted, "there is no such phase of a move");
        var move = new IncomingMove(id, new ShardId(reader.Int32(0, int.MaxValue))) { Phase = phase };
        if (move.IsOpen)
        {
            move.Attempt = reader.Attempt();
            move.Chunks = (uint)reader.Varint(uint.MaxValue);
            move.Slots = reader.Slots();
            move.Lineages = reader.Sets();
            move.Sessions.AddRange(ReadSessions(ref reader));
        }

        return move;
    }

    private static void Write(EncodedWriter to, IReadOnlyList<CopiedSession> sessions)
    {
        to.Varint((uint)sessions.Count);
        foreach (var session in sessions)
        {
            Chunk.SessionBody(to, session);
            to.Varint((uint)session.Results.Count);
            foreach (var result in session.Results)
            {
                Chunk.ResultBody(to, in result);
            }
        }
    }

    private static List<CopiedSession> ReadSessions(ref EncodedReader<Image.MalformedImageException> reader)
    {
        var sessions = new List<CopiedSession>();
        for (var count = reader.Int32(0, int.MaxValue); count > 0; count--)
        {
            var session = Chunk.ReadSession(ref reader);
            for (var results = reader.Int32(0, int.MaxValue); results > 0; results--)
            {
                session.Results.Add(Chunk.ReadResult(ref reader));
            }

            sessions.Add(session);
        }

        return sessions;
    }

    private static void WritePurge(EncodedWriter to, PurgeWalk purge)
    {
        to.Varint(purge.Walk);
        to.Set(purge.Pending);
        to.Byte(purge.Walking is null ? (byte)0 : (byte)1);
        if (purge.Walking is not null)
        {
            to.Set(purge.Walking);
            to.Bytes(purge.At);
        }
    }

    private static void ReadPurge(ref EncodedReader<Image.MalformedImageException> reader, PurgeWalk purge)
    {
        purge.Walk = (uint)reader.Varint(uint.MaxValue);
        purge.Pending = reader.Set();
        var walks = reader.Byte();
        reader.Require(walks <= 1, "it is neither walking nor not");
        if (walks == 1)
        {
            purge.Walking = reader.Set();
            purge.At = reader.Bytes().ToArray();
            reader.Require(purge.At.Length > 0, "a walk stands nowhere");
        }
    }

    private static void WriteMode(EncodedWriter to, Ownership ownership)
    {
        to.Byte((byte)ownership.Mode);
        to.Varint((uint)ownership.OutOfSync.Count);
        foreach (var node in ownership.OutOfSync)
        {
            to.Node(node);
        }
    }

    private static void ReadMode(ref EncodedReader<Image.MalformedImageException> reader, Ownership ownership)
    {
        ownership.Mode = (ShardMode)reader.Byte();
        reader.Require(ownership.Mode is ShardMode.Raft or ShardMode.Sync or ShardMode.Chain, "there is no such mode of the log");
        NodeId last = default;
        for (var count = reader.Int32(0, int.MaxValue); count > 0; count--)
        {
            var node = reader.Node();
            reader.Require(last.IsNone || node.CompareTo(last) > 0, "who is out of sync stands out of order");
            ownership.OutOfSync.Add(last = node);
        }
    }
}
