namespace Flotilla.Topology;

/// <summary>
/// The slots that a shard owns, each under its epoch. Immutable, compared by what it holds; any thread may use it. Takes 2 KiB
/// and, where the epochs differ, 4 bytes for each slot: a node may hold thousands of these. To look a slot up takes the same short time whatever is in it.
/// </summary>
public sealed class SlotEpochs : IEquatable<SlotEpochs>
{
    private readonly uint[] _epochs; // By the slot's place in Slots; a single one if all are equal.

    private SlotEpochs(SlotSet slots, uint[] epochs)
    {
        Slots = slots;
        _epochs = epochs.Length > 1 && !epochs.AsSpan().ContainsAnyExcept(epochs[0]) ? [epochs[0]] : epochs;
    }

    /// <summary>No slot.</summary>
    public static SlotEpochs Empty { get; } = new(SlotSet.Empty, []);

    /// <summary>Which slots are owned.</summary>
    public SlotSet Slots { get; }

    /// <summary>How many slots are owned.</summary>
    public int Count => Slots.Count;

    /// <summary>All slots are owned under the same epoch; so it is if there are none.</summary>
    public bool IsUniform => _epochs.Length <= 1;

    /// <summary>The epoch of a slot; <see cref="SlotEpoch.None"/> if it is not owned.</summary>
    public SlotEpoch this[Slot slot] =>
        !Slots.Contains(slot) ? SlotEpoch.None : At(IsUniform ? 0 : Slots.CountBelow(slot));

    /// <summary>All of these slots under one epoch, 1 or above.</summary>
    public static SlotEpochs Of(SlotSet slots, SlotEpoch epoch)
    {
        ArgumentNullException.ThrowIfNull(slots);
        ArgumentOutOfRangeException.ThrowIfZero(epoch.Value, nameof(epoch));
        return slots.IsEmpty ? Empty : new SlotEpochs(slots, [epoch.Value]);
    }

    /// <summary>From the epoch of every slot, 0 for those that are not owned.</summary>
    /// <param name="bySlot">One number for each of the 16384 slots.</param>
    public static SlotEpochs Of(ReadOnlySpan<uint> bySlot)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(bySlot.Length, Slot.Count, nameof(bySlot));
        var slots = new List<Slot>();
        var epochs = new List<uint>();
        for (var i = 0; i < bySlot.Length; i++)
        {
            if (bySlot[i] != 0)
            {
                slots.Add(new Slot((ushort)i));
                epochs.Add(bySlot[i]);
            }
        }

