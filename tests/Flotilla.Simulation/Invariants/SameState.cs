using Flotilla.Raft;
using Flotilla.Simulation.Nodes;
using Flotilla.Topology;

namespace Flotilla.Simulation.Invariants;

/// <summary>Replicas that have applied the same entries are in the same state, whatever their clocks say (hazards 8 and 26). Looks at a sample.</summary>
public sealed class SameState : Invariant
{
    private const int OneIn = 8;
    private readonly Dictionary<(ShardId Shard, LogIndex Applied), (ulong Digest, string By)> _digests = [];
    private readonly Dictionary<HostedReplica, LogIndex> _seen = [];

    /// <inheritdoc/>
    public override void Stepped(HostedReplica hosted)
    {
        var applied = hosted.Replica.LastApplied;
        if (_seen.GetValueOrDefault(hosted) != applied && applied.Value % OneIn == 0)
        {
            Check(hosted);
        }

        _seen[hosted] = applied;
    }

    /// <summary>Compares a replica's state with whoever was at the same index.</summary>
    public void Check(HostedReplica hosted)
    {
        var key = (hosted.Genesis.Shard, hosted.Replica.LastApplied);
        var digest = hosted.Replica.StateDigest();
        var state = $"{hosted.Name} (log time {hosted.Replica.LogTimeMs}, {hosted.Replica.Records.Count} records of {hosted.Replica.Records.Bytes} bytes)";
        if (!_digests.TryAdd(key, (digest, state)) && _digests[key].Digest != digest)
        {
            throw Broken($"{state} and {_digests[key].By} differ after applying {key.LastApplied}");
        }
    }
}
