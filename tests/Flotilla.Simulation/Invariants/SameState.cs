using Flotilla.Raft;
using Flotilla.Raft.Membership;
using Flotilla.Simulation.Nodes;
using Flotilla.Topology;

namespace Flotilla.Simulation.Invariants;

/// <summary>
/// Replicas that have applied the same entries are in the same state, whatever their clocks say (hazards 8 and 26), and agree
/// on who belonged to the group then (hazards 19 and 20). Looks at a sample.
/// </summary>
public sealed class SameState : Invariant
{
    private const int OneIn = 8;
    private readonly Dictionary<(ShardId Shard, LogIndex Applied), (ulong Digest, Configuration Configuration, string By)> _digests = [];
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
        var configuration = hosted.Replica.Raft.ConfigurationAt(key.LastApplied);
        var state = $"{hosted.Name} (log time {hosted.Replica.LogTimeMs}, {hosted.Replica.Records.Count} records of {hosted.Replica.Records.Bytes} bytes)";
        if (_digests.TryAdd(key, (digest, configuration, state)))
        {
            return;
        }

        var other = _digests[key];
        if (other.Digest != digest)
        {
            throw Broken($"{state} and {other.By} differ after applying {key.LastApplied}");
        }

        if (!other.Configuration.Equals(configuration))
        {
            throw Broken($"{state} has the members {configuration} as of {key.LastApplied}, and {other.By} has {other.Configuration}");
        }
    }
}
