using Flotilla.Raft;
using Flotilla.Shards.Modes;

namespace Flotilla.Shards;

/// <content>The modes sync and chain: who holds up writes, and who must hold them (<see cref="InSyncGate"/>).</content>
public sealed partial class Replica
{
    /// <summary>The node that holds up writes at this moment, since each must be on it (<see cref="InSyncGate"/>); none if nobody does, or this replica does not lead.</summary>
    public NodeId HeldUpBy(Instant now) =>
        Raft.Role == Role.Leader && InSyncGate.Holds(Ownership) ? _inSync.HeldUpBy(Raft, Ownership, LastApplied, now) : default;

    /// <summary>Who must hold a write before it is acknowledged, beyond a majority: the in-sync set as it is applied here; empty in other modes than sync and chain.</summary>
    public IReadOnlyList<NodeId> InSync => InSyncGate.Holds(Ownership) ? [.. _inSync.Members(Raft, Ownership, LastApplied)] : [];

    // Who has lost leadership can't tell any more what the others hold: what it holds back ends by deadline.
    private void KeepInSync()
    {
        if (Raft.Role == Role.Leader && (_writes.HasHeld || InSyncGate.Holds(Ownership)))
        {
            _writes.Release(_inSync.HeldByAll(Raft, Ownership, LastApplied), _output);
            if (InSyncGate.Holds(Ownership) && _inSync.Look(Raft, Ownership, LastApplied, _now) is { } step)
            {
                _ = Propose(step);
            }
        }
    }
}
