namespace Flotilla.Topology.Gossip;

/// <summary>One thing that gossip spreads: sealed bytes and what they say. Immutable.</summary>
public abstract class GossipItem
{
    private readonly byte[] _bytes;

    private protected GossipItem(byte[] bytes, ulong keyHash)
    {
        _bytes = bytes;
        KeyHash = keyHash;
        var hash = new StableHash(keyHash);
        hash.Add(bytes);
        Hash = hash.Value;
    }

    /// <summary>The sealed bytes.</summary>
    public ReadOnlyMemory<byte> Bytes => _bytes;

    /// <summary>Of the bytes: equal for equal items, and for others once in 2^64.</summary>
    internal ulong Hash { get; }

    /// <summary>Of what it speaks of, whatever it says: says in which bucket it lies.</summary>
    internal ulong KeyHash { get; }

    /// <summary>It speaks of the same shard or node.</summary>
    internal abstract bool IsOfSame(GossipItem other);

    /// <summary>Which of two items of the same shard or node stands: the higher one.</summary>
    internal abstract int CompareTo(GossipItem other);

    /// <summary>The bytes are the same.</summary>
    public bool IsSame(GossipItem other)
    {
        ArgumentNullException.ThrowIfNull(other);
        return ReferenceEquals(this, other) || Bytes.Span.SequenceEqual(other.Bytes.Span);
    }
}
