namespace Flotilla.Topology;

/// <summary>One of 16384 slots: <c>CRC16(key or its {hash tag}) mod 16384</c>, as Redis Cluster does.</summary>
public readonly record struct Slot(ushort Value) : IComparable<Slot>
{
    /// <summary>How many slots there are.</summary>
    public const int Count = 16384;

    /// <inheritdoc/>
    public int CompareTo(Slot other) => Value.CompareTo(other.Value);

    /// <inheritdoc/>
    public override string ToString() => Value.ToString();

    /// <summary>The slot of a key; of its first non-empty <c>{hash tag}</c> if it has one.</summary>
    public static Slot Of(ReadOnlySpan<byte> key) => new((ushort)(Crc16.Compute(Hashed(key)) % Count));

    // Only the first '{' counts, and only with a '}' behind it and something between them (Redis Cluster specification,
    // "Hash tags"): "{}x" and "foo{}{bar}" are hashed whole.
    private static ReadOnlySpan<byte> Hashed(ReadOnlySpan<byte> key)
    {
        var open = key.IndexOf((byte)'{');
        if (open < 0)
        {
            return key;
        }

        var tail = key[(open + 1)..];
        var length = tail.IndexOf((byte)'}');
        return length <= 0 ? key : tail[..length];
    }
}

/// <summary>The number of a shard, 1 and up.</summary>
public readonly record struct ShardId(int Value) : IComparable<ShardId>
{
    /// <inheritdoc/>
    public int CompareTo(ShardId other) => Value.CompareTo(other.Value);

    /// <inheritdoc/>
    public override string ToString() => Value.ToString();
}
