using Flotilla.Shards.Handoff;
using Flotilla.Topology.Descriptors;

namespace Flotilla.Simulation.Faults;

/// <summary>Switches the modes of shards at random, whatever else goes on: among raft, sync and chain.</summary>
public sealed class ModeSwitcher
{
    private static readonly ShardMode[] Modes = [ShardMode.Raft, ShardMode.Sync, ShardMode.Chain];
    private readonly World _world;
    private readonly Chance _chance;
    private readonly double _everyUs;
    private bool _stopped;

    /// <summary>One that has not begun.</summary>
    public ModeSwitcher(World world, Chance chance)
    {
        _world = world;
        _chance = chance;
        _everyUs = chance.Between(700_000, 8_000_000);
    }

    /// <summary>Begins to switch.</summary>
    public void Begin()
    {
        if (_world.Options.Modes)
        {
            Next();
        }
    }

    /// <summary>Switches nothing from here on.</summary>
    public void Stop() => _stopped = true;

    private void Next() => _world.Scheduler.After(_chance.Exponential(_everyUs), () =>
    {
        if (!_stopped)
        {
            Switch();
            Next();
        }
    });

    private void Switch()
    {
        if (_world.LeaderOf(_chance.Pick(_world.Shards).Shard) is not { } leader)
        {
            return;
        }

        var mode = _chance.Pick(Modes);
        _world.Count($"switch to {mode}");
        leader.Node.Post(leader, (replica, _) => replica.Propose(new HandoffStep.SetMode(mode)));
    }
}
