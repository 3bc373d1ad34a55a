namespace Flotilla.Topology;

/// <summary>
/// The slots that a shard owns, each under its epoch. Immutable, compared by what it holds; any thread may use it. Takes 2 KiB
/// and, where the epochs differ, 4 bytes for each slot.
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
    internal static SlotEpochs OfEach(SlotSet slots, uint[] epochs) => slots.IsEmpty ? Empty : new SlotEpochs(slots, epochs);

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
    public bool Equals(SlotEpochs? other) => other is not null && _epochs.AsSpan().SequenceEqual(other._epochs) && Slots.Equals(other.Slots);

    /// <inheritdoc/>
    public override bool Equals(object? obj) => Equals(obj as SlotEpochs);

    /// <inheritdoc/>
    public override int GetHashCode() => Slots.GetHashCode();

    /// <inheritdoc/>
    public override string ToString() =>
        Count == 0 ? "no slots"
        : IsUniform ? $"{Slots} under {new SlotEpoch(_epochs[0])}"
        : $"{Slots} under e{_epochs.Min()} to e{_epochs.Max()}";
}
