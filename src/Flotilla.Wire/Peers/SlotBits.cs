using Flotilla.Topology;
using Google.Protobuf;

namespace Flotilla.Wire.Peers;

/// <summary>A set of slots as 2 KiB, one bit for each, or nothing for none.</summary>
internal static class SlotBits
{
    private const int Bytes = Slot.Count / 8;

    public static ByteString Of(SlotSet? slots)
    {
        if (slots is null || slots.IsEmpty)
        {
            return ByteString.Empty;
        }

        var bits = new byte[Bytes];
        foreach (var slot in slots.Slots())
        {
            bits[slot.Value >> 3] |= (byte)(1 << (slot.Value & 7));
        }

        return UnsafeByteOperations.UnsafeWrap(bits);
    }

    public static SlotSet Read(ByteString bits)
    {
        Check.That(bits.Length is 0 or Bytes, "a page does not say of which slots it speaks");
        return bits.IsEmpty ? SlotSet.Empty : SlotSet.Where(slot => (bits.Span[slot.Value >> 3] & (1 << (slot.Value & 7))) != 0);
    }
}
