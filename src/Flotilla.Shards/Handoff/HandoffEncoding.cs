using System.Buffers.Binary;
using System.Text;
using Flotilla.Raft;
using Flotilla.Topology;

namespace Flotilla.Shards.Handoff;

/// <summary>How ids, attempts and slots are written in the formats of a handoff; <see cref="HandoffCodec"/> says how they look.</summary>
internal static class HandoffEncoding
{
    public static void Id(this EncodedWriter writer, HandoffId id)
    {
        writer.Varint(id.Source.Value);
        writer.Varint(id.Begin.Value);
    }

    public static void Attempt(this EncodedWriter writer, Attempt attempt)
    {
        writer.Varint(attempt.Term.Value);
        writer.Varint(attempt.Number);
    }

    public static void Node(this EncodedWriter writer, NodeId node) => writer.Bytes(Encoding.ASCII.GetBytes(node.Value));

    public static NodeId Node<T>(ref this EncodedReader<T> reader)
        where T : IMalformed
    {
        var id = reader.Bytes().Span;
        reader.Require(!id.IsEmpty && Ascii.IsValid(id), "a node's id is empty, or no ASCII");
        return new NodeId(Encoding.ASCII.GetString(id));
    }

    public static void Set(this EncodedWriter writer, SlotSet set)
    {
        var ranges = set.Ranges();
        writer.Varint((uint)ranges.Count);
        var next = 0;
        foreach (var range in ranges)
        {
            writer.Varint((uint)(range.First.Value - next));
            writer.Varint((uint)range.Count);
            next = range.Last.Value + 1;
        }
    }

    public static void Sets(this EncodedWriter writer, IReadOnlyList<SlotSet> sets)
    {
        writer.Varint((uint)sets.Count);
        foreach (var set in sets)
        {
            writer.Set(set);
        }
    }

    public static void Slots(this EncodedWriter writer, SlotEpochs slots)
    {
        writer.Set(slots.Slots);
        var run = (Epoch: 0u, Count: 0u);
        foreach (var (_, epoch) in slots.Entries())
        {
            if (epoch.Value != run.Epoch && run.Count > 0)
            {
                writer.Varint(run.Epoch);
                writer.Varint(run.Count);
                run.Count = 0;
            }

            run = (epoch.Value, run.Count + 1);
        }

        if (run.Count > 0)
        {
            writer.Varint(run.Epoch);
            writer.Varint(run.Count);
        }
    }

    public static HandoffId Id<T>(this ref EncodedReader<T> reader)
        where T : IMalformed => new(new GroupId(reader.Varint(ulong.MaxValue)), reader.Index());

    public static LogIndex Index<T>(this ref EncodedReader<T> reader)
        where T : IMalformed => new(reader.Varint(ulong.MaxValue));

    public static Attempt Attempt<T>(this ref EncodedReader<T> reader)
        where T : IMalformed => new(new Term(reader.Varint(ulong.MaxValue)), (uint)reader.Varint(uint.MaxValue));

    public static SlotSet Set<T>(this ref EncodedReader<T> reader)
        where T : IMalformed
    {
        var ranges = new List<SlotRange>();
        var next = 0;
        for (var count = reader.Int32(0, (Slot.Count / 2) + 1); count > 0; count--)
        {
            var gap = reader.Int32(next == 0 ? 0 : 1, Slot.Count - 1);
            var length = reader.Int32(1, Slot.Count);
            reader.Require(next + gap + length <= Slot.Count, "there are not so many slots");
            ranges.Add(SlotRange.Of(next + gap, next + gap + length - 1));
            next += gap + length;
        }

        return SlotSet.Of(ranges);
    }

    public static List<SlotSet> Sets<T>(this ref EncodedReader<T> reader)
        where T : IMalformed
    {
        var sets = new List<SlotSet>();
        for (var count = reader.Int32(0, Slot.Count); count > 0; count--)
        {
            sets.Add(reader.Set());
            reader.Require(!sets[^1].IsEmpty, "a set of slots is empty");
        }

        return sets;
    }

    public static SlotEpochs Slots<T>(this ref EncodedReader<T> reader)
        where T : IMalformed
    {
        var set = reader.Set();
        var epochs = new uint[set.Count];
        var (epoch, left) = (0u, 0);
        for (var place = 0; place < epochs.Length; place++)
        {
            if (left == 0)
            {
                var before = epoch;
                epoch = (uint)reader.Varint(uint.MaxValue);
                left = reader.Int32(1, Slot.Count);
                reader.Require(epoch > 0 && epoch != before, "an epoch is 0, or two neighbouring runs are one");
            }

            epochs[place] = epoch;
            left--;
        }

        reader.Require(left == 0, "there are more epochs than slots");
        return SlotEpochs.OfEach(set, epochs);
    }

    public static UInt128 UInt128<T>(this ref EncodedReader<T> reader)
        where T : IMalformed => BinaryPrimitives.ReadUInt128LittleEndian(reader.Take(16).Span);
}
