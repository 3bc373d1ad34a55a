namespace Flotilla.Topology;

/// <summary>
/// Counts the handoffs of one slot (DESIGN section 6): whoever owns a slot owns it under an epoch, and the next owner under
/// the epoch after it. Of two claims to a slot the higher epoch is the later one. 0: not owned; the first owner has 1.
/// </summary>
public readonly record struct SlotEpoch(uint Value) : IComparable<SlotEpoch>
{
    /// <summary>Not owned.</summary>
    public static SlotEpoch None => default;

    /// <summary>The epoch of a slot's first owner.</summary>
    public static SlotEpoch First => new(1);

    /// <summary>True for <see cref="None"/>.</summary>
    public bool IsNone => Value == 0;

    /// <summary>The epoch after a handoff. Never wraps: 4 billion handoffs of one slot throw <see cref="OverflowException"/>.</summary>
    public SlotEpoch Next => new(checked(Value + 1));

    /// <inheritdoc/>
    public int CompareTo(SlotEpoch other) => Value.CompareTo(other.Value);

    /// <summary>Ordered by age.</summary>
    public static bool operator <(SlotEpoch a, SlotEpoch b) => a.Value < b.Value;

    /// <summary>Ordered by age.</summary>
    public static bool operator >(SlotEpoch a, SlotEpoch b) => a.Value > b.Value;

    /// <summary>Ordered by age.</summary>
    public static bool operator <=(SlotEpoch a, SlotEpoch b) => a.Value <= b.Value;

    /// <summary>Ordered by age.</summary>
    public static bool operator >=(SlotEpoch a, SlotEpoch b) => a.Value >= b.Value;

    /// <inheritdoc/>
    public override string ToString() => $"e{Value}";
}
