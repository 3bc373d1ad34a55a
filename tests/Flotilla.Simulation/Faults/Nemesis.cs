using Flotilla.Simulation.Nodes;

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
    private bool _stopped;

    /// <summary>A nemesis that has not begun.</summary>
    public Nemesis(World world)
    {
        _world = world;
        _chance = world.Chance.Fork();
        _nodes = new NodeFaults(world, _chance.Fork(), () => _stopped);
        _links = new LinkFaults(world, _chance.Fork(), () => _stopped);
        _churn = new LeaderChurn(world, _chance.Fork(), () => _stopped);
        Quiet();
        foreach (var (fault, weight) in _nodes.All().Concat(_links.All()).Append((_churn.Begin, 2)).Append((_churn.Depose, 2)))
        {
            // Every third kind sits this run out, so that the others get room.
            for (var i = 0; i < weight && !_chance.Hit(0.33); i++)
            {
                _mix.Add(fault);
            }
        }
    }

    /// <summary>Begins.</summary>
    public void Begin() => _world.Scheduler.After(_chance.Exponential(_world.Options.FaultEveryMs * 1000.0), () =>
    {
        if (_stopped)
        {
            return;
        }

        if (_mix.Count > 0)
        {
            _chance.Pick(_mix)();
        }

        Begin();
    });

    /// <summary>Stops, and mends everything: links, disks, clocks, processes.</summary>
    public void Heal()
    {
        _stopped = true;
        _world.Transcript.Line("healing");
        _world.Network.MendAll();
        _world.Network.Quality.Loss = 0;
        _world.Network.Quality.Duplication = 0;
        _world.Network.Quality.Detour = 0;
        foreach (var node in _world.Nodes)
        {
            node.Timing.Slowness = 1;
            node.Timing.StalledUntilUs = 0;
            node.Clock.SetRate(1);
            node.Continue();
            _world.StartIfDown(node);
        }
    }

    private void Quiet()
    {
        var quality = _world.Network.Quality;
        quality.Loss = _world.Options.Noise;
        quality.Duplication = _world.Options.Noise / 2;
        quality.Detour = _world.Options.Noise;
    }

    /// <summary>One of the nodes that run, or null if none does.</summary>
    internal static SimulatedNode? Running(World world, Chance chance)
    {
        var up = world.Nodes.Where(n => n.Up).ToList();
        return up.Count == 0 ? null : chance.Pick(up);
    }

    /// <summary>The node that leads some shard, or any that runs.</summary>
    internal static SimulatedNode? Leading(World world, Chance chance) =>
        world.LeaderOf(chance.Pick(world.Genesis.Shards).Shard)?.Node ?? Running(world, chance);
}
