using Flotilla.Shards;
using Flotilla.Simulation.Moves;
using Flotilla.Storage.Snapshots;
using Flotilla.Topology.Gossip;

namespace Flotilla.Simulation.Nodes;

/// <content>Replicas that come while the node runs, and what the node knows of the cluster.</content>
public sealed partial class SimulatedNode
{
    // What the file of the topology holds. It is written a while after each change and never waited for, so a start may find an old one.
    private GossipTable _keptTable = GossipTable.Empty;

    /// <summary>What it knows of the cluster's shards; null while it is down, and where no slot ever moves.</summary>
    public SimulatedTopology? Topology { get; private set; }

    /// <summary>Leads the shards that this node leads through their lives; null likewise.</summary>
    public SimulatedSteward? Steward { get; private set; }

    /// <summary>It hosts a replica of one more shard from here on.</summary>
    public void Host(ShardGenesis shard)
    {
        var hosted = new HostedReplica(this, shard);
        _replicas.Add(hosted);
        if (Up)
        {
            StartReplica(hosted, _store!);
            ScheduleRun();
        }
    }

    private void StartReplica(HostedReplica hosted, SnapshotStore store)
    {
        var recovered = store.Recover(hosted.Genesis.Group, _wal!.Recovered(hosted.Genesis.Group));
        var log = ReadLog(hosted.Genesis, recovered);
        var restored = recovered.Snapshot is { } snapshot ? SimulatedSnapshots.Load(store, SnapshotInfo.Of(hosted.Genesis.Group, snapshot)) : default;
        recovered = recovered with { SnapshotConfiguration = restored.Configuration };
        foreach (var invariant in _world.Invariants)
        {
            invariant.Recovered(hosted, recovered, log, Boot == 1 || Wiped);
        }

        var replica = new Replica(hosted.Genesis, Id, Incarnation, _world.Options.Replica, recovered, _chance.Next(), Clock.Read(), restored: restored.State);
        hosted.Started(Beating(replica), recovered.HardState, log);
        foreach (var invariant in _world.Invariants)
        {
            invariant.Started(hosted);
        }
    }

    private void BeginTopology()
    {
        if (_world.Options.Moves)
        {
            Topology = new SimulatedTopology(_world, this, KeptTopology(), _chance.Fork());
            Steward = new SimulatedSteward(_world, this, _chance.Fork());
        }
    }

    private void EndTopology()
    {
        if (Topology is not null && _chance.Hit(0.7))
        {
            _keptTable = Topology.Table;
        }

        (Topology, Steward) = (null, null);
    }

    private void TellOfMoves(HostedReplica hosted, ReplicaOutput output)
    {
        if (Topology is null)
        {
            return;
        }

        foreach (var (shard, group, message) in output.Handoffs)
        {
            _world.Send(hosted, shard, group, message);
        }

        Topology.Stepped(hosted);
    }
}
