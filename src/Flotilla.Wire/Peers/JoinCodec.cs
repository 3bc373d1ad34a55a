using Flotilla.Raft;
using Flotilla.Shards;
using Flotilla.Topology.Descriptors;
using Pb = Flotilla.Wire.Protos;

namespace Flotilla.Wire.Peers;

/// <summary>A node without a cluster asks a node that has one.</summary>
/// <param name="Version">Of the protocol.</param>
/// <param name="Node">The asker.</param>
/// <param name="Incarnation">Its data directory.</param>
public sealed record JoinAsk(uint Version, NodeId Node, Incarnation Incarnation);

/// <summary>How the cluster began, and who is in it now: all that a node needs to enter it.</summary>
/// <param name="ClusterId">The cluster: the hash of the flags and the nonce that follow.</param>
/// <param name="Members">The first nodes with the addresses that they had, as the cluster id's hash has them.</param>
/// <param name="Shards">The shards that it began with.</param>
/// <param name="Replicas">The replica target.</param>
/// <param name="Nonce">What its first node drew; 0 if it began with several, or before there were nonces.</param>
/// <param name="Nodes">The nodes that the answering one knows, with their present RPC addresses.</param>
public sealed record JoinAnswer(ulong ClusterId, IReadOnlyList<ClusterMember> Members, int Shards, int Replicas, ulong Nonce, IReadOnlyList<ClusterMember> Nodes)
{
    /// <summary>How its shards replicated at first; a part of the hash, if it was not raft.</summary>
    public ShardMode Mode { get; init; } = ShardMode.Raft;
}

/// <summary>A member tells a node that has no cluster of its own.</summary>
/// <param name="Version">Of the protocol.</param>
/// <param name="Node">Whom the operator means.</param>
/// <param name="Caller">The member.</param>
/// <param name="Cluster">Its cluster.</param>
public sealed record AdoptAsk(uint Version, NodeId Node, NodeId Caller, JoinAnswer Cluster);

/// <summary>The calls by which a node that has no cluster learns of one: it asks, or is told. Everything read is checked, as in <see cref="PeerCodec"/>.</summary>
public static class JoinCodec
{
    /// <summary>The method by which a node asks.</summary>
    public const string Path = "/flotilla.peer.v1.Peer/Join";

    /// <summary>The method by which a member tells a node of its cluster.</summary>
    public const string AdoptPath = "/flotilla.peer.v1.Peer/Adopt";

    private const int MaxNodes = 10_000;

    /// <summary>The question as a message.</summary>
    public static Pb.JoinRequest ToProto(JoinAsk ask)
    {
        ArgumentNullException.ThrowIfNull(ask);
        return new Pb.JoinRequest { ProtocolVersion = ask.Version, NodeId = ask.Node.Value, Incarnation = ask.Incarnation.Value };
    }

    /// <summary>The answer as a message.</summary>
    public static Pb.JoinReply ToProto(JoinAnswer answer)
    {
        ArgumentNullException.ThrowIfNull(answer);
        var proto = new Pb.JoinReply { ClusterId = answer.ClusterId, Shards = (uint)answer.Shards, Replicas = (uint)answer.Replicas, Nonce = answer.Nonce, Mode = (uint)answer.Mode };
        proto.Members.AddRange(answer.Members.Select(Member));
        proto.Nodes.AddRange(answer.Nodes.Select(Member));
        return proto;
    }

    /// <summary>Reads the question.</summary>
    /// <exception cref="PeerFormatException">It makes no sense.</exception>
    public static JoinAsk FromProto(Pb.JoinRequest proto)
    {
        ArgumentNullException.ThrowIfNull(proto);
        return new JoinAsk(proto.ProtocolVersion, Check.Node(proto.NodeId), new Incarnation(proto.Incarnation));
    }

    /// <summary>Reads the answer.</summary>
    /// <exception cref="PeerFormatException">It makes no sense.</exception>
    public static JoinAnswer FromProto(Pb.JoinReply proto)
    {
        ArgumentNullException.ThrowIfNull(proto);
        Check.That(proto.ClusterId != 0, "an answer names no cluster");
        Check.That(proto.Members.Count <= MaxNodes && proto.Nodes.Count <= MaxNodes, "an answer names too many nodes");
        Check.That(proto.Mode is >= (uint)ShardMode.Raft and <= (uint)ShardMode.Chain, "an answer names a mode in which no cluster begins");
        return new JoinAnswer(
            proto.ClusterId,
            [.. proto.Members.Select(Member)],
            Check.Between(proto.Shards, 1, Genesis.MaxShards, "the number of shards is out of range"),
            Check.Between(proto.Replicas, 1, int.MaxValue, "the number of replicas is out of range"),
            proto.Nonce,
            [.. proto.Nodes.Select(Member)])
        {
            Mode = (ShardMode)proto.Mode,
        };
    }

    /// <summary>What a member tells, as a message.</summary>
    public static Pb.AdoptRequest ToProto(AdoptAsk ask)
    {
        ArgumentNullException.ThrowIfNull(ask);
        return new Pb.AdoptRequest { ProtocolVersion = ask.Version, NodeId = ask.Node.Value, Caller = ask.Caller.Value, Cluster = ToProto(ask.Cluster) };
    }

    /// <summary>Reads what a member tells.</summary>
    /// <exception cref="PeerFormatException">It makes no sense.</exception>
    public static AdoptAsk FromProto(Pb.AdoptRequest proto)
    {
        ArgumentNullException.ThrowIfNull(proto);
        Check.That(proto.Cluster is not null, "an adoption names no cluster");
        return new AdoptAsk(proto.ProtocolVersion, Check.Node(proto.NodeId), Check.Node(proto.Caller), FromProto(proto.Cluster));
    }

    private static Pb.JoinNode Member(ClusterMember member) => new() { NodeId = member.Node.Value, RpcAddress = member.Rpc };

    private static ClusterMember Member(Pb.JoinNode proto) => new(Check.Node(proto.NodeId), Check.Name(proto.RpcAddress));
}
