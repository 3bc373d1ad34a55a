using Flotilla.Topology;

namespace Flotilla.Node.Cluster;

/// <summary>Slot → shard: an immutable snapshot, published whole.</summary>
internal sealed class RoutingTable
{
    private readonly ShardRoute?[] _bySlot = new ShardRoute?[Slot.Count];
    private readonly Dictionary<ShardId, ShardRoute> _byShard = [];

    /// <summary>A table of these shards.</summary>
    /// <param name="clusterId">The cluster.</param>
    /// <param name="shards">The shards.</param>
    /// <param name="past">Shards that are retired and that this process has met.</param>
    public RoutingTable(ulong clusterId, IEnumerable<ShardRoute> shards, IReadOnlyList<ShardRoute>? past = null)
    {
        ClusterId = clusterId;
        Past = past ?? [];
        Shards = [.. shards.OrderBy(s => s.Shard)];
        foreach (var shard in Shards)
        {
            _byShard[shard.Shard] = shard;
            foreach (var slot in shard.Slots.Slots())
            {
                _bySlot[slot.Value] = shard;
            }
        }
    }

    /// <summary>The table of a process that knows nothing yet.</summary>
    public static RoutingTable Empty { get; } = new(0, []);

    /// <summary>The cluster; 0 while unknown.</summary>
    public ulong ClusterId { get; }

    /// <summary>Every slot has an owner.</summary>
    public bool IsComplete => Array.IndexOf(_bySlot, null) < 0;

    /// <summary>All shards that are not retired, by number.</summary>
    public IReadOnlyList<ShardRoute> Shards { get; }

    /// <summary>The shard of a key; null while none is known to own its slot.</summary>
    public ShardRoute? Of(ReadOnlySpan<byte> key) => _bySlot[Slot.Of(key).Value];

    /// <summary>The shard of a slot; null while none is known to own it.</summary>
    public ShardRoute? Of(Slot slot) => _bySlot[slot.Value];

    /// <summary>The shards that own any of these slots, by number.</summary>
    public IReadOnlyList<ShardRoute> OwnersOf(SlotSet slots) => slots.Count == Slot.Count
        ? [.. Shards.Where(static route => !route.Slots.IsEmpty)]
        : [.. slots.Slots().Select(Of).OfType<ShardRoute>().Distinct().OrderBy(static route => route.Shard)];

    /// <summary>The same shards own the same slots.</summary>
    public bool HoldsSameAs(RoutingTable other) => ClusterId == other.ClusterId && Shards.SequenceEqual(other.Shards) && Past.SequenceEqual(other.Past) && _bySlot.AsSpan().SequenceEqual(other._bySlot);

    /// <summary>A shard by number, or null.</summary>
    public ShardRoute? Of(ShardId shard) => _byShard.GetValueOrDefault(shard);

    /// <summary>Shards that are retired and that this process has met while they lived. Their replicas answer for a while what was asked before: where a slot has gone, and what those who watch lack.</summary>
    public IReadOnlyList<ShardRoute> Past { get; }

    /// <summary>A shard by number, also one that is retired; or null.</summary>
    public ShardRoute? OfAny(ShardId shard) => Of(shard) ?? Past.FirstOrDefault(route => route.Shard == shard);
}
