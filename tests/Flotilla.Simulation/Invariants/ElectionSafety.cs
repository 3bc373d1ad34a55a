using Flotilla.Raft;
using Flotilla.Simulation.Nodes;
using Flotilla.Topology;

namespace Flotilla.Simulation.Invariants;

/// <summary>At most one leader a term (Raft paper, figure 3).</summary>
public sealed class ElectionSafety : Invariant
{
    private readonly Dictionary<(ShardId Shard, Term Term), NodeId> _leaders = [];

    /// <summary>Terms that had a leader.</summary>
    public int Elections => _leaders.Count;

    /// <inheritdoc/>
    public override void Stepped(HostedReplica hosted)
    {
        var raft = hosted.Replica.Raft;
        if (raft.Role != Role.Leader)
        {
            return;
        }

        var key = (hosted.Genesis.Shard, raft.Term);
        if (!_leaders.TryAdd(key, hosted.Node.Id) && _leaders[key] != hosted.Node.Id)
        {
            throw Broken($"shard {hosted.Genesis.Shard} has two leaders in {raft.Term}: {_leaders[key]} and {hosted.Node.Id}");
        }
    }
}
