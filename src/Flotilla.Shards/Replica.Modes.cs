using Flotilla.Raft;
using Flotilla.Shards.Modes;
using Flotilla.Topology.Descriptors;

namespace Flotilla.Shards;

/// <content>The modes sync and chain: who holds up writes, who must hold them (<see cref="InSyncGate"/>), and by which way they travel (<see cref="ChainOrder"/>).</content>
public sealed partial class Replica
{
    private readonly List<NodeId> _linked = [];

    /// <summary>The node that holds up writes at this moment, since each must be on it (<see cref="InSyncGate"/>); none if nobody does, or this replica does not lead.</summary>
    public NodeId HeldUpBy(Instant now) =>
        Raft.Role == Role.Leader && InSyncGate.Holds(Ownership) ? _inSync.HeldUpBy(Raft, Ownership, LastApplied, now) : default;

    /// <summary>Who must hold a write before it is acknowledged, beyond a majority: the in-sync set as it is applied here; empty in other modes than sync and chain.</summary>
    public IReadOnlyList<NodeId> InSync => InSyncGate.Holds(Ownership) ? [.. _inSync.Members(Raft, Ownership, LastApplied)] : [];

    /// <summary>The way of entries while this replica leads in mode chain, itself first (<see cref="ChainOrder"/>); empty otherwise.</summary>
    public IReadOnlyList<NodeId> Chain => Raft.Role == Role.Leader && Ownership.Mode == ShardMode.Chain ? ChainOrder.Of(_self, InSync) : [];

    /// <summary>In mode chain, on its leader: who passes entries on to a member; none in other modes, and for the leader itself.</summary>
    public NodeId LinkTo(NodeId member) =>
        Raft.Role == Role.Leader && Ownership.Mode == ShardMode.Chain ? ChainOrder.BeforeOf(member, _self, InSync) : default;

    /// <summary>Up to where all that must hold a write hold this leader's log; null in other modes than sync and chain.</summary>
    private LogIndex? HeldByAll =>
        Raft.Role == Role.Leader && InSyncGate.Holds(Ownership) ? _inSync.HeldByAll(Raft, Ownership, LastApplied) : null;

    // Made anew only when the set is another one: this is asked at each flush.
    private void FollowChain()
    {
        if (Raft.Role != Role.Leader || Ownership.Mode != ShardMode.Chain)
        {
            if (_linked.Count > 0)
            {
                _linked.Clear();
                Raft.Chain = [];
            }

            return;
        }

        var members = _inSync.Members(Raft, Ownership, LastApplied);
        if (!_linked.SequenceEqual(members))
        {
            _linked.Clear();
            _linked.AddRange(members);
            Raft.Chain = [.. ChainOrder.Of(_self, members).Skip(1)];
        }
    }

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
