using Flotilla.Linearizability;
using Flotilla.Raft;
using Flotilla.Shards;
using Flotilla.Simulation.Nodes;
using Flotilla.Topology;

namespace Flotilla.Simulation.Workload;

/// <summary>All clients of a run, and what they share: keys, history, and a guess at who leads.</summary>
public sealed class Workload
{
    private const int GatewayCount = 2;
    private const int Rushers = 4;
    private readonly World _world;
    private readonly SortedDictionary<ShardId, NodeId> _leaders = [];
    private readonly SimulatedGateway[] _gateways;
    private readonly SimulatedScanner[] _scanners;
    private readonly SimulatedClient[] _rushers;
    private ulong _requests;

    /// <summary>Clients that have not begun.</summary>
    public Workload(World world)
    {
        _world = world;
        Keys = new Keys(world);
        History = new HistoryRecorder(world.Scheduler);
        Clients = [.. Enumerable.Range(1, world.Options.Clients).Select(i => new SimulatedClient(world, this, i, world.Chance.Fork()))];
        _gateways = [.. Enumerable.Range(0, GatewayCount).Select(i => new SimulatedGateway(world, this, i, world.Chance.Fork()))];
        _rushers = [.. Enumerable.Range(world.Options.Clients + 1, world.Options.Moves ? Rushers : 0).Select(i => new SimulatedClient(world, this, i, world.Chance.Fork()))];
        _scanners = [.. Enumerable.Range(0, GatewayCount).Select(i => new SimulatedScanner(world, this, i, world.Chance.Fork()))];
    }

    /// <summary>The clients.</summary>
    public IReadOnlyList<SimulatedClient> Clients { get; }

    /// <summary>The gateways that clients go through.</summary>
    public IReadOnlyList<SimulatedGateway> Gateways => _gateways;

    /// <summary>The keys.</summary>
    public Keys Keys { get; }

    /// <summary>What they asked and learned.</summary>
    public HistoryRecorder History { get; }

    /// <summary>Nobody begins anything new.</summary>
    public bool Stopping { get; set; }

    /// <summary>Nobody begins anything new for a while.</summary>
    public bool Resting { get; set; }

    /// <summary>Starts all clients.</summary>
    public void Begin()
    {
        foreach (var client in Clients)
        {
            client.Next();
        }

        foreach (var scanner in _scanners)
        {
            scanner.Next();
        }

        foreach (var key in Keys.Filling)
        {
            _world.Scheduler.After(_world.Chance.Between(1_000_000, 5_000_000), () => Fill(key));
        }
    }

    /// <summary>
    /// Some slots are about to be frozen: writes to them begin now, so that some are executed at the last moment, and their answers looked for where the
    /// slots are by then.
    /// </summary>
    public void Rush(SlotSet slots)
    {
        var counters = Keys.Counters.Where(k => slots.Contains(Slot.Of(Keys.Bytes(k)))).ToList();
        var registers = Keys.Registers.Where(k => slots.Contains(Slot.Of(Keys.Bytes(k)))).ToList();
        foreach (var rusher in _rushers)
        {
            _world.Scheduler.After(_world.Chance.Exponential(2_000), () => rusher.Rush(counters, registers));
        }
    }

    /// <summary>Values that keys of <see cref="Keys.Filling"/> got for certain.</summary>
    public SortedDictionary<string, string> Filled { get; } = new(StringComparer.Ordinal);

    private void Fill(string key)
    {
        var value = $"fill-{key}-".PadRight((int)_world.Chance.Between(10, 120), '.');
        GatewayOf(0).Carry(new ClientRequest(0, OperationKind.Put, key, value, 0, null, default, false, 0, _world.Scheduler.NowUs), result =>
        {
            if (result?.Code == ResultCode.Ok)
            {
                Filled[key] = value;
            }
        });
    }

    /// <summary>The gateway of a client.</summary>
    public SimulatedGateway GatewayOf(int client) => _gateways[client % GatewayCount];

    /// <summary>A number for a request.</summary>
    public ulong NextRequest() => ++_requests;

    /// <summary>Who is thought to lead, or null.</summary>
    public SimulatedNode? LeaderHint(ShardId shard) => _leaders.TryGetValue(shard, out var leader) ? _world.Nodes.First(n => n.Id == leader) : null;

    /// <summary>An answer came with a hint.</summary>
    public void Learn(ShardId shard, NodeId leader, ResultCode code)
    {
        if (leader.IsNone || code == ResultCode.NoQuorum)
        {
            _leaders.Remove(shard);
        }
        else
        {
            _leaders[shard] = leader;
        }
    }

    /// <summary>A node was not there.</summary>
    public void Forget(ShardId shard, SimulatedNode node)
    {
        if (_leaders.TryGetValue(shard, out var leader) && leader == node.Id)
        {
            _leaders.Remove(shard);
        }
    }
}
