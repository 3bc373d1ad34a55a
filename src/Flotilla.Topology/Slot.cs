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
    public static Slot Of(ReadOnlySpan<byte> key) => throw new NotSupportedException();
}

/// <summary>The number of a shard, 1 and up.</summary>
public readonly record struct ShardId(int Value) : IComparable<ShardId>
{
    /// <inheritdoc/>
    public int CompareTo(ShardId other) => Value.CompareTo(other.Value);

    /// <inheritdoc/>
    public override string ToString() => Value.ToString();
}
