using Flotilla.Raft;
using Flotilla.Raft.Membership;
using Flotilla.Shards;
using Flotilla.Simulation.Nodes;
using Flotilla.Topology;

namespace Flotilla.Simulation.Faults;

/// <summary>
/// Changes who belongs to which shard, one step at a time, whatever else goes on: removes who is not wanted or sits there with
/// a disk that is gone, and adds who is wanted. It asks whoever says that it leads, however wrongly.
/// </summary>
public sealed class Operator
{
    private readonly World _world;
    private readonly Chance _chance;
    private readonly Dictionary<ShardId, SortedSet<NodeId>> _wanted = [];

    /// <summary>An operator who is content with what is there.</summary>
    public Operator(World world)
    {
        _world = world;
        _chance = world.Chance.Fork();
        foreach (var shard in world.Shards)
        {
            _wanted[shard.Shard] = [.. shard.Voters];
        }
    }

    /// <summary>Begins to look.</summary>
    public void Begin()
    {
        if (_world.Options.Members)
        {
            Look();
        }
    }

    /// <summary>Wants another node more, or one less, in some shard.</summary>
    public void ChangeOfMind()
    {
        var wanted = _wanted[_chance.Pick(_world.Shards).Shard];
        var node = _chance.Pick(_world.Nodes).Id;
        if (!wanted.Remove(node))
        {
            wanted.Add(node);
        }
        else if (wanted.Count == 0)
        {
            wanted.Add(node);
        }

        _world.Count("change of mind");
    }

    /// <summary>Wants these nodes in a shard, and no others.</summary>
    public void Want(ShardId shard, IEnumerable<NodeId> nodes) => _wanted[shard] = [.. nodes];

    /// <summary>Wants every node in every shard.</summary>
    public void WantAll()
    {
        foreach (var wanted in _wanted.Values)
        {
            wanted.UnionWith(_world.Nodes.Select(node => node.Id));
        }
    }

    /// <summary>Every shard has the members that are wanted, as voters, with the disks that they have now.</summary>
    public string? Obstacle(HostedReplica leader)
    {
        var configuration = leader.Replica.Raft.Configuration;
        var wanted = _wanted[leader.Genesis.Shard];
        return !configuration.IsJoint && configuration.Learners.Count == 0 && configuration.Members.Count == wanted.Count && configuration.Members.All(m => wanted.Contains(m.Id) && IsRightDisk(m))
            ? null
            : $"shard {leader.Genesis.Shard} has the members {configuration}";
    }

    /// <summary>Asks whoever leads for what is wanted.</summary>
    public void Ask()
    {
        foreach (var shard in _world.Shards)
        {
            if (_world.LeaderOf(shard.Shard) is { } leader)
            {
                var allAtOnce = _chance.Hit(0.3);
                leader.Node.Post(leader, (replica, clock) => Change(replica, shard.Shard, allAtOnce, clock));
            }
        }
    }

    private void Look() => _world.Scheduler.After(_chance.Between(50_000, 500_000), () =>
    {
        Ask();
        foreach (var node in _world.Nodes.Where(n => n.Wiped))
        {
            if (_world.Shards.All(s => _world.IsRetired(s.Shard) || _world.LeaderOf(s.Shard) is { } l && l.Replica.Raft.Configuration.Find(node.Id) is { Suffrage: Suffrage.Voter } seat && seat.Incarnation == node.Incarnation))
            {
                _world.Count("wiped node is whole again");
                node.IsWhole();
            }
        }

        Look();
    });

    // Two changes at a time are refused, so it may as well ask for all at once.
    private void Change(Replica replica, ShardId shard, bool allAtOnce, ClockReading clock)
    {
        var configuration = replica.Raft.Configuration;
        // Who is gone for good goes first: with two changes at once the second might need the vote of the one that is gone.
        foreach (var member in configuration.Members.OrderBy(IsRightDisk))
        {
            if (!_wanted[shard].Contains(member.Id) || !IsRightDisk(member))
            {
                Count("remove", replica.RemoveMember(member.Id, clock));
                if (!allAtOnce)
                {
                    return;
                }
            }
        }

        foreach (var id in _wanted[shard])
        {
            if (configuration.Find(id) is null)
            {
                var node = _world.NodeOf(id);
                Count("add", replica.AddMember(id, node.Incarnation, $"{id}:1", clock));
                if (!allAtOnce)
                {
                    return;
                }
            }
        }
    }

    // A seat that names nobody belongs to the first disk that the node had.
    private bool IsRightDisk(Member member)
    {
        var node = _world.NodeOf(member.Id);
        return member.Incarnation.IsNone ? !node.Wiped : member.Incarnation == node.Incarnation;
    }

    private void Count(string what, ChangeOutcome outcome) => _world.Count(outcome == ChangeOutcome.Accepted ? what : $"{what}: {outcome}");
}
