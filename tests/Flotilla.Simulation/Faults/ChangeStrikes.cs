using Flotilla.Raft;
using Flotilla.Raft.Membership;
using Flotilla.Simulation.Nodes;

namespace Flotilla.Simulation.Faults;

/// <summary>
/// For some changes of members in a row, the leader is cut off or stopped as it appends them, and whoever follows is asked for
/// other changes before it has committed anything: the way to changes from two terms (hazard 18), to members that are needed though they were
/// removed (hazard 22), and to writes that a change could lose (hazard 23).
/// </summary>
internal sealed class ChangeStrikes
{
    private const long AskEveryUs = 4_000;
    private const int Asks = 200;
    private readonly World _world;
    private readonly Chance _chance;
    private readonly Operator _operator;
    private readonly Func<bool> _stopped;
    private int _left;

    public ChangeStrikes(World world, Operator @operator, Chance chance, Func<bool> stopped)
    {
        _world = world;
        _operator = @operator;
        _chance = chance;
        _stopped = stopped;
        world.Reconfigured = Changed;
    }

    public void Begin()
    {
        _world.Count("struck changes");
        _left = (int)_chance.Between(2, 9);
        for (var changes = _chance.Between(1, 4); changes > 0; changes--)
        {
            _operator.ChangeOfMind();
        }

        AskAgain(Asks / 4);
    }

    private void Changed(HostedReplica hosted, Configuration configuration)
    {
        if (_left == 0 || _stopped() || hosted.Replica.Raft.Role != Role.Leader || !_chance.Hit(0.5))
        {
            return;
        }

        _left--;
        _operator.ChangeOfMind();
        AskAgain(Asks);
        var node = hosted.Node;
        var boot = node.Boot;
        if (_chance.Hit(0.6))
        {
            // From all others, or from some: then the change gets to a few.
            Cut(node, _chance.Hit(0.5) ? 1 : 0.6);
        }

        if (_chance.Hit(0.5))
        {
            _world.Scheduler.After(_chance.Exponential(3_000), () =>
            {
                if (!_stopped() && node.Up && node.Boot == boot)
                {
                    node.Stop(power: _chance.Hit(0.5));
                    _world.Scheduler.After(_chance.Between(10_000, 900_000), () => _world.StartIfDown(node));
                }
            });
        }
    }

    private void Cut(SimulatedNode node, double probability)
    {
        var cut = _world.Nodes.Where(n => n != node && !_world.Network.IsCut(node.Number, n.Number) && _chance.Hit(probability)).Select(n => n.Number).ToList();
        _world.Network.CutFor(_chance.Between(100_000, 2_000_000), node.Number, cut);
    }

    private void AskAgain(int times) => _world.Scheduler.After(AskEveryUs, () =>
    {
        if (!_stopped() && times > 0)
        {
            _operator.Ask();
            AskAgain(times - 1);
        }
    });
}
