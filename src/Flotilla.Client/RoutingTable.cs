using System.Collections.Immutable;
using Flotilla.Contracts;
using Flotilla.Contracts.Http;

namespace Flotilla.Client;

/// <summary>
/// Where the leader of each slot's shard listens, as <c>/config</c> and leader hints say. An immutable snapshot: a hint,
/// never an authority, since a node that does not lead says so.
/// </summary>
internal sealed class RoutingTable
{
    private readonly int[] _shardOfSlot;
    private readonly ImmutableDictionary<int, (HostPort Leader, ulong Term)> _leaders;
    private readonly ImmutableDictionary<int, HostPort> _hints; // by slot

    private RoutingTable(int[] shardOfSlot, ImmutableDictionary<int, (HostPort Leader, ulong Term)> leaders, ImmutableDictionary<int, HostPort> hints, ImmutableArray<HostPort> nodes)
    {
        _shardOfSlot = shardOfSlot;
        _leaders = leaders;
        _hints = hints;
        Nodes = nodes;
    }

    /// <summary>Knows nothing.</summary>
    public static RoutingTable Empty { get; } = new([], ImmutableDictionary<int, (HostPort, ulong)>.Empty, ImmutableDictionary<int, HostPort>.Empty, []);

    /// <summary>The HTTP addresses of all nodes known.</summary>
    public ImmutableArray<HostPort> Nodes { get; }

    /// <summary>Nothing is known yet.</summary>
    public bool IsEmpty => _shardOfSlot.Length == 0;

    /// <summary>The shard of a slot, or 0 while unknown.</summary>
    public int ShardOf(int slot) => _shardOfSlot.Length == 0 ? 0 : _shardOfSlot[slot];

    /// <summary>Where the slot's leader listens, as far as known.</summary>
    public HostPort? LeaderOf(int slot) => _hints.TryGetValue(slot, out var hinted) ? hinted : _leaders.TryGetValue(ShardOf(slot), out var leader) ? leader.Leader : null;

    /// <summary>With what a node answered to <c>/config</c>. A leader of an older term than a known one is not believed.</summary>
    public RoutingTable With(ConfigDocument config)
    {
        var shardOfSlot = new int[KeySlot.Count];
        var leaders = _leaders;
        var http = config.Nodes.Where(n => n.Http is not null).ToDictionary(n => n.Id, n => n.Http!, StringComparer.Ordinal);
        foreach (var shard in config.Shards)
        {
            foreach (var range in shard.Ranges.Where(r => r.Length == 2))
            {
                for (var slot = Math.Max(0, range[0]); slot <= Math.Min(range[1], KeySlot.Count - 1); slot++)
                {
                    shardOfSlot[slot] = shard.Id;
                }
            }

            if (shard.Leader is not null && http.TryGetValue(shard.Leader, out var address) && HostPort.TryParse(address, out var leader, out _)
                && (!leaders.TryGetValue(shard.Id, out var known) || shard.Term >= known.Term))
            {
                leaders = leaders.SetItem(shard.Id, (leader, shard.Term));
            }
        }

        var nodes = config.Nodes.Select(n => HostPort.TryParse(n.Http, out var address, out _) ? address : (HostPort?)null)
            .OfType<HostPort>().ToImmutableArray();
        // A hint stands for as long as what it corrected is said again.
        var hints = _hints.RemoveRange(_hints.Keys.Where(slot => shardOfSlot[slot] != ShardOf(slot) || !leaders.TryGetValue(shardOfSlot[slot], out var now) || !_leaders.TryGetValue(ShardOf(slot), out var then) || now != then));
        return new RoutingTable(shardOfSlot, leaders, hints, nodes);
    }

    /// <summary>
    /// With the hint of a 409 about one slot. It counts for that slot alone, until <c>/config</c> says something new of it: another leader of
    /// the shard looks the same as another shard that got the slot.
    /// </summary>
    public RoutingTable With(int slot, HostPort leader) => IsEmpty ? this : new RoutingTable(_shardOfSlot, _leaders, _hints.SetItem(slot, leader), Nodes);
}