        return slots.Count == 0 ? Empty : new SlotEpochs(SlotSet.Of(slots), [.. epochs]);
    }

    /// <summary>One epoch for each slot, in order, or a single one for all; each is 1 or above.</summary>
    /// <param name="slots">The slots.</param>
    /// <param name="epochs">The caller's no more.</param>
    public static SlotEpochs OfEach(SlotSet slots, uint[] epochs)
    {
        ArgumentNullException.ThrowIfNull(slots);
        ArgumentNullException.ThrowIfNull(epochs);
        if (slots.IsEmpty)
        {
            return Empty;
        }

        if ((epochs.Length != 1 && epochs.Length != slots.Count) || epochs.AsSpan().Contains(0u))
        {
            throw new ArgumentException($"{epochs.Length} epochs for {slots.Count} slots, or one of them is 0.", nameof(epochs));
        }

        return new SlotEpochs(slots, epochs);
    }

    /// <summary>What <see cref="Runs"/> gives: epochs, and for how many slots each holds, from slot 0 to the last one.</summary>
    /// <exception cref="ArgumentException">They are not 16384 slots in all.</exception>
    public static SlotEpochs OfRuns(IReadOnlyList<(SlotEpoch Epoch, int Count)> runs)
    {
        ArgumentNullException.ThrowIfNull(runs);
        var ranges = new List<SlotRange>();
        var owned = 0;
        var next = 0;
        foreach (var (epoch, count) in runs)
        {
            if (count < 1 || count > Slot.Count - next)
            {
                throw new ArgumentException($"{count} slots from slot {next} on make no run.", nameof(runs));
            }

            if (!epoch.IsNone)
            {
                ranges.Add(SlotRange.Of(next, next + count - 1));
                owned += count;
            }

            next += count;
        }

        if (next != Slot.Count)
        {
            throw new ArgumentException($"The runs end at slot {next}.", nameof(runs));
        }

        var epochs = new uint[owned];
        var at = 0;
        foreach (var (epoch, count) in runs)
        {
            if (!epoch.IsNone)
            {
                epochs.AsSpan(at, count).Fill(epoch.Value);
                at += count;
            }
        }

        return owned == 0 ? Empty : new SlotEpochs(SlotSet.Of(ranges), epochs);
    }

    /// <summary>These and others; of a slot that both have the other's epoch counts.</summary>
    public SlotEpochs With(SlotEpochs others)
    {
        ArgumentNullException.ThrowIfNull(others);
        var slots = Slots.Union(others.Slots);
        return IsUniform && others.IsUniform && !slots.IsEmpty && (Count == 0 || others.Count == 0 || _epochs[0] == others._epochs[0])
            ? new SlotEpochs(slots, Count == 0 ? others._epochs : _epochs)
            : Make(slots, slot => others[slot] is { IsNone: false } other ? other : this[slot]);
    }

    /// <summary>These without some slots.</summary>
    public SlotEpochs Without(SlotSet slots) => PartOf(Slots.Except(slots));

    /// <summary>Those of them that are among some slots.</summary>
    public SlotEpochs Only(SlotSet slots) => PartOf(Slots.Intersect(slots));

    /// <summary>The same slots, each under the epoch after its own. <see cref="OverflowException"/> as of <see cref="SlotEpoch.Next"/>.</summary>
    public SlotEpochs Next() => Count == 0 ? Empty : new SlotEpochs(Slots, Array.ConvertAll(_epochs, static epoch => new SlotEpoch(epoch).Next.Value));

    /// <summary>All 16384 slots as the fewest runs of one epoch, <see cref="SlotEpoch.None"/> for those that are not owned.</summary>
    public IEnumerable<(SlotEpoch Epoch, int Count)> Runs()
    {
        var (epoch, from) = (SlotEpoch.None, 0);
        var next = 0;
        foreach (var (slot, own) in Entries())
        {
            if (slot.Value > next && !epoch.IsNone)
            {
                yield return (epoch, next - from);
                (epoch, from) = (SlotEpoch.None, next);
            }

            if (own != epoch)
            {
                if (slot.Value > from)
                {
                    yield return (epoch, slot.Value - from);
                }

                (epoch, from) = (own, slot.Value);
            }

            next = slot.Value + 1;
        }

        if (next < Slot.Count && !epoch.IsNone)
        {
            yield return (epoch, next - from);
            (epoch, from) = (SlotEpoch.None, next);
        }

        yield return (epoch, Slot.Count - from);
    }

    /// <summary>Slots and epochs, in the order of the slots.</summary>
    public IEnumerable<(Slot Slot, SlotEpoch Epoch)> Entries()
    {
        var place = 0;
        foreach (var slot in Slots.Slots())
        {
            yield return (slot, At(place++));
        }
    }

    /// <summary>The epoch of the slot that has this place in <see cref="Slots"/>.</summary>
    internal SlotEpoch At(int place) => new(IsUniform ? _epochs[0] : _epochs[place]);

    /// <inheritdoc/>
    public bool Equals(SlotEpochs? other) =>
        ReferenceEquals(this, other) || (other is not null && _epochs.AsSpan().SequenceEqual(other._epochs) && Slots.Equals(other.Slots));

    /// <inheritdoc/>
    public override bool Equals(object? obj) => Equals(obj as SlotEpochs);

    /// <inheritdoc/>
    public override int GetHashCode() => Slots.GetHashCode();

    /// <inheritdoc/>
    public override string ToString() =>
        Count == 0 ? "no slots"
        : IsUniform ? $"{Slots} under {new SlotEpoch(_epochs[0])}"
        : $"{Slots} under e{_epochs.Min()} to e{_epochs.Max()}";

    private static SlotEpochs Make(SlotSet slots, Func<Slot, SlotEpoch> epochOf)
    {
        if (slots.IsEmpty)
        {
            return Empty;
        }

        var epochs = new uint[slots.Count];
        var place = 0;
        foreach (var slot in slots.Slots())
        {
            epochs[place++] = epochOf(slot).Value;
        }

        return new SlotEpochs(slots, epochs);
    }

    private SlotEpochs PartOf(SlotSet some) =>
        some.Count == Count ? this
        : IsUniform && !some.IsEmpty ? new SlotEpochs(some, _epochs)
        : Make(some, slot => this[slot]);
}
