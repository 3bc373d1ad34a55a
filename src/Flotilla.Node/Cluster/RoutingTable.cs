using Flotilla.Topology;

namespace Flotilla.Node.Cluster;

/// <summary>Slot → shard: an immutable snapshot, published whole.</summary>
internal sealed class RoutingTable
{
    // By slot a place in _shards, and 1; 0 for none. Not references: they would be four times as large, a large object to the
    // collector, and tables that change many times in a second would end in collections of everything.
    private readonly ushort[] _places = new ushort[Slot.Count];
    private readonly ShardRoute[] _shards;
    private readonly Dictionary<ShardId, ShardRoute> _byShard = [];

    /// <summary>A table of these shards.</summary>
    /// <param name="clusterId">The cluster.</param>
    /// <param name="shards">The shards.</param>
    /// <param name="past">Shards that are retired and that this process has met.</param>
    public RoutingTable(ulong clusterId, IEnumerable<ShardRoute> shards, IReadOnlyList<ShardRoute>? past = null)
    {
        ClusterId = clusterId;
        Past = past ?? [];
        _shards = [.. shards.OrderBy(s => s.Shard)];
        for (var i = 0; i < _shards.Length; i++)
        {
            _byShard[_shards[i].Shard] = _shards[i];
            var place = checked((ushort)(i + 1));
            foreach (var slot in _shards[i].Slots.Slots())
            {
                _places[slot.Value] = place;
            }
        }
    }

    /// <summary>The table of a process that knows nothing yet.</summary>
    public static RoutingTable Empty { get; } = new(0, []);

    /// <summary>The cluster; 0 while unknown.</summary>
    public ulong ClusterId { get; }

    /// <summary>Every slot has an owner.</summary>
    public bool IsComplete => !_places.AsSpan().Contains((ushort)0);

    /// <summary>All shards that are not retired, by number.</summary>
    public IReadOnlyList<ShardRoute> Shards => _shards;

    /// <summary>The shard of a key; null while none is known to own its slot.</summary>
    public ShardRoute? Of(ReadOnlySpan<byte> key) => Of(Slot.Of(key));

    /// <summary>The shard of a slot; null while none is known to own it.</summary>
    public ShardRoute? Of(Slot slot) => _places[slot.Value] is > 0 and var place ? _shards[place - 1] : null;

    /// <summary>The shards that own any of these slots, by number.</summary>
    public IReadOnlyList<ShardRoute> OwnersOf(SlotSet slots) => slots.Count == Slot.Count
        ? [.. Shards.Where(static route => !route.Slots.IsEmpty)]
        : [.. slots.Slots().Select(Of).OfType<ShardRoute>().Distinct().OrderBy(static route => route.Shard)];

    /// <summary>The same shards own the same slots.</summary>
    public bool HoldsSameAs(RoutingTable other) => ClusterId == other.ClusterId && _shards.AsSpan().SequenceEqual(other._shards) && Past.SequenceEqual(other.Past) && _places.AsSpan().SequenceEqual(other._places);

    /// <summary>A shard by number, or null.</summary>
    public ShardRoute? Of(ShardId shard) => _byShard.GetValueOrDefault(shard);

    /// <summary>Shards that are retired and that this process has met while they lived. Their replicas answer for a while what was asked before: where a slot has gone, and what those who watch lack.</summary>
    public IReadOnlyList<ShardRoute> Past { get; }

    /// <summary>A shard by number, also one that is retired; or null.</summary>
    public ShardRoute? OfAny(ShardId shard) => Of(shard) ?? Past.FirstOrDefault(route => route.Shard == shard);
}
