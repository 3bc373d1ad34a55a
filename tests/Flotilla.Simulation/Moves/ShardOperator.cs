using Flotilla.Raft;
using Flotilla.Shards;
using Flotilla.Shards.Handoff;
using Flotilla.Simulation.Faults;
using Flotilla.Simulation.Nodes;
using Flotilla.Topology;
using Flotilla.Topology.Descriptors;

namespace Flotilla.Simulation.Moves;

/// <summary>Adds shards and sends them away, changes their weights and its mind, whatever else goes on; now and then by hand, move by move.</summary>
public sealed class ShardOperator
{
    private const int MaxBirths = 3;
    private readonly World _world;
    private readonly Operator _members;
    private readonly Chance _chance;
    private readonly double _everyUs;
    private int _births;
    private bool _stopped;

    /// <summary>An operator who has not begun.</summary>
    public ShardOperator(World world, Operator members, Chance chance)
    {
        _world = world;
        _members = members;
        _chance = chance;
        _everyUs = chance.Between(1_500_000, 6_000_000);
    }

    /// <summary>Begins to change the cluster.</summary>
    public void Begin()
    {
        if (_world.Options.Moves)
        {
            Next();
        }
    }

    /// <summary>Changes nothing from here on.</summary>
    public void Stop() => _stopped = true;

    /// <summary>Another shard, one less, or other shares.</summary>
    public void ChangeOfMind()
    {
        var dice = _chance.Below(100);
        if (dice < 30 && _births < MaxBirths)
        {
            Add();
        }
        else if (dice < 60)
        {
            Remove();
        }
        else if (dice < 75)
        {
            Return();
        }
        else
        {
            Weigh();
        }
    }

    /// <summary>Meddles with a move: cancels it, freezes it at once, has it aborted, begins one that no ring wants. Anybody may propose that at any time.</summary>
    public void Meddle()
    {
        if (LeaderOf(_chance.Pick(_world.Shards)) is not { } source)
        {
            return;
        }

        _world.Count("meddling");
        var ownership = source.Replica.Ownership;
        if (ownership.Outgoing.ToArray() is { Length: > 0 } moves && _chance.Hit(0.7))
        {
            Meddle(source.Genesis, _chance.Pick(moves));
        }
        else if (_chance.Pick(_world.Shards) is { } target && target != source.Genesis)
        {
            var share = _chance.Hit(0.3) ? 1 : _chance.Between(2, 20);
            Propose(source, new HandoffStep.Begin(source.Genesis.Group, target.Shard, target.Group, Of(ownership, slot => slot.Value % share == 0)));
        }
    }

    /// <summary>Cancels or freezes a move, or has it aborted: whichever it is, just when it is of no use perhaps.</summary>
    public void Meddle(ShardGenesis source, OutgoingMove move)
    {
        switch (_chance.Below(3))
        {
            case 0 when LeaderOf(source) is { } leader:
                Propose(leader, new HandoffStep.Cancel(move.Begin));
                break;
            case 1 when LeaderOf(source) is { } leader:
                Propose(leader, new HandoffStep.Freeze(move.Begin));
                break;
            default:
                if (_world.Shards.Find(s => s.Group == move.Target) is { } to && LeaderOf(to) is { } target)
                {
                    Propose(target, new HandoffStep.Abort(new HandoffId(source.Group, move.Begin)));
                }

                break;
        }
    }

    /// <summary>Begins a move of slots from one shard to another, whatever any ring wants.</summary>
    public void Send(ShardGenesis source, ShardGenesis target, SlotSet slots)
    {
        if (!_stopped && LeaderOf(source) is { } leader)
        {
            _world.Count("sent back");
            Propose(leader, new HandoffStep.Begin(source.Group, target.Shard, target.Group, Of(leader.Replica.Ownership, slots.Contains)));
        }
    }

    private void Next() => _world.Scheduler.After(_chance.Exponential(_everyUs), () =>
    {
        if (!_stopped)
        {
            ChangeOfMind();
            Next();
        }
    });

    private void Add()
    {
        if (Nemesis.Running(_world, _chance) is not { } birthplace)
        {
            return;
        }

        _births++;
        _world.Count("shard born");
        var shard = new ShardId(_world.Shards.Count + 1);
        var voters = _world.Options.Members ? [birthplace.Id] : _world.Nodes.Select(n => n.Id).ToArray();
        _world.Say(birthplace, $"bears shard {shard}");
        _world.Bear(new ShardGenesis(shard, Genesis.GroupOf(_world.Genesis.ClusterId, shard, birthplace.Incarnation), voters, []));
        _members.Want(shard, _world.Nodes.Where(n => n == birthplace || _chance.Hit(0.5)).Select(n => n.Id));
    }

    private void Remove()
    {
        // By the view of the node that is asked: two may leave at one moment.
        if (LeaderOf(_chance.Pick(_world.Shards)) is { } leader && leader.Node.Topology!.View.Shards.Any(d => d.Shard != leader.Genesis.Shard && d.State == ShardState.Active))
        {
            _world.Count("shard leaves");
            Propose(leader, new HandoffStep.SetState(ShardState.Leaving));
        }
    }

    private void Return()
    {
        if (_world.Shards.Select(LeaderOf).FirstOrDefault(l => l?.Replica.Ownership.State == ShardState.Leaving) is { } leader)
        {
            _world.Count("shard returns");
            Propose(leader, new HandoffStep.SetState(ShardState.Active));
        }
    }

    private void Weigh()
    {
        if (LeaderOf(_chance.Pick(_world.Shards)) is { } leader)
        {
            _world.Count("weight");
            Propose(leader, new HandoffStep.SetWeight(_chance.Hit(0.3) ? Ring.NormalWeight : (int)_chance.Between(20, 400)));
        }
    }

    // Those that are owned and in no move.
    private static SlotEpochs Of(Ownership ownership, Func<Slot, bool> wanted)
    {
        var epochs = new uint[Slot.Count];
        foreach (var (slot, epoch) in ownership.Slots.Entries())
        {
            epochs[slot.Value] = wanted(slot) && !ownership.Leaving.Contains(slot) ? epoch.Value : 0;
        }

        return SlotEpochs.Of(epochs);
    }

    private HostedReplica? LeaderOf(ShardGenesis shard) => _world.LeaderOf(shard.Shard);

    private static void Propose(HostedReplica leader, HandoffStep step) => leader.Node.Post(leader, (replica, _) => replica.Propose(step));
}
