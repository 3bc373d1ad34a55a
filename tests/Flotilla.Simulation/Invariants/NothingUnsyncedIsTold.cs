using Flotilla.Raft;
using Flotilla.Simulation.Nodes;

namespace Flotilla.Simulation.Invariants;

/// <summary>An acknowledgement speaks of entries that are on disk (hazard 12), and a term is on disk before others act on it.</summary>
public sealed class NothingUnsyncedIsTold : Invariant
{
    /// <inheritdoc/>
    public override void Sending(HostedReplica hosted, NodeId to, Message message)
    {
        // A disk that is in a later term already held those entries before, or writes both in one batch: to the leader of the
        // older term that is the same as an answer which was long under way.
        if (message is AppendEntriesReply { Success: true } reply && reply.Term == hosted.DurableState.Term && reply.MatchIndex > hosted.DurableLog.Last)
        {
            throw Broken($"{hosted.Name} acknowledges {reply.MatchIndex}, but its disk holds {hosted.DurableLog.Last}");
        }

        if (message is AppendEntriesReply or InstallSnapshotReply or RequestVote { PreVote: false } or RequestVoteReply { PreVote: false, Granted: true } && message.Term > hosted.DurableState.Term)
        {
            throw Broken($"{hosted.Name} speaks of {message.Term}, but its disk says {hosted.DurableState}");
        }
    }
}
