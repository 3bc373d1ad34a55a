using System.Numerics;
using System.Text;

namespace Flotilla.Topology;

/// <summary>
/// A set of slots: one bit for each, 2 KiB whatever is in it. Immutable, compared by what it holds; any thread may use it.
/// </summary>
public sealed class SlotSet : IEquatable<SlotSet>
{
    private const int Words = Slot.Count / 64;

    private readonly ulong[] _bits;

    // By word, how many slots come before it. Made when first asked for: two threads may both make it, and make the same.
    private ushort[]? _below;

    private SlotSet(ulong[] bits)
    {
        _bits = bits;
        var count = 0;
        foreach (var word in bits)
        {
            count += BitOperations.PopCount(word);
        }

        Count = count;
    }

    /// <summary>No slot.</summary>
    public static SlotSet Empty { get; } = new(new ulong[Words]);

    /// <summary>Every slot.</summary>
    public static SlotSet All { get; } = new([.. Enumerable.Repeat(ulong.MaxValue, Words)]);

    /// <summary>How many slots it has.</summary>
    public int Count { get; }

    /// <summary>It has none.</summary>
    public bool IsEmpty => Count == 0;

    /// <summary>The lowest slot. Must not be called on an empty set.</summary>
    public Slot Lowest
    {
        get
        {
            for (var i = 0; i < Words; i++)
            {
                if (_bits[i] != 0)
                {
                    return new Slot((ushort)((i * 64) + BitOperations.TrailingZeroCount(_bits[i])));
                }
            }

            throw new InvalidOperationException("An empty set has no lowest slot.");
        }
    }

    /// <summary>These slots; one that comes twice counts once.</summary>
    public static SlotSet Of(IEnumerable<Slot> slots)
    {
        ArgumentNullException.ThrowIfNull(slots);
        var bits = new ulong[Words];
        foreach (var slot in slots)
        {
            ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((int)slot.Value, Slot.Count, nameof(slots));
            bits[slot.Value >> 6] |= 1UL << (slot.Value & 63);
        }

        return new SlotSet(bits);
    }

    /// <summary>The slots of these ranges, which may overlap and come in any order.</summary>
    public static SlotSet Of(IEnumerable<SlotRange> ranges)
    {
        ArgumentNullException.ThrowIfNull(ranges);
        var bits = new ulong[Words];
        foreach (var range in ranges)
        {
            ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((int)range.Last.Value, Slot.Count, nameof(ranges));
            for (var slot = (int)range.First.Value; slot <= range.Last.Value; slot++)
            {
                bits[slot >> 6] |= 1UL << (slot & 63);
            }
        }

        return new SlotSet(bits);
    }

    /// <summary>The slots for which <paramref name="isIn"/> holds; it is asked for each once, in order.</summary>
    public static SlotSet Where(Func<Slot, bool> isIn)
    {
        ArgumentNullException.ThrowIfNull(isIn);
        var bits = new ulong[Words];
        for (var i = 0; i < Slot.Count; i++)
        {
            if (isIn(new Slot((ushort)i)))
            {
                bits[i >> 6] |= 1UL << (i & 63);
            }
        }

        return new SlotSet(bits);
    }

    /// <summary>All slots as one set for each value that <paramref name="of"/> gives for one of them; it is asked for each once, in order.</summary>
    internal static Dictionary<T, SlotSet> By<T>(Func<Slot, T> of)
        where T : notnull
    {
        var bits = new Dictionary<T, ulong[]>();
        for (var i = 0; i < Slot.Count; i++)
        {
            var value = of(new Slot((ushort)i));
            if (!bits.TryGetValue(value, out var words))
            {
                bits[value] = words = new ulong[Words];
            }

            words[i >> 6] |= 1UL << (i & 63);
        }

        return bits.ToDictionary(static pair => pair.Key, static pair => new SlotSet(pair.Value));
    }

    /// <summary>Whether the slot is in it.</summary>
    public bool Contains(Slot slot) => slot.Value < Slot.Count && (_bits[slot.Value >> 6] & (1UL << (slot.Value & 63))) != 0;

