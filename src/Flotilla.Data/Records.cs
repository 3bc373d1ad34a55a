namespace Flotilla.Data;

/// <summary>
/// The version of a record (DESIGN section 7): opaque to clients, ordered, never repeated, so that an ETag is safe for
/// compare-and-swap for ever. In log modes <paramref name="Counter"/> is the log index and a sub-index would be the
/// command's place in its entry: see <see cref="Sub"/>.
/// </summary>
/// <param name="SlotEpoch">Grows by one at each handoff of the key's slot.</param>
/// <param name="ModeEpoch">Grows at each change of the replication mode's family.</param>
/// <param name="Counter">Log index, or the coordinator's counter in register modes.</param>
/// <param name="Sub">In log modes the command's place in its entry; in register modes the coordinator's number and boot.</param>
public readonly record struct Version(uint SlotEpoch, uint ModeEpoch, ulong Counter, ulong Sub) : IComparable<Version>
{
    /// <summary>Below every version that a record can have.</summary>
    public static Version None => default;

    /// <summary>True for <see cref="None"/>.</summary>
    public bool IsNone => this == default;

    /// <inheritdoc/>
    public int CompareTo(Version other)
    {
        var c = SlotEpoch.CompareTo(other.SlotEpoch);
        if (c == 0)
        {
            c = ModeEpoch.CompareTo(other.ModeEpoch);
        }

        if (c == 0)
        {
            c = Counter.CompareTo(other.Counter);
        }

        return c == 0 ? Sub.CompareTo(other.Sub) : c;
    }

    /// <summary>The short text that clients see, for example <c>1.0.42.3</c>.</summary>
    public override string ToString() => $"{SlotEpoch}.{ModeEpoch}.{Counter}.{Sub}";

    /// <summary>Reads what <see cref="ToString"/> wrote. False for anything else.</summary>
    public static bool TryParse(ReadOnlySpan<char> text, out Version version)
    {
        version = default;
        Span<Range> parts = stackalloc Range[5];
        if (text.Split(parts, '.') != 4
            || !TryNumber(text[parts[0]], uint.MaxValue, out var slotEpoch)
            || !TryNumber(text[parts[1]], uint.MaxValue, out var modeEpoch)
            || !TryNumber(text[parts[2]], ulong.MaxValue, out var counter)
            || !TryNumber(text[parts[3]], ulong.MaxValue, out var sub))
        {
            return false;
        }

        version = new Version((uint)slotEpoch, (uint)modeEpoch, counter, sub);
        return true;
    }

    // Stricter than ulong.TryParse, which takes leading zeros and trailing NULs: two texts must never name one version,
    // since clients compare the text.
    private static bool TryNumber(ReadOnlySpan<char> text, ulong max, out ulong value)
    {
        value = 0;
        return !text.IsEmpty
            && !text.ContainsAnyExceptInRange('0', '9')
            && (text.Length == 1 || text[0] != '0')
            && ulong.TryParse(text, System.Globalization.NumberStyles.None, null, out value)
            && value <= max;
    }
}

/// <summary>
/// One record as a store hands it out. The memory belongs to the store and must not be written to. From a snapshot it stays
/// as it is as long as the caller holds it; from a live store only until the next change, which may move or reuse the bytes.
/// </summary>
/// <param name="Key">The key's bytes; keys are ordered bytewise.</param>
/// <param name="Value">The value's bytes.</param>
/// <param name="Version">Which write this is.</param>
/// <param name="ExpiresAtMs">Log time at which the record is gone, in milliseconds since the Unix epoch; 0 for never.</param>
public readonly record struct Record(ReadOnlyMemory<byte> Key, ReadOnlyMemory<byte> Value, Version Version, long ExpiresAtMs);
