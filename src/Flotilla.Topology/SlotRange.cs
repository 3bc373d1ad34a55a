namespace Flotilla.Topology;

/// <summary>Neighbouring slots, both ends included. <paramref name="First"/> is not above <paramref name="Last"/>.</summary>
public readonly record struct SlotRange(Slot First, Slot Last)
{
    /// <summary>How many slots it has, at least 1.</summary>
    public int Count => Last.Value - First.Value + 1;

    /// <summary>The slots from <paramref name="first"/> to <paramref name="last"/>.</summary>
    /// <exception cref="ArgumentOutOfRangeException">There is no such slot, or the range ends before it begins.</exception>
    public static SlotRange Of(int first, int last)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(first);
        ArgumentOutOfRangeException.ThrowIfLessThan(last, first);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(last, Slot.Count);
        return new SlotRange(new Slot((ushort)first), new Slot((ushort)last));
    }

    /// <summary>Whether the slot is in it.</summary>
    public bool Contains(Slot slot) => slot.Value >= First.Value && slot.Value <= Last.Value;

    /// <inheritdoc/>
    public override string ToString() => First == Last ? $"{First}" : $"{First}-{Last}";
}