    /// <summary>How many of its slots come before <paramref name="slot"/>: the place of that slot in <see cref="Slots"/>, if it is in the set. O(1).</summary>
    public int CountBelow(Slot slot)
    {
        var word = slot.Value >> 6;
        return word >= Words ? Count : (_below ??= MakeBelow())[word] + BitOperations.PopCount(_bits[word] & ((1UL << (slot.Value & 63)) - 1));
    }

    /// <summary>The slots of both.</summary>
    public SlotSet Union(SlotSet other)
    {
        ArgumentNullException.ThrowIfNull(other);
        return other.IsEmpty ? this : IsEmpty ? other : Combine(other, static (a, b) => a | b);
    }

    /// <summary>The slots of this that are not in the other.</summary>
    public SlotSet Except(SlotSet other)
    {
        ArgumentNullException.ThrowIfNull(other);
        return other.IsEmpty || IsEmpty ? this : Combine(other, static (a, b) => a & ~b);
    }

    /// <summary>The slots that both have.</summary>
    public SlotSet Intersect(SlotSet other)
    {
        ArgumentNullException.ThrowIfNull(other);
        return IsEmpty ? this : other.IsEmpty ? other : Combine(other, static (a, b) => a & b);
    }

    /// <summary>Some slot is in both.</summary>
    public bool Overlaps(SlotSet other)
    {
        ArgumentNullException.ThrowIfNull(other);
        for (var i = 0; i < Words; i++)
        {
            if ((_bits[i] & other._bits[i]) != 0)
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>Every slot of this is in the other too.</summary>
    public bool IsSubsetOf(SlotSet other)
    {
        ArgumentNullException.ThrowIfNull(other);
        for (var i = 0; i < Words; i++)
        {
            if ((_bits[i] & ~other._bits[i]) != 0)
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>The lowest <paramref name="count"/> slots, or all if it has no more: a batch of a larger move.</summary>
    public SlotSet Take(int count) => count >= Count ? this : Of(Slots().Take(Math.Max(0, count)));

    /// <summary>The slots, in order. A loop over them allocates nothing.</summary>
    public SlotSequence Slots() => new(_bits);

    /// <summary>The slots as the fewest ranges, in order.</summary>
    public IReadOnlyList<SlotRange> Ranges()
    {
        var ranges = new List<SlotRange>();
        foreach (var slot in Slots())
        {
            if (ranges.Count > 0 && ranges[^1].Last.Value == slot.Value - 1)
            {
                ranges[^1] = ranges[^1] with { Last = slot };
            }
            else
            {
                ranges.Add(new SlotRange(slot, slot));
            }
        }

        return ranges;
    }

    /// <inheritdoc/>
    public bool Equals(SlotSet? other) => other is not null && _bits.AsSpan().SequenceEqual(other._bits);

    /// <inheritdoc/>
    public override bool Equals(object? obj) => Equals(obj as SlotSet);

    /// <inheritdoc/>
    public override int GetHashCode()
    {
        var hash = 0UL;
        foreach (var word in _bits)
        {
            hash = BitOperations.RotateLeft(hash, 5) ^ (word * 0x9E3779B97F4A7C15UL);
        }

        return (int)(hash ^ (hash >> 32));
    }

    /// <summary>The ranges with spaces between them; how many slots there are if that would be long.</summary>
    public override string ToString()
    {
        var ranges = Ranges();
        if (ranges.Count > 16)
        {
            return $"{Count} slots in {ranges.Count} ranges";
        }

        var text = new StringBuilder();
        foreach (var range in ranges)
        {
            text.Append(text.Length == 0 ? "" : " ").Append(range);
        }

        return text.Length == 0 ? "no slots" : text.ToString();
    }

    private SlotSet Combine(SlotSet other, Func<ulong, ulong, ulong> of)
    {
        var bits = new ulong[Words];
        for (var i = 0; i < Words; i++)
        {
            bits[i] = of(_bits[i], other._bits[i]);
        }

        return new SlotSet(bits);
    }

    private ushort[] MakeBelow()
    {
        var below = new ushort[Words];
        var count = 0;
        for (var i = 0; i < Words; i++)
        {
            below[i] = (ushort)count;
            count += BitOperations.PopCount(_bits[i]);
        }

        return below;
    }
}
