using Flotilla.Node.Cluster;
using Flotilla.Node.Loops;
using Flotilla.Node.Peers;
using Flotilla.Raft;
using Flotilla.Shards;
using Flotilla.Shards.Handoff;
using Flotilla.Topology;
using Flotilla.Wire.Peers;

namespace Flotilla.Node.Hosting;

/// <summary>Carries what the leaders of two shards say to each other about moves; drops what it can't deliver, since all is said again. Thread-safe.</summary>
/// <param name="cluster">Who leads.</param>
/// <param name="transport">The way there.</param>
/// <param name="replicaOf">The replica here of a group, or null.</param>
internal sealed class HandoffCourier(ClusterState cluster, PeerTransport transport, Func<GroupId, HostedReplica?> replicaOf)
{
    /// <summary>Sends to the leaders of the groups that are named. Never blocks.</summary>
    public void Send(IReadOnlyList<(ShardId Shard, GroupId Group, HandoffMessage Message)> messages)
    {
        foreach (var (shard, group, message) in messages)
        {
            if (cluster.Table.Of(shard) is not { } route || route.Group != group)
            {
                continue;
            }

            var leader = route.Leader.Leader;
            if (leader == cluster.Self)
            {
                Deliver(group, message);
            }
            else if (transport.LinkOf(leader)?.Session is { } session)
            {
                var bytes = HandoffMessageCodec.Encode(message);
                NodeMetrics.HandoffBytes.Add(bytes.Length);
                session.SendHandoff(new HandoffEnvelope(group, bytes));
            }
        }
    }

    /// <summary>A message came from another node.</summary>
    public void Receive(in HandoffEnvelope envelope)
    {
        try
        {
            Deliver(envelope.Group, HandoffMessageCodec.Decode(envelope.Message));
        }
        catch (MalformedPayloadException e)
        {
            throw new PeerFormatException($"a message about a move can't be read: {e.Message}", e);
        }
    }

    private void Deliver(GroupId group, HandoffMessage message)
    {
        if (replicaOf(group) is { } hosted)
        {
            hosted.Loop.Inbox.Post(LoopInput.ForAct(hosted, (replica, _) => replica.Receive(message)));
        }
    }
}
