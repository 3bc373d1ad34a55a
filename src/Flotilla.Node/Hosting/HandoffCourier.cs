using Flotilla.Node.Cluster;
using Flotilla.Node.Loops;
using Flotilla.Node.Peers;
using Flotilla.Raft;
using Flotilla.Shards;
using Flotilla.Shards.Handoff;
using Flotilla.Topology;
using Flotilla.Wire.Peers;

namespace Flotilla.Node.Hosting;

/// <summary>
/// Carries what the leaders of two shards say to each other about moves; drops what it can't deliver, since all is said again. Where the other
/// leader can't be reached from here a node in between is asked to pass it on: whoever sent it, messages mean nothing but by what
/// the two logs hold, so a detour needs nobody's trust. Thread-safe.
/// </summary>
/// <param name="cluster">Who leads.</param>
/// <param name="transport">The way there.</param>
/// <param name="replicaOf">The replica here of a group, or null.</param>
internal sealed class HandoffCourier(ClusterState cluster, PeerTransport transport, Func<GroupId, HostedReplica?> replicaOf)
{
    /// <summary>How long all goes by way of one node, before the next is tried: that one may not reach the leader either.</summary>
    private const long DetourUs = 1_000_000;

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
            else if (transport.LinkOf(leader)?.Session is { } session && cluster.IsAlive(leader))
            {
                Send(session, new HandoffEnvelope(group, HandoffMessageCodec.Encode(message)));
            }
            else if (Between(route, leader) is { } other)
            {
                Send(other, new HandoffEnvelope(group, HandoffMessageCodec.Encode(message), PassOn: true));
            }
        }
    }

    /// <summary>A message came from another node.</summary>
    public void Receive(in HandoffEnvelope envelope)
    {
        var group = envelope.Group;
        HandoffMessage message;
        try
        {
            message = HandoffMessageCodec.Decode(envelope.Message);
        }
        catch (MalformedPayloadException e)
        {
            throw new PeerFormatException($"a message about a move can't be read: {e.Message}", e);
        }

        if (envelope.PassOn && cluster.Table.Shards.FirstOrDefault(route => route.Group == group) is { Leader.Leader: var leader } && leader != cluster.Self)
        {
            if (transport.LinkOf(leader)?.Session is { } session)
            {
                NodeMetrics.HandoffsPassedOn.Add(1);
                Send(session, envelope with { PassOn = false });
            }
        }
        else
        {
            Deliver(group, message);
        }
    }

    private static void Send(PeerSession session, in HandoffEnvelope envelope)
    {
        NodeMetrics.HandoffBytes.Add(envelope.Message.Length);
        session.SendHandoff(envelope);
    }

    /// <summary>Somebody who may reach a leader that this node does not: another voter of its shard for choice, which knows best who leads.</summary>
    private PeerSession? Between(ShardRoute route, NodeId leader)
    {
        var living = transport.Links.Where(link => !link.IsRouter && link.Peer != leader && cluster.IsAlive(link.Peer) && link.Session is not null).ToArray();
        var voters = living.Where(link => route.Voters.Contains(link.Peer)).ToArray();
        var others = (voters.Length > 0 ? voters : living).OrderBy(static link => link.Peer).ToArray();
        return others.Length == 0 ? null : others[(int)(NodeClock.Now.Microseconds / DetourUs % others.Length)].Session;
    }

    private void Deliver(GroupId group, HandoffMessage message)
    {
        if (replicaOf(group) is { } hosted)
        {
            hosted.Loop.Inbox.Post(LoopInput.ForAct(hosted, (replica, _) => replica.Receive(message)));
        }
    }
}
