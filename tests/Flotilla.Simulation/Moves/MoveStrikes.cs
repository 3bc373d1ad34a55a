using Flotilla.Shards;
using Flotilla.Shards.Handoff;
using Flotilla.Simulation.Nodes;
using Flotilla.Topology;

namespace Flotilla.Simulation.Moves;

/// <summary>
/// For some steps of moves in a row, whoever leads one of the two ends is stopped, cut off, cut off from the other end, asked to hand over,
/// or to cancel, freeze or abort the move, within milliseconds of the step: the way to moves that are interrupted at each of their steps (hazard 39), and to leaders that
/// go on with a move which others have ended (hazard 42).
/// </summary>
public sealed class MoveStrikes
{
    private readonly World _world;
    private readonly Chance _chance;
    private readonly Workload.Workload _workload;
    private readonly ShardOperator _operator;
    private readonly Func<bool> _stopped;
    private int _left;
    private double _share;

    /// <summary>Strikes nobody yet.</summary>
    public MoveStrikes(World world, Workload.Workload workload, ShardOperator @operator, Chance chance, Func<bool> stopped)
    {
        _world = world;
        _workload = workload;
        _operator = @operator;
        _chance = chance;
        _stopped = stopped;
        if (world.Meaning is { } meaning)
        {
            meaning.Stepping = Stepped;
        }
    }

    /// <summary>Begins to strike at the steps that come, and sees to it that some come.</summary>
    public void Begin()
    {
        _world.Count("struck moves");
        _left = (int)_chance.Between(1, 8);
        _share = _chance.Between(3, 60) / 100.0;
        _operator.ChangeOfMind();
    }

    private void Stepped(ShardGenesis shard, HandoffStep step, bool took)
    {
        var name = step.GetType().Name;
        if (took)
        {
            _world.Count($"step {name}");
        }

        if (took && step is HandoffStep.Prepare && MoveOf(shard, step) is { } prepared && !_stopped() && _chance.Hit(0.5))
        {
            _workload.Rush(prepared.Move.Slots.Slots);
        }

        // The steps behind which a move hangs in the air come once a move; of the others there are many.
        var share = step is HandoffStep.Freeze or HandoffStep.Accept or HandoffStep.Prepare ? _share * 3 : step is HandoffStep.Stage or HandoffStep.Purge ? _share / 3 : _share;
        if (_left == 0 || _stopped() || !took || !_chance.Hit(share))
        {
            return;
        }

        _left--;
        if (step is HandoffStep.Accept && MoveOf(shard, step) is { } accepted && _chance.Hit(0.3))
        {
            // Back to where they came from, while what was asked there is still under way.
            var slots = accepted.Move.Slots.Slots;
            _world.Scheduler.After(_chance.Exponential(10_000), () => _operator.Send(shard, accepted.Source, slots));
            return;
        }

        _world.Scheduler.After(_chance.Exponential(2_000), () =>
        {
            if (!_stopped())
            {
                Strike(shard, step);
            }
        });
    }

    private void Strike(ShardGenesis shard, HandoffStep step)
    {
        var ends = Ends(shard, step).Select(s => _world.LeaderOf(s)).OfType<HostedReplica>().ToList();
        if (ends.Count == 0)
        {
            return;
        }

        _world.Count($"strike at {step.GetType().Name}");
        var victim = _chance.Pick(ends);
        var node = victim.Node;
        switch (_chance.Below(12))
        {
            case < 4:
                node.Stop(power: _chance.Hit(0.5));
                _world.Scheduler.After(_chance.Between(10_000, 900_000), () => _world.StartIfDown(node));
                break;
            case < 6:
                Cut(node, _world.Nodes.Where(n => n != node));
                break;
            case < 8 when step is HandoffStep.Freeze or HandoffStep.Prepare or HandoffStep.Accept && ends[0].Genesis == shard && _chance.Hit(0.6):
                // The target decides and serves, and the source does not hear of it.
                _world.Count("source left in the dark");
                foreach (var other in ends.Skip(1))
                {
                    var (target, source) = step is HandoffStep.Freeze ? (other.Node, ends[0].Node) : (ends[0].Node, other.Node);
                    CutOneWay(target, source);
                }

                break;
            case < 8:
                // The two ends don't reach each other, while each has its majority: perhaps in one direction only.
                Cut(node, ends.Select(e => e.Node).Where(n => n != node));
                break;
            case 8 when MoveOf(shard, step) is { } move:
                _operator.Meddle(move.Source, move.Move);
                break;
            case 9 when ends.Count > 1:
                // The leaders of both ends reach each other, and what the target's leader has decided it can't commit, if there are enough nodes.
                var (deciding, asking) = step is HandoffStep.Freeze ? (ends[1].Node, ends[0].Node) : (ends[0].Node, ends[1].Node);
                Cut(deciding, _world.Nodes.Where(n => n != deciding && n != asking));
                break;
            case 10:
                node.Post(victim, (replica, clock) => replica.TransferLeadership(default, clock));
                break;
            default:
                foreach (var replica in _world.Nodes.Where(n => n.Up).Select(n => World.ReplicaOn(n, victim.Genesis.Shard)).OfType<HostedReplica>())
                {
                    replica.Node.Post(replica, (r, _) => r.AskForSnapshot());
                }

                break;
        }
    }

    // The move that a step is about, as its source knows it.
    private (ShardGenesis Source, OutgoingMove Move)? MoveOf(ShardGenesis shard, HandoffStep step)
    {
        var (source, begin) = step switch
        {
            HandoffStep.Freeze s => (shard, s.Move),
            HandoffStep.Prepare s => (_world.Shards.Find(g => g.Group == s.Id.Source), s.Id.Begin),
            HandoffStep.Accept s => (_world.Shards.Find(g => g.Group == s.Id.Source), s.Id.Begin),
            HandoffStep.Stage s => (_world.Shards.Find(g => g.Group == s.Id.Source), s.Id.Begin),
            _ => default,
        };
        var move = source is null ? null : _world.Meaning!.Of(source.Shard).Ownership.Outgoing.FirstOrDefault(m => m.Begin == begin);
        return move is null ? null : (source!, move);
    }

    // The shard itself, and whoever is at the other end of its moves.
    private IEnumerable<ShardId> Ends(ShardGenesis shard, HandoffStep step)
    {
        var ownership = _world.Meaning!.Of(shard.Shard).Ownership;
        var others = step is HandoffStep.Open or HandoffStep.Stage or HandoffStep.Prepare or HandoffStep.Accept or HandoffStep.Abort or HandoffStep.Settle
            ? ownership.Incoming.Select(m => m.SourceShard)
            : ownership.Outgoing.Select(m => m.TargetShard);
        return others.Where(s => s.Value > 0).Prepend(shard.Shard).Distinct();
    }

    private void CutOneWay(SimulatedNode from, SimulatedNode to)
    {
        if (from != to && !_world.Network.IsCut(from.Number, to.Number))
        {
            _world.Network.SetCut(from.Number, to.Number, true);
            _world.Scheduler.After(_chance.Between(50_000, 3_000_000), () => _world.Network.SetCut(from.Number, to.Number, false));
        }
    }

    private void Cut(SimulatedNode node, IEnumerable<SimulatedNode> from)
    {
        var others = from.Where(n => !_world.Network.IsCut(node.Number, n.Number)).Select(n => n.Number).ToList();
        var (there, back) = _chance.Below(4) switch { 0 => (true, false), 1 => (false, true), _ => (true, true) };
        _world.Network.CutFor(_chance.Between(50_000, 4_000_000), node.Number, others, there, back);
    }
}
