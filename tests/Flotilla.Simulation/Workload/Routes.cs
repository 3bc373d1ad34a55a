using Flotilla.Raft;
using Flotilla.Shards;
using Flotilla.Shards.Handoff;
using Flotilla.Simulation.Nodes;
using Flotilla.Topology;
using Flotilla.Topology.Ownership;

namespace Flotilla.Simulation.Workload;

/// <summary>
/// Which shard a gateway believes to own a slot (docs/handoff.md, "For gateways"): by the view of the node that it lives in, however old,
/// and by the hints that it got since. Of what speaks of a slot the highest epoch counts.
/// </summary>
internal sealed class Routes(World world, Chance chance, int home)
{
    private readonly Dictionary<ushort, MovedHint> _hints = [];
    private OwnershipView? _view;
    private long _nextLookUs;

    /// <summary>The shard to ask for a key.</summary>
    public ShardId Of(ReadOnlySpan<byte> key)
    {
        if (!world.Options.Moves)
        {
            return world.OwnerOf(key);
        }

        if (!world.IsHealing && chance.Hit(world.Options.WrongMaps))
        {
            // Somebody's map is wrong altogether: a shard that never had the slot perhaps.
            world.Count("wrong map");
            return chance.Pick(world.Shards).Shard;
        }

        Look();
        var slot = Slot.Of(key);
        var owner = _view?.OwnerOf(slot)?.Shard ?? world.OwnerOf(key);
        return _hints.TryGetValue(slot.Value, out var hint) && hint.Epoch > (_view?.EpochOf(slot) ?? default) ? hint.Shard : owner;
    }

    /// <summary>The shards to ask for pages that speak of some slots.</summary>
    public IReadOnlyList<ShardId> OwnersOf(SlotSet slots)
    {
        if (!world.Options.Moves)
        {
            return [.. world.Genesis.Shards.Select(s => s.Shard)];
        }

        Look();
        var known = _view?.Shards.Where(d => d.Slots.Slots.Overlaps(slots)).Select(d => d.Shard) ?? world.Genesis.Shards.Select(s => s.Shard);
        return [.. known.Distinct()];
    }

    // While its node is down the gateway's process goes on with what it knew, or finds another node.
    private void Look()
    {
        if (world.Scheduler.NowUs < _nextLookUs && !world.IsHealing)
        {
            return;
        }

        var node = world.Nodes[home % world.Nodes.Count];
        node = node.Up || chance.Hit(0.5) ? node : chance.Pick(world.Nodes);
        _view = node.Topology?.View ?? _view;
        _nextLookUs = world.Options.OldMaps && !world.IsHealing ? world.Scheduler.NowUs + chance.Between(50_000, 3_000_000) : 0;
    }

    /// <summary>A shard said that a slot has gone elsewhere. Now and then nobody listens, and the routes are followed until they are newer.</summary>
    public void Learn(ReadOnlySpan<byte> key, MovedHint hint)
    {
        var slot = Slot.Of(key).Value;
        if (chance.Hit(0.7) && (!_hints.TryGetValue(slot, out var known) || hint.Epoch > known.Epoch))
        {
            _hints[slot] = hint;
        }
    }

    /// <summary>The group of a shard.</summary>
    public GroupId GroupOf(ShardId shard) => world.Shards.Find(s => s.Shard == shard)!.Group;
}
