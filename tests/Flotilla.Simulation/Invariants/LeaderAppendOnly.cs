using Flotilla.Raft;
using Flotilla.Simulation.Nodes;

namespace Flotilla.Simulation.Invariants;

/// <summary>A leader never overwrites or deletes entries of its own log (Raft paper, figure 3).</summary>
public sealed class LeaderAppendOnly : Invariant
{
    private readonly Dictionary<HostedReplica, (int Boot, Term Term, LogIndex Last, ulong Chain)> _leading = [];

    /// <inheritdoc/>
    public override void Stepped(HostedReplica hosted)
    {
        var raft = hosted.Replica.Raft;
        if (raft.Role != Role.Leader)
        {
            _leading.Remove(hosted);
            return;
        }

        if (_leading.TryGetValue(hosted, out var before) && before.Term == raft.Term && before.Boot == hosted.Node.Boot
            && (hosted.Log.Last < before.Last || hosted.Log.At(before.Last).Chain != before.Chain))
        {
            throw Broken($"{hosted.Name} leads {raft.Term} and has rewritten its log at or below {before.Last}");
        }

        _leading[hosted] = (hosted.Node.Boot, raft.Term, hosted.Log.Last, hosted.Log.At(hosted.Log.Last).Chain);
    }
}
