using Flotilla.Node.Cluster;
using Flotilla.Node.Snapshots;
using Flotilla.Raft;
using Flotilla.Shards.Handoff;
using Flotilla.Topology;

namespace Flotilla.Node.Loops;

/// <summary>A message of one group on its way to a peer.</summary>
internal readonly record struct OutboundMessage(NodeId To, GroupId Group, Message Message);

/// <summary>What may wait in one loop's inbox: calls and messages are bounded apart.</summary>
/// <param name="Calls">Clients' calls, and the bytes of their keys and values.</param>
/// <param name="Messages">Peers' messages, and their bytes.</param>
internal readonly record struct LoopLimits(InboxBound Calls, InboxBound Messages)
{
    /// <summary>
    /// Enough calls for bursts of small commands, few enough to answer "overloaded" while memory is still cheap. Messages
    /// are limited by Raft's windows already (8 MiB a follower), so theirs only guards against a peer that keeps to none.
    /// </summary>
    public static LoopLimits Default => new(new(32_768, 64L << 20), new(32_768, 128L << 20));
}

/// <summary>What a shard loop needs of its node. All delegates are called from the loop's thread and must not block.</summary>
/// <param name="Wal">Where persists go.</param>
/// <param name="Snapshots">Who writes, reads and loads snapshots.</param>
/// <param name="Send">Sends messages to peers, in order; may drop. The list is the caller's again afterwards.</param>
/// <param name="RoleChanged">Role, term or known leader of a replica changed.</param>
/// <param name="ConfigurationChanged">A replica's configuration changed, or the newest one that it knows to be committed.</param>
/// <param name="ShardChanged">What a replica's applied log says of its shard changed.</param>
/// <param name="SendHandoffs">Sends messages about moves to the leaders of other groups; may drop. The list is the caller's again afterwards.</param>
/// <param name="NoWritesBecause">Why no new writes are to be taken, in words for clients; null while they are.</param>
/// <param name="IsReluctant">The replicas of this node should rather not lead.</param>
/// <param name="IsFull">The replicas of this node can't keep new entries.</param>
/// <param name="Heard">The heartbeats that came from other nodes.</param>
/// <param name="Beat">Sends a heartbeat of a loop to nodes; may drop. The list is the caller's again afterwards.</param>
/// <param name="Fatal">The node can't go on.</param>
internal sealed record LoopServices(WalWriter Wal, SnapshotWorker Snapshots, Action<List<OutboundMessage>> Send, Action<HostedReplica> RoleChanged, Action<HostedReplica> ConfigurationChanged, Action<AppliedShard> ShardChanged, Action<IReadOnlyList<(ShardId Shard, GroupId Group, HandoffMessage Message)>> SendHandoffs, Func<string?> NoWritesBecause, Func<bool> IsReluctant, Func<bool> IsFull, HeardPulses Heard, Action<IReadOnlyList<NodeId>, uint> Beat, Action<Exception> Fatal);
