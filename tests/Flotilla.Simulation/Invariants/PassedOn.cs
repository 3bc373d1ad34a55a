using Flotilla.Raft;
using Flotilla.Simulation.Nodes;

namespace Flotilla.Simulation.Invariants;

/// <summary>
/// Relaying moves bytes, not authority (hazard 49): what a replica passes on was said by the one leader of that term, and is in the log of who passes it on; nobody
/// passes on what it would not have said itself, and a leader passes on nothing.
/// </summary>
public sealed class PassedOn(World world) : Invariant
{
    /// <inheritdoc/>
    public override void Sending(HostedReplica hosted, NodeId to, Message message)
    {
        if (message is not AppendEntries { Leader: { IsNone: false } leader } append)
        {
            return;
        }

        world.Count("passed on");
        var raft = hosted.Replica.Raft;
        var last = append.PrevLogIndex + (ulong)append.Entries.Count;
        if (leader == hosted.Node.Id || to == leader || to == hosted.Node.Id || append.Entries.Count == 0 || !append.Seat.IsNone)
        {
            throw Broken($"{hosted.Name} passes on {append} to {to}");
        }

        // It may have learned more in the same step; then the message is an old one, and those who get it know by its term.
        if (raft.Term == append.Term && raft.Leader == leader && (hosted.Log.Last < last || hosted.Log.At(last).Term != append.Entries[^1].Term))
        {
            throw Broken($"{hosted.Name} passes on entries up to {last}, and its own log ends at {hosted.Log.Last}");
        }
    }
}
