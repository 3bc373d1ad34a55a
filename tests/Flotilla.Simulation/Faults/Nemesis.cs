using Flotilla.Simulation.Moves;
using Flotilla.Simulation.Nodes;
using Flotilla.Testing;

namespace Flotilla.Simulation.Faults;

/// <summary>
/// Breaks things at random until told to stop. Each run has its own mix: a kind of fault that is too common hides others.
/// </summary>
public sealed class Nemesis
{
    private readonly World _world;
    private readonly Chance _chance;
    private readonly List<Action> _mix = [];
    private readonly NodeFaults _nodes;
    private readonly LinkFaults _links;
    private readonly LeaderChurn _churn;
    private readonly Workload.Workload _workload;
    private readonly Operator _operator;
    private bool _stopped;
    private bool _waiting; // for a lasting trouble to end

    /// <summary>A nemesis that has not begun.</summary>
    public Nemesis(World world, Workload.Workload workload, Operator @operator, ShardOperator shards)
    {
        _world = world;
        _workload = workload;
        _operator = @operator;
        _chance = world.Chance.Fork();
        bool Stopped() => _stopped || _waiting;
        _nodes = new NodeFaults(world, _chance.Fork(), Stopped);
        _links = new LinkFaults(world, _chance.Fork(), Stopped, Quiet);
        _churn = new LeaderChurn(world, _chance.Fork(), Stopped);
        var damage = new DiskDamage(world, _chance.Fork(), Stopped);
        var strikes = new ChangeStrikes(world, @operator, _chance.Fork(), Stopped);
        Quiet();
        var members = world.Options.Members;
        (Action, int)[] others = [(_churn.Begin, 2), (_churn.Depose, 2), (@operator.ChangeOfMind, members ? 4 : 0), (damage.Begin, 2), (RestartGateway, 2), (strikes.Begin, members ? 3 : 0)];
        foreach (var (fault, weight) in _nodes.All().Concat(_links.All()).Concat(others))
        {
            // Every third kind sits this run out, so that the others get room.
            for (var i = 0; i < weight && !_chance.Hit(0.33); i++)
            {
                _mix.Add(fault);
            }
        }

        if (world.Options.Moves)
        {
            var moves = new MoveStrikes(world, workload, shards, _chance.Fork(), Stopped);
            _mix.AddRange(Enumerable.Repeat<Action>(moves.Begin, 1 + (_mix.Count / 4)));
            _mix.AddRange(Enumerable.Repeat<Action>(shards.Meddle, _chance.Hit(0.5) ? 0 : 1 + (_mix.Count / 10)));
        }

        // Figure 8 needs leaders that send one old entry at a time, and much churn.
        if (world.Options.Replica.Raft.MaxAppendBytes == 1 && _chance.Hit(0.7))
        {
            _mix.AddRange(Enumerable.Repeat<Action>(_churn.Begin, _mix.Count));
        }
    }

    /// <summary>Begins.</summary>
    public void Begin()
    {
        Next();
        if (_world.Options is { Lasting: true, Wipes: false, Nodes: > 1 })
        {
            var latestUs = (_world.Options.Seconds * 1_000_000L) - (_world.Options.Members ? MemberTrouble.LongestUs : LastingTrouble.LongestUs);
            if (latestUs > 3_000_000)
            {
                _world.Scheduler.At(_chance.Between(2_000_000, latestUs), BeginLastingTrouble);
            }
        }
    }

    private void RestartGateway() => _chance.Pick(_workload.Gateways).Restart();

    private void BeginLastingTrouble()
    {
        _waiting = true;
        _churn.Cease();
        MendAll();
        if (_world.Options.Members)
        {
            MemberTrouble.Begin(_world, _workload, _operator, _chance.Fork(), Over);
        }
        else
        {
            LastingTrouble.Begin(_world, _workload, _chance.Fork(), Over);
        }

        void Over()
        {
            _waiting = false;
            Quiet();
        }
    }

    private void Next() => _world.Scheduler.After(_chance.Exponential(_world.Options.FaultEveryMs * 1000.0), () =>
    {
        if (_stopped)
        {
            return;
        }

        if (_mix.Count > 0 && !_waiting)
        {
            _chance.Pick(_mix)();
        }

        Next();
    });

    /// <summary>Stops, and mends everything: links, disks, clocks, processes.</summary>
    public void Heal()
    {
        _stopped = true;
        _world.Transcript.Line("healing");
        MendAll();
    }

    private void MendAll()
    {
        _world.Network.MendAll();
        _world.Network.Quality.Loss = 0;
        _world.Network.Quality.Duplication = 0;
        _world.Network.Quality.Detour = 0;
        foreach (var node in _world.Nodes)
        {
            node.Timing.Slowness = 1;
            node.Timing.StalledUntilUs = 0;
            node.Disk.Fail(DiskOperation.Sync, 0);
            node.Clock.SetRate(1);
            node.Continue();
            node.SetFull(false);
            _world.StartIfDown(node);
        }
    }

    private void Quiet()
    {
        var quality = _world.Network.Quality;
        quality.Loss = _world.Options.Noise;
        quality.Duplication = _world.Options.Noise / 2;
        quality.Detour = _world.Options.Noise;
        quality.DetourUs = 200_000;
    }

    /// <summary>One of the nodes that run, or null if none does.</summary>
    internal static SimulatedNode? Running(World world, Chance chance)
    {
        var up = world.Nodes.Where(n => n.Up).ToList();
        return up.Count == 0 ? null : chance.Pick(up);
    }

    /// <summary>The node that leads some shard, or any that runs.</summary>
    internal static SimulatedNode? Leading(World world, Chance chance) =>
        world.LeaderOf(chance.Pick(world.Shards).Shard)?.Node ?? Running(world, chance);
}
