using Flotilla.Raft;
using Flotilla.Simulation.Nodes;

namespace Flotilla.Simulation.Invariants;

/// <summary>
/// A leader takes nothing in that would make more than <see cref="RaftOptions.MaxUncommittedBytes"/> uncommitted, what earlier
/// leaders left counted in (hazard 63), but not what was on disk at the start. One entry may always wait, however large.
/// </summary>
public sealed class UncommittedIsBounded(int maxBytes) : Invariant
{
    /// <inheritdoc/>
    public override void Persisting(HostedReplica hosted, Effect.Persist persist)
    {
        var raft = hosted.Replica.Raft;
        if (raft.Role != Role.Leader)
        {
            return;
        }

        // The log on disk does not say yet how many bytes it recovered.
        var floor = LogIndex.Max(raft.CommitIndex, hosted.FoundAtStart);
        foreach (var entry in persist.Entries)
        {
            var before = hosted.Log.CostUpTo(entry.Index.Previous) - hosted.Log.CostUpTo(LogIndex.Min(floor, entry.Index.Previous));
            if (entry.Kind == EntryKind.Command && entry.Term == raft.Term && before > 0 && before + entry.Cost > maxBytes)
            {
                throw Broken($"{hosted.Name} takes {entry} of {entry.Cost} bytes in while {before} bytes above {floor} are uncommitted, of {maxBytes}");
            }
        }
    }
}
