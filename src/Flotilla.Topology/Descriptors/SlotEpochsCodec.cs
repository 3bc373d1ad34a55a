using Flotilla.Topology.Sealing;

namespace Flotilla.Topology.Descriptors;

/// <summary>
/// Slots with their epochs as bytes. First the slots: form 0 none, 1 as runs (count, then for each run the gap since the last
/// one and its length less one), 2 as a bitmap of 2048 bytes. Then the epochs in the order of the slots: the lowest epoch, and
/// what each is above it: form 0 nothing, 1 as runs (above, length less one), 2 one number for each slot. The writer takes
/// the shorter form: at most 2 KiB of slots, and 1 byte of epoch for each slot in practice (5 at the very most).
/// </summary>
internal static class SlotEpochsCodec
{
    private const int BitmapBytes = Slot.Count / 8;

    public static void Write(SealWriter to, SlotEpochs slots)
    {
        if (slots.Count == 0)
        {
            to.Byte(0);
            return;
        }

        WriteSlots(to, slots.Slots);
        WriteEpochs(to, slots);
    }

    public static SlotEpochs Read(ref SealReader from)
    {
        SlotSet slots;
        switch (from.Byte())
        {
            case 0:
                return SlotEpochs.Empty;
            case 1:
                slots = ReadRuns(ref from);
                break;
            case 2:
                slots = ReadBitmap(from.Take(BitmapBytes));
                break;
            default:
                from.Fail("the slots have no known form");
                return SlotEpochs.Empty;
        }

        from.Require(!slots.IsEmpty, "there are epochs without slots");
        var epochs = from.Problem is null ? ReadEpochs(ref from, slots.Count) : [];
        return from.Problem is null ? SlotEpochs.OfEach(slots, epochs) : SlotEpochs.Empty;
    }

    private static void WriteSlots(SealWriter to, SlotSet slots)
    {
        var runs = new SealWriter();
        var ranges = slots.Ranges();
        runs.Varint((uint)ranges.Count);
        var next = 0;
        foreach (var range in ranges)
        {
            runs.Varint((uint)(range.First.Value - next));
            runs.Varint((uint)(range.Count - 1));
            next = range.Last.Value + 1;
        }

        if (runs.Length <= BitmapBytes)
        {
            to.Byte(1);
            to.Raw(runs.Written);
            return;
        }

        Span<byte> bitmap = stackalloc byte[BitmapBytes];
        bitmap.Clear();
        foreach (var slot in slots.Slots())
        {
            bitmap[slot.Value >> 3] |= (byte)(1 << (slot.Value & 7));
        }

        to.Byte(2);
        to.Raw(bitmap);
    }

    private static SlotSet ReadRuns(ref SealReader from)
    {
        var ranges = new SlotRange[from.Count(Slot.Count / 2, minBytes: 2)];
        var next = 0UL;
        for (var i = 0; i < ranges.Length; i++)
        {
            var first = next + from.Varint(Slot.Count);
            next = first + from.Varint(Slot.Count) + 1;
            if (!from.Require(next <= Slot.Count, "there is no such slot"))
            {
                return SlotSet.Empty;
            }

            ranges[i] = SlotRange.Of((int)first, (int)next - 1);
        }

        return SlotSet.Of(ranges);
    }

    private static SlotSet ReadBitmap(ReadOnlySpan<byte> bitmap)
    {
        var slots = new List<Slot>();
        for (var i = 0; i < bitmap.Length * 8; i++)
        {
            if ((bitmap[i >> 3] >> (i & 7) & 1) != 0)
            {
                slots.Add(new Slot((ushort)i));
            }
        }

        return SlotSet.Of(slots);
    }

    private static void WriteEpochs(SealWriter to, SlotEpochs slots)
    {
        var lowest = slots.Entries().Min(e => e.Epoch).Value;
        to.Varint(lowest);
        if (slots.IsUniform)
        {
            to.Byte(0);
            return;
        }

        var runs = new SealWriter();
        var each = new SealWriter();
        var (above, length) = (0u, 0u);
        foreach (var (_, epoch) in slots.Entries())
        {
            each.Varint(epoch.Value - lowest);
            if (length > 0 && epoch.Value - lowest == above)
            {
                length++;
                continue;
            }

            PutRun(runs, above, length);
            (above, length) = (epoch.Value - lowest, 1);
        }

        PutRun(runs, above, length);
        to.Byte((byte)(runs.Length <= each.Length ? 1 : 2));
        to.Raw(runs.Length <= each.Length ? runs.Written : each.Written);
    }

    private static void PutRun(SealWriter runs, uint above, uint length)
    {
        if (length > 0)
        {
            runs.Varint(above);
            runs.Varint(length - 1);
        }
    }

    private static uint[] ReadEpochs(ref SealReader from, int slots)
    {
        var lowest = (uint)from.Varint(uint.MaxValue);
        from.Require(lowest > 0, "a slot is owned under no epoch");
        var form = from.Byte();
        from.Require(form <= 2, "the epochs have no known form");
        if (form == 0)
        {
            return [lowest];
        }

        var epochs = new uint[slots];
        for (var i = 0; i < slots && from.Problem is null;)
        {
            var epoch = lowest + (uint)from.Varint(uint.MaxValue - lowest);
            var run = form == 1 ? (int)from.Varint(Slot.Count) + 1 : 1;
            if (from.Require(run <= slots - i, "there are more epochs than slots"))
            {
                epochs.AsSpan(i, run).Fill(epoch);
                i += run;
            }
        }

        return epochs;
    }
}
