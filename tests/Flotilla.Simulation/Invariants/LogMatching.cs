using Flotilla.Raft;
using Flotilla.Simulation.Nodes;
using Flotilla.Topology;

namespace Flotilla.Simulation.Invariants;

/// <summary>If two logs hold an entry of the same index and term, they are identical up to there (Raft paper, figure 3).</summary>
public sealed class LogMatching : Invariant
{
    private readonly Dictionary<(ShardId Shard, LogIndex Index, Term Term), ulong> _chains = [];

    /// <inheritdoc/>
    public override void Persisting(HostedReplica hosted, Effect.Persist persist)
    {
        foreach (var entry in persist.Entries)
        {
            Check(hosted, entry.Index, hosted.Log);
        }
    }

    /// <inheritdoc/>
    public override void Stepped(HostedReplica hosted)
    {
        var log = hosted.Replica.Raft.Log;
        if (hosted.Log.Last != log.LastIndex || hosted.Log.LastTerm != log.LastTerm)
        {
            throw Broken($"{hosted.Name} holds {log.LastIndex}/{log.LastTerm} in memory but persists up to {hosted.Log.Last}/{hosted.Log.LastTerm}");
        }
    }

    /// <inheritdoc/>
    public override void Recovered(HostedReplica hosted, RaftRecovery recovered, LogMirror log, bool blank)
    {
        if (log.Last > LogIndex.Zero)
        {
            Check(hosted, log.Last, log);
        }
    }

    private void Check(HostedReplica hosted, LogIndex index, LogMirror log)
    {
        var (term, chain) = log.At(index);
        var key = (hosted.Genesis.Shard, index, term);
        if (!_chains.TryAdd(key, chain) && _chains[key] != chain)
        {
            throw Broken($"{hosted.Name} holds another {index}/{term}, or another entry below it, than someone else did");
        }
    }
}
