using Flotilla.Raft;
using Flotilla.Simulation.Nodes;

namespace Flotilla.Simulation.Invariants;

/// <summary>
/// After a restart the log holds exactly what was acknowledged or, if a batch was under way, that batch too and whole
/// (hazards 10, 12 and 14).
/// </summary>
public sealed class DiskKeepsItsWord : Invariant
{
    /// <inheritdoc/>
    public override void Recovered(HostedReplica hosted, RaftRecovery recovered, LogMirror log, bool blank)
    {
        if (blank)
        {
            return;
        }

        var state = recovered.HardState;
        if (state.Term < hosted.DurableState.Term || (state.Term == hosted.DurableState.Term && !hosted.DurableState.VotedFor.IsNone && state.VotedFor != hosted.DurableState.VotedFor))
        {
            throw Broken($"{hosted.Name} had {hosted.DurableState} on disk, and finds {state}");
        }

        // Whatever was under way, the part that the durable log and the newest one share is there; behind it stands either.
        var floor = Shared(hosted.DurableLog, hosted.Log);
        if (log.Last >= floor && log.At(floor) == hosted.DurableLog.At(floor) && (log.Last > floor || hosted.DurableLog.Last == floor))
        {
            return;
        }

        throw Broken($"{hosted.Name} had a log up to {hosted.DurableLog.Last}/{hosted.DurableLog.LastTerm} on disk, and finds one up to {log.Last}/{log.LastTerm}");
    }

    private static LogIndex Shared(LogMirror a, LogMirror b)
    {
        ulong low = 0, high = LogIndex.Min(a.Last, b.Last).Value;
        while (low < high)
        {
            var middle = new LogIndex((low + high + 1) / 2);
            if (a.At(middle) == b.At(middle))
            {
                low = middle.Value;
            }
            else
            {
                high = middle.Value - 1;
            }
        }

        return new LogIndex(low);
    }
}
