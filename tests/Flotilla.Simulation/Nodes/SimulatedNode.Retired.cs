using Flotilla.Raft;
using Flotilla.Shards;
using Flotilla.Topology;
using Flotilla.Topology.Descriptors;
using Flotilla.Topology.Gossip;

namespace Flotilla.Simulation.Nodes;

/// <content>Replicas of retired shards are taken away, with their logs and snapshots, as the product's host does.</content>
public sealed partial class SimulatedNode
{
    // Durable at once, as in the file that names what a data directory holds: what it names does not come back with a start.
    private readonly Dictionary<GroupId, ShardId> _retired = [];
    private readonly List<GroupId> _toForget = [];
    private List<GroupId> _beingForgotten = [];

    /// <summary>Ends a replica and removes all of it. The node must run.</summary>
    public void TakeAway(HostedReplica hosted)
    {
        _world.Say(hosted, "is taken away");
        _world.Count("replica taken away");
        _retired.Add(hosted.Genesis.Group, hosted.Genesis.Shard);
        _replicas.Remove(hosted);
        _quiet?.Forget(hosted);
        _snapshots!.Remove(hosted);
        _toForget.Add(hosted.Genesis.Group); // Behind all that it ever gave the log to write.
        foreach (var answer in hosted.Requests.Values.ToList())
        {
            answer(CommandResult.Of(ResultCode.Indeterminate));
        }

        foreach (var answer in hosted.Scans.Values.ToList())
        {
            answer(new ScanPage(ResultCode.NoQuorum, [], false));
        }

        hosted.End();
        StartSync();
    }

    /// <summary>Its log or its snapshots still hold something of a replica that was taken away.</summary>
    public bool HasLeftovers => _retired.Keys.Any(group => _wal!.Groups.Contains(group) || _store!.Groups.Contains(group));

    // What gossip knew, and what this node may never forget: of a retired shard perhaps nobody else knows, and the others would keep it for ever.
    private GossipTable KeptTopology() => _keptTable.Merge(
        [.. _retired.Select(r => ShardItem.Of(new ShardDescriptor { Key = new ShardKey(r.Value, r.Key.Value), Version = default, State = ShardState.Retired }))], out _);

    private void ForgetRetired()
    {
        foreach (var group in _wal!.Groups.Where(_retired.ContainsKey).ToList())
        {
            _world.Count("retired shard found at a start");
            _wal.Forget(group);
        }
    }
}
