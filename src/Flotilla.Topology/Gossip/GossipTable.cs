using System.Collections.Immutable;
using Flotilla.Topology.Descriptors;

namespace Flotilla.Topology.Gossip;

/// <summary>
/// All that gossip knows: the descriptors of shards and the records of nodes. Immutable; any thread may read it. Merging keeps
/// the item that stands of each pair (<see cref="ShardItem.Compare"/>, <see cref="NodeItem.Compare"/>), so tables that have
/// heard the same things hold the same, in whatever order and however often they heard them.
/// </summary>
/// <remarks>
/// Beside the items stands a sum of their hashes for each of 1024 buckets, by which two tables are compared without listing
/// what is in them (<see cref="TableDigest"/>). Addition, so that an item is exchanged by one subtraction.
/// </remarks>
public sealed class GossipTable
{
    /// <summary>The most shards that are kept, retired ones included; others are refused.</summary>
    public const int MaxShards = 16_384;

    /// <summary>The most nodes that are kept, those included that are gone; others are refused.</summary>
    public const int MaxNodes = 16_384;

    /// <summary>Buckets, as a power of two.</summary>
    internal const int BucketBits = 10;

    private readonly ulong[] _sums;

    private GossipTable(ImmutableSortedDictionary<ShardKey, ShardItem> shards, ImmutableSortedDictionary<string, NodeItem> nodes, ulong[] sums)
    {
        Shards = shards;
        Nodes = nodes;
        _sums = sums;
    }

    /// <summary>Knows nothing.</summary>
    public static GossipTable Empty { get; } = new(
        ImmutableSortedDictionary<ShardKey, ShardItem>.Empty,
        ImmutableSortedDictionary.Create<string, NodeItem>(StringComparer.Ordinal),
        new ulong[1 << BucketBits]);

    /// <summary>Every shard that was ever heard of, by number and group.</summary>
    public ImmutableSortedDictionary<ShardKey, ShardItem> Shards { get; }

    /// <summary>Every node that was ever heard of, by id, those included that are gone.</summary>
    public ImmutableSortedDictionary<string, NodeItem> Nodes { get; }

    /// <summary>How many items there are.</summary>
    public int Count => Shards.Count + Nodes.Count;

    /// <summary>Shard numbers that more than one group goes by, in order. Such a shard takes part in no move, and people are told.</summary>
    public IReadOnlyList<ShardId> Doubled
    {
        get
        {
            var doubled = new List<ShardId>();
            ShardId last = default;
            foreach (var key in Shards.Keys)
            {
                if (key.Shard == last && (doubled.Count == 0 || doubled[^1] != last))
                {
                    doubled.Add(last);
                }

                last = key.Shard;
            }

            return doubled;
        }
    }

    /// <summary>The sums of the buckets, the finest there are.</summary>
    internal ReadOnlySpan<ulong> Sums => _sums;

    /// <summary>Everything, shards first, each in order.</summary>
    public IEnumerable<GossipItem> Items() => Shards.Values.Cast<GossipItem>().Concat(Nodes.Values);

    /// <summary>The items whose bucket is chosen, when there are 2^<paramref name="bits"/> buckets; shards first, each in order.</summary>
    internal IEnumerable<GossipItem> ItemsIn(int bits, Func<int, bool> isChosen) => Items().Where(item => isChosen(BucketOf(item, bits)));

    /// <summary>The bucket of an item, when there are 2^<paramref name="bits"/>.</summary>
    internal static int BucketOf(GossipItem item, int bits) => (int)(item.KeyHash >> (64 - bits));

    /// <summary>What this table holds of the item's shard or node; null if nothing.</summary>
    public GossipItem? Find(GossipItem like) => like switch
    {
        ShardItem shard => Shards.GetValueOrDefault(shard.Key),
        NodeItem node => Nodes.GetValueOrDefault(node.Record.Node),
        _ => null,
    };

    /// <summary>Both tables hold the same (but for chance, 1 in 2^64 for each bucket).</summary>
    public bool HoldsSameAs(GossipTable other)
    {
        ArgumentNullException.ThrowIfNull(other);
        return Count == other.Count && _sums.AsSpan().SequenceEqual(other._sums);
    }

    /// <summary>This table and these items.</summary>
    /// <param name="items">In any order; none is fine.</param>
    /// <param name="changed">Those that this table did not hold and that stand now, in the order in which they came.</param>
    /// <returns>This very table if nothing changed.</returns>
    public GossipTable Merge(IReadOnlyList<GossipItem> items, out IReadOnlyList<GossipItem> changed)
    {
        ArgumentNullException.ThrowIfNull(items);
        changed = [];
        if (!items.Any(IsNews))
        {
            return this;
        }

        var shards = Shards.ToBuilder();
        var nodes = Nodes.ToBuilder();
        var sums = _sums.AsSpan().ToArray();
        var taken = new List<GossipItem>();
        foreach (var item in items)
        {
            GossipItem? old = null;
            switch (item)
            {
                case ShardItem shard:
                    if (shards.TryGetValue(shard.Key, out var knownShard) ? ShardItem.Compare(shard, knownShard) <= 0 : shards.Count >= MaxShards)
                    {
                        continue;
                    }

                    old = knownShard;
                    shards[shard.Key] = shard;
                    break;
                case NodeItem node:
                    if (nodes.TryGetValue(node.Record.Node, out var knownNode) ? NodeItem.Compare(node, knownNode) <= 0 : nodes.Count >= MaxNodes)
                    {
                        continue;
                    }

                    old = knownNode;
                    nodes[node.Record.Node] = node;
                    break;
                default:
                    continue;
            }

            var bucket = BucketOf(item, BucketBits);
            sums[bucket] = unchecked(sums[bucket] + item.Hash - (old?.Hash ?? 0));
            if (old is not null)
            {
                taken.Remove(old);
            }

            taken.Add(item);
        }

        changed = taken;
        return new GossipTable(shards.ToImmutable(), nodes.ToImmutable(), sums);
    }

    /// <summary>The table would change by this item.</summary>
    private bool IsNews(GossipItem item) => item switch
    {
        ShardItem shard => Shards.TryGetValue(shard.Key, out var known) ? ShardItem.Compare(shard, known) > 0 : Shards.Count < MaxShards,
        NodeItem node => Nodes.TryGetValue(node.Record.Node, out var known) ? NodeItem.Compare(node, known) > 0 : Nodes.Count < MaxNodes,
        _ => false,
    };
}
