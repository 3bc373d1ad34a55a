namespace Flotilla.Registers;

/// <summary>The newest that is known of one key: a value, or a tombstone. Equal stamps of one key mean equal items. The memory never changes.</summary>
/// <param name="Key">The key.</param>
/// <param name="Stamp">Which write it is; none if there never was one.</param>
/// <param name="IsGone">A tombstone: deleted, expired, or never written.</param>
/// <param name="Value">The value; empty for a tombstone.</param>
/// <param name="ExpiresAtMs">Wall time at which the value is gone, as the coordinator of the write reckoned it; 0 for never.</param>
public readonly record struct Item(ReadOnlyMemory<byte> Key, Stamp Stamp, bool IsGone, ReadOnlyMemory<byte> Value, long ExpiresAtMs)
{
    /// <summary>A value.</summary>
    public static Item Of(ReadOnlyMemory<byte> key, Stamp stamp, ReadOnlyMemory<byte> value, long expiresAtMs) => new(key, stamp, false, value, expiresAtMs);

    /// <summary>A tombstone.</summary>
    public static Item Gone(ReadOnlyMemory<byte> key, Stamp stamp) => new(key, stamp, true, default, 0);

    /// <summary>What a batch of it costs, about.</summary>
    public int Cost => Key.Length + Value.Length + 32;

    /// <summary>A value that is over by this clock.</summary>
    public bool IsDue(long wallMs) => !IsGone && ExpiresAtMs != 0 && wallMs >= ExpiresAtMs;

    /// <summary>This very write, found to have expired.</summary>
    public Item AsExpired() => Gone(Key, Stamp with { Expired = true });
}

/// <summary>A key and how new it is, without the value.</summary>
public readonly record struct KeyStamp(ReadOnlyMemory<byte> Key, Stamp Stamp);
