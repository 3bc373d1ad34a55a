using Flotilla.Topology.Descriptors;

namespace Flotilla.Topology.Gossip;

/// <summary>
/// All that gossip knows: the descriptors of shards and the records of nodes. Immutable; any thread may read it. Merging keeps
/// the item that stands of each pair (<see cref="ShardItem.Compare"/>, <see cref="NodeItem.Compare"/>), so tables that have
/// heard the same things hold the same, in whatever order and however often they heard them.
/// </summary>
/// <remarks>
/// The items lie in 1024 buckets by the hash of what they speak of, each with the sum of its items' hashes, by which two tables
/// are compared without listing what is in them (<see cref="TableDigest"/>). A merge copies the list of buckets and those that
/// change, and nothing else.
/// </remarks>
public sealed class GossipTable
{
    /// <summary>The most shards that are kept, retired ones included; others are turned away.</summary>
    public const int MaxShards = 16_384;

    /// <summary>The most nodes that are kept, those included that are gone; others are turned away.</summary>
    public const int MaxNodes = 16_384;

    /// <summary>Buckets, as a power of two.</summary>
    internal const int BucketBits = 10;

    private readonly Bucket[] _buckets;

    // Made when first asked for. Two threads may both make them, and make the same.
    private IReadOnlyList<ShardItem>? _shards;
    private IReadOnlyList<NodeItem>? _nodes;
    private IReadOnlyList<ShardId>? _doubled;

    private GossipTable(Bucket[] buckets, int shardCount, int nodeCount)
    {
        _buckets = buckets;
        ShardCount = shardCount;
        NodeCount = nodeCount;
    }

    /// <summary>Knows nothing.</summary>
    public static GossipTable Empty { get; } = new([.. Enumerable.Repeat(new Bucket(0, []), 1 << BucketBits)], 0, 0);

    /// <summary>How many shards there are, retired ones included.</summary>
    public int ShardCount { get; }

    /// <summary>How many nodes there are, those included that are gone.</summary>
    public int NodeCount { get; }

    /// <summary>How many items there are.</summary>
    public int Count => ShardCount + NodeCount;

    /// <summary>Every shard that was ever heard of, by number and group.</summary>
    public IReadOnlyList<ShardItem> Shards => _shards ??= [.. _buckets.SelectMany(b => b.Items).OfType<ShardItem>().OrderBy(s => s.Key)];

    /// <summary>Every node that was ever heard of, by id, those included that are gone.</summary>
    public IReadOnlyList<NodeItem> Nodes => _nodes ??= [.. _buckets.SelectMany(b => b.Items).OfType<NodeItem>().OrderBy(n => n.Record.Node, StringComparer.Ordinal)];

    /// <summary>Shard numbers that more than one group goes by, retired ones aside; in order. Such a shard takes part in no move, and people are told.</summary>
    public IReadOnlyList<ShardId> Doubled => _doubled ??= [.. Shards.Where(s => s.Descriptor.State != ShardState.Retired).GroupBy(s => s.Key.Shard).Where(g => g.Count() > 1).Select(g => g.Key)];

    /// <summary>A shard, or null.</summary>
    public ShardItem? Find(ShardKey key)
    {
        foreach (var item in _buckets[BucketOf(ShardItem.KeyHashOf(key), BucketBits)].Items)
        {
            if (item is ShardItem shard && shard.Key == key)
            {
                return shard;
            }
        }

        return null;
    }

    /// <summary>A node, or null.</summary>
    public NodeItem? FindNode(string node)
    {
        foreach (var item in _buckets[BucketOf(NodeItem.KeyHashOf(node), BucketBits)].Items)
        {
            if (item is NodeItem known && known.Record.Node == node)
            {
                return known;
            }
        }

        return null;
    }

    /// <summary>What is known of the shard or the node of which this speaks; null if nothing.</summary>
    public GossipItem? Find(GossipItem like)
    {
        ArgumentNullException.ThrowIfNull(like);
        return _buckets[BucketOf(like.KeyHash, BucketBits)].Find(like);
    }

    /// <summary>Everything, shards first, each in order.</summary>
    public IEnumerable<GossipItem> Items() => Shards.Concat<GossipItem>(Nodes);

    /// <summary>Both tables hold the same (but for chance, 1 in 2^64 for each bucket).</summary>
    public bool HoldsSameAs(GossipTable other)
    {
        ArgumentNullException.ThrowIfNull(other);
        if (Count != other.Count)
        {
            return false;
        }

        for (var i = 0; i < _buckets.Length; i++)
        {
            if (_buckets[i].Sum != other._buckets[i].Sum)
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>This table and these items.</summary>
    /// <param name="items">In any order; none is fine.</param>
    /// <param name="changed">Those that this table did not hold and that stand now, in the order in which they came.</param>
    /// <returns>This very table if nothing changed.</returns>
    public GossipTable Merge(IReadOnlyList<GossipItem> items, out IReadOnlyList<GossipItem> changed)
    {
        ArgumentNullException.ThrowIfNull(items);
        Bucket[]? buckets = null;
        var (shardCount, nodeCount) = (ShardCount, NodeCount);
        var taken = new List<GossipItem>();
        foreach (var item in items)
        {
            var place = BucketOf(item.KeyHash, BucketBits);
            var bucket = (buckets ?? _buckets)[place];
            var old = bucket.Find(item);
            var isFull = item is ShardItem ? shardCount >= MaxShards : nodeCount >= MaxNodes;
            if (old is null ? isFull : item.CompareTo(old) <= 0)
            {
                continue;
            }

            buckets ??= _buckets.AsSpan().ToArray();
            buckets[place] = bucket.With(item, old);
            shardCount += old is null && item is ShardItem ? 1 : 0;
            nodeCount += old is null && item is NodeItem ? 1 : 0;
            if (old is not null)
            {
                taken.Remove(old); // If it came with the same message.
            }

            taken.Add(item);
        }

        changed = taken;
        return buckets is null ? this : new GossipTable(buckets, shardCount, nodeCount);
    }

    /// <summary>The sum of the hashes of a bucket's items, when there are 2^<paramref name="bits"/> buckets.</summary>
    internal ulong SumOf(int bucket, int bits)
    {
        var sum = 0UL;
        foreach (var part in PartsOf(bucket, bits))
        {
            sum = unchecked(sum + part.Sum);
        }

        return sum;
    }

    /// <summary>The items of a bucket, when there are 2^<paramref name="bits"/> buckets, in the order in which they came.</summary>
    internal void AddItemsOf(int bucket, int bits, List<GossipItem> to)
    {
        foreach (var part in PartsOf(bucket, bits))
        {
            to.AddRange(part.Items);
        }
    }

    private ReadOnlySpan<Bucket> PartsOf(int bucket, int bits)
    {
        var each = 1 << (BucketBits - bits);
        return _buckets.AsSpan(bucket * each, each);
    }

    private static int BucketOf(ulong keyHash, int bits) => (int)(keyHash >> (64 - bits));

    /// <summary>A few items, no two of the same shard or node, and the sum of their hashes modulo 2^64.</summary>
    private sealed record Bucket(ulong Sum, GossipItem[] Items)
    {
        public GossipItem? Find(GossipItem like)
        {
            foreach (var item in Items)
            {
                if (item.IsOfSame(like))
                {
                    return item;
                }
            }

            return null;
        }

        public Bucket With(GossipItem item, GossipItem? old) =>
            new(unchecked(Sum + item.Hash - (old?.Hash ?? 0)), old is null ? [.. Items, item] : [.. Items.Select(i => ReferenceEquals(i, old) ? item : i)]);
    }
}
