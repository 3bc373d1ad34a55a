using Flotilla.Simulation.Nodes;

namespace Flotilla.Simulation.Faults;

/// <summary>
/// For some elections in a row, whoever wins is stopped or cut off within milliseconds, while it replicates what it found:
/// the way to the schedules of the Raft paper's figure 8 (hazard 1), which independent faults hardly ever compose.
/// </summary>
internal sealed class LeaderChurn
{
    private readonly World _world;
    private readonly Chance _chance;
    private readonly Func<bool> _stopped;
    private int _left;
    private double _patienceUs;

    public LeaderChurn(World world, Chance chance, Func<bool> stopped)
    {
        _world = world;
        _chance = chance;
        _stopped = stopped;
        world.LeaderElected = Elected;
    }

    public void Begin()
    {
        _world.Count("leader churn");
        _left = (int)_chance.Between(3, 16);
        _patienceUs = _chance.Between(500, 6_000);
        if (Nemesis.Leading(_world, _chance) is { } leader)
        {
            Strike(leader);
        }
    }

    /// <summary>Leaves leaders alone.</summary>
    public void Cease() => _left = 0;

    /// <summary>Cuts off a leader that serves, while the others are told that it is dead: for some 300 ms there are two who believe that they lead.</summary>
    public void Depose()
    {
        _world.Count("deposed leader");
        _left = 0;
        if (Nemesis.Leading(_world, _chance) is { } leader)
        {
            Isolate(leader);
            SpreadRumour(leader);
        }
    }

    private void Elected(HostedReplica leader)
    {
        if (_left > 0 && !_stopped())
        {
            _left--;
            var boot = leader.Node.Boot;
            _world.Scheduler.After(_chance.Exponential(_patienceUs), () =>
            {
                if (!_stopped() && leader.Node.Up && leader.Node.Boot == boot)
                {
                    Strike(leader.Node);
                }
            });
        }
    }

    private void Strike(SimulatedNode node)
    {
        if (_chance.Hit(0.5))
        {
            node.Stop(power: _chance.Hit(0.5));
            _world.Scheduler.After(_chance.Between(20_000, 900_000), () => _world.StartIfDown(node));
            return;
        }

        Isolate(node);
    }

    private void Isolate(SimulatedNode node)
    {
        var cut = _world.Nodes.Where(n => n != node && !_world.Network.IsCut(node.Number, n.Number)).Select(n => n.Number).ToList();
        cut.ForEach(other => _world.Network.SetCut(node.Number, other, true));
        _world.Scheduler.After(_chance.Between(50_000, 1_500_000), () => cut.ForEach(other => _world.Network.SetCut(node.Number, other, false)));
    }

    // The others believe that the leader is dead and elect at once, while it still believes that it leads (hazard 31).
    private void SpreadRumour(SimulatedNode gone)
    {
        foreach (var node in _world.Nodes.Where(n => n != gone && n.Up))
        {
            foreach (var hosted in node.Replicas)
            {
                node.Post(hosted, (replica, clock) => replica.PeerGone(gone.Id, clock));
            }
        }
    }
}
