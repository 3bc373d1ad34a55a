using System.Buffers.Binary;
using Flotilla.Data;
using Flotilla.Topology;

namespace Flotilla.Registers.Overlays;

/// <summary>
/// What two overlays are compared by: for each slot the sum, modulo 2^64, of a hash of each key with its stamp, so that a change costs
/// the same whatever else is there and the order of changes does not matter; for each group of slots the sum of those. Also which keys are in a slot.
/// </summary>
/// <remarks>
/// A digest is a hint for repair and never a proof: two overlays that differ have equal digests of a slot with a probability of about 2^-64 for each
/// comparison, and what differs is found once anything in the slot changes. What ends an epoch reads the overlays themselves.
/// </remarks>
public sealed class SlotDigests
{
    /// <summary>How many slots make a group.</summary>
    public const int GroupSlots = 128;

    /// <summary>How many groups there are.</summary>
    public const int GroupCount = Slot.Count / GroupSlots;

    private const int SlotBytes = sizeof(ushort);

    private readonly ulong[] _slots = new ulong[Slot.Count];
    private readonly ulong[] _groups = new ulong[GroupCount];
    private readonly BTree _keys = new(); // slot, key
    private byte[] _scratch = [];

    /// <summary>The digests of all groups, as they are now.</summary>
    public IReadOnlyList<ulong> Groups() => [.. _groups];

    /// <summary>The digest of a group.</summary>
    public ulong OfGroup(int group) => _groups[group];

    /// <summary>The digest of a slot.</summary>
    public ulong OfSlot(int slot) => _slots[slot];

    /// <summary>A key's stamp was raised from <paramref name="before"/>, none if it was not there.</summary>
    public void Changed(ReadOnlySpan<byte> key, Stamp before, Stamp after)
    {
        var slot = Slot.Of(key).Value;
        var change = HashOf(key, after);
        if (before.IsNone)
        {
            _keys.Put(Prefixed(slot, key), [], default, 0);
        }
        else
        {
            change -= HashOf(key, before);
        }

        _slots[slot] += change;
        _groups[slot / GroupSlots] += change;
    }

    /// <summary>Keys of a slot in order, from the first behind <paramref name="after"/> (empty: from the first), up to <paramref name="max"/> of them.</summary>
    /// <returns>True if there are no more behind them.</returns>
    public bool Keys(ushort slot, ReadOnlySpan<byte> after, int max, List<ReadOnlyMemory<byte>> into)
    {
        Span<byte> prefix = stackalloc byte[SlotBytes];
        BinaryPrimitives.WriteUInt16BigEndian(prefix, slot);
        var visitor = new Reader(after.ToArray(), max, into);
        _keys.VisitPrefix(prefix, Prefixed(slot, after), ref visitor);
        return !visitor.IsFull;
    }

    private static ulong HashOf(ReadOnlySpan<byte> key, Stamp stamp)
    {
        var hash = new StableHash(0);
        hash.Add(key);
        hash.Add(((ulong)stamp.Version.SlotEpoch << 32) | stamp.Version.ModeEpoch);
        hash.Add(stamp.Version.Counter);
        hash.Add(stamp.Version.Sub);
        hash.Add(stamp.Expired ? 1UL : 0);
        return hash.Value;
    }

    private ReadOnlySpan<byte> Prefixed(ushort slot, ReadOnlySpan<byte> key)
    {
        if (_scratch.Length < SlotBytes + key.Length)
        {
            _scratch = new byte[Math.Max(256, SlotBytes + key.Length)];
        }

        BinaryPrimitives.WriteUInt16BigEndian(_scratch, slot);
        key.CopyTo(_scratch.AsSpan(SlotBytes));
        return _scratch.AsSpan(0, SlotBytes + key.Length);
    }

    private struct Reader(byte[] after, int max, List<ReadOnlyMemory<byte>> into) : IRecordVisitor
    {
        private int _count;

        public bool IsFull { get; private set; }

        public bool Visit(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, Data.Version version, long expiresAtMs)
        {
            var bare = key[SlotBytes..];
            if (after.Length > 0 && bare.SequenceEqual(after))
            {
                return true;
            }

            if (_count >= max)
            {
                IsFull = true;
                return false;
            }

            into.Add(bare.ToArray());
            _count++;
            return true;
        }
    }
}
