using Flotilla.Raft;
using Flotilla.Shards;
using Flotilla.Shards.Handoff;
using Flotilla.Simulation.Nodes;
using Flotilla.Topology;
using Flotilla.Topology.Descriptors;
using Flotilla.Topology.Ownership;

namespace Flotilla.Simulation.Moves;

/// <summary>
/// Leads the shards that its node leads through their lives, by the node's own view of the cluster and by the rules of the product
/// (<see cref="ShardLife"/>). It also paces what is sent.
/// </summary>
public sealed class SimulatedSteward
{
    private const int Replication = 3;
    private const long JoiningPatienceUs = 3_000_000;
    private readonly World _world;
    private readonly SimulatedNode _node;
    private readonly Chance _chance;
    private readonly int _boot;
    private readonly Dictionary<HostedReplica, ulong> _home = [];
    private readonly Dictionary<HostedReplica, long> _joiningSince = [];
    private readonly Dictionary<HostedReplica, long> _retiredSince = [];
    private readonly long _bytesPerPace;
    private readonly long _retiredStayUs;
    private long _nextLookUs;
    private Ring? _ring;
    private int _replicas;

    /// <summary>Begins to look.</summary>
    public SimulatedSteward(World world, SimulatedNode node, Chance chance)
    {
        _world = world;
        _node = node;
        _chance = chance;
        _boot = node.Boot;
        _bytesPerPace = chance.Hit(0.5) ? 1 << 20 : chance.Between(100, 3_000);
        _retiredStayUs = chance.Between(0, 4_000_000);
        Next(100_000);
    }

    /// <summary>What a replica has applied says something new of its shard: it may not be at home any more.</summary>
    public void HasChanged(HostedReplica hosted) => _home.Remove(hosted);

    private void Next(long us) => _world.Scheduler.After(_chance.Between(us / 2, us * 3 / 2), () =>
    {
        if (_node.Up && _node.Boot == _boot)
        {
            var isMoving = false;
            if (!_node.Paused)
            {
                isMoving = Pace();
                if (_world.Scheduler.NowUs >= _nextLookUs)
                {
                    Look();
                    _nextLookUs = IsSlow ? _world.Scheduler.NowUs + _chance.Between(300_000, 3_000_000) : 0;
                }
            }

            Next(isMoving ? 15_000 : 100_000);
        }
    });

    private bool IsSlow => _world.Options.SlowStewards && !_world.IsHealing;

    private bool Pace()
    {
        var isMoving = false;
        foreach (var hosted in _node.Replicas.Where(r => r.Replica.Raft.Role == Role.Leader && !(r.Replica.Ownership.Leaving.IsEmpty && r.Replica.Ownership.ToPurge.IsEmpty)))
        {
            isMoving = true;
            _node.Post(hosted, (replica, _) => replica.AllowHandoffBytes(_world.IsHealing ? 1 << 20 : _bytesPerPace));
        }

        return isMoving;
    }

    private void Look()
    {
        var view = _node.Topology!.View;
        if (!IsSlow)
        {
            TellRing(view);
        }

        foreach (var hosted in _node.Replicas)
        {
            if (hosted.Replica.Raft.Role == Role.Leader)
            {
                Look(hosted, view);
            }
        }

        TakeRetiredAway(view);
    }

    // Whatever the replica itself has applied: nothing can change a retired shard.
    private void TakeRetiredAway(OwnershipView view)
    {
        foreach (var hosted in _node.Replicas.Where(r => view.Find(new ShardKey(r.Genesis.Shard, r.Genesis.Group.Value)) is { State: ShardState.Retired }).ToList())
        {
            _retiredSince.TryAdd(hosted, _world.Scheduler.NowUs);
            if (_world.Scheduler.NowUs - _retiredSince[hosted] >= _retiredStayUs)
            {
                _node.TakeAway(hosted);
                if (!_world.IsHealing && _chance.Hit(0.15))
                {
                    // Before its log knows that they are gone, or just as it is told.
                    _node.Stop(power: _chance.Hit(0.5));
                    _world.Scheduler.After(_chance.Between(10_000, 500_000), () => _world.StartIfDown(_node));
                    return;
                }
            }
        }
    }

    private void Look(HostedReplica hosted, OwnershipView view)
    {
        var state = hosted.Replica.Ownership.State;
        if (state == ShardState.Retired || (state == ShardState.Active && _home.TryGetValue(hosted, out var digest) && digest == view.Ring.Digest && view.Ring.Members.Count > 0))
        {
            return;
        }

        var key = new ShardKey(hosted.Genesis.Shard, hosted.Genesis.Group.Value);
        var gone = ShardLife.Gone(view);
        _node.Post(hosted, (replica, _) =>
        {
            foreach (var step in Steps(hosted, key, view))
            {
                replica.Propose(step);
            }

            foreach (var group in gone)
            {
                replica.TargetIsGone(group);
            }
        });
    }

    private IReadOnlyList<HandoffStep> Steps(HostedReplica hosted, ShardKey key, OwnershipView view)
    {
        var ownership = hosted.Replica.Ownership;
        var hasReplicas = ownership.State == ShardState.Joining && HasReplicas(hosted);
        var steps = ShardLife.Next(ownership, key, view, hasReplicas, to => GroupOf(to, view), _world.Options.Limits);
        if (steps.Count == 0 && ShardLife.IsHome(ownership, key, view))
        {
            _home[hosted] = view.Ring.Digest;
        }

        return steps;
    }

    // Where slots may go: a shard that is known once, sees the same ring, and has a leader that lives.
    private GroupId? GroupOf(ShardId shard, OwnershipView view)
    {
        var known = view.Shards.Where(d => d.Shard == shard).ToList();
        return known is [{ } one] && one.RingDigest == view.Ring.Digest && _node.Topology!.LeaderOf(shard, new GroupId(one.Key.Group)) is { IsNone: false } leader && _world.NodeOf(leader).Up
            ? new GroupId(one.Key.Group)
            : null;
    }

    private bool HasReplicas(HostedReplica hosted) =>
        ShardLife.HasReplicas(hosted.Replica.Raft.Configuration, Replication, _world.Nodes.Count(n => n.Up))
        || (!_joiningSince.TryAdd(hosted, _world.Scheduler.NowUs) && _world.Scheduler.NowUs - _joiningSince[hosted] > JoiningPatienceUs);

    // Every replica hears which slots the ring means for its shard: any of them may lead next.
    private void TellRing(OwnershipView view)
    {
        if (ReferenceEquals(_ring, view.Ring) && _replicas == _node.Replicas.Count)
        {
            return;
        }

        (_ring, _replicas) = (view.Ring, _node.Replicas.Count);
        foreach (var hosted in _node.Replicas)
        {
            var meant = ShardLife.MeantFor(hosted.Genesis.Shard, view);
            _node.Post(hosted, (replica, _) => replica.MeantSlots = meant);
        }
    }
}
