using Flotilla.Raft;
using Flotilla.Shards;
using Flotilla.Wire.Peers;
using Flotilla.Wire.Rpc;
using Pb = Flotilla.Wire.Protos;

namespace Flotilla.Node.Hosting;

/// <summary>
/// The one way by which a node without a cluster comes to belong to one, whether it was told on its own asking (<c>--join</c>)
/// or because an operator added it at a member; and what a node that belongs to one says to whoever would adopt it. The first
/// answer counts, durably, and no later one of another cluster. Thread-safe.
/// </summary>
public sealed class Entrance
{
    private readonly Lock _gate = new();
    private readonly NodeId _self;
    private readonly Incarnation _incarnation;
    private readonly Action<JoinAnswer>? _keep;
    private readonly TaskCompletionSource<NodeId> _entered = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private ulong _clusterId;

    /// <summary>That of a node which waits.</summary>
    /// <param name="self">The node.</param>
    /// <param name="incarnation">Its data directory.</param>
    /// <param name="keep">Makes durable which cluster it is. May throw; then the node can't go on.</param>
    public Entrance(NodeId self, Incarnation incarnation, Action<JoinAnswer> keep)
    {
        _self = self;
        _incarnation = incarnation;
        _keep = keep;
    }

    /// <summary>That of a node which belongs to a cluster.</summary>
    /// <param name="self">The node.</param>
    /// <param name="incarnation">Its data directory.</param>
    /// <param name="clusterId">The cluster.</param>
    public Entrance(NodeId self, Incarnation incarnation, ulong clusterId)
    {
        ArgumentOutOfRangeException.ThrowIfZero(clusterId);
        _self = self;
        _incarnation = incarnation;
        _clusterId = clusterId;
        _entered.SetResult(default);
    }

    /// <summary>Completes with the member that called, or with none for one that was asked, once it is durable that the node belongs to a cluster; fails if that can't be made durable.</summary>
    public Task<NodeId> Entered => _entered.Task;

    /// <summary>Enters a cluster, unless the node belongs to one. Returns the one that it belongs to then.</summary>
    /// <param name="cluster">What is known of the cluster.</param>
    /// <param name="caller">The member that called, or none if it was asked.</param>
    /// <exception cref="IOException">It could not be made durable.</exception>
    public ulong Enter(JoinAnswer cluster, NodeId caller)
    {
        ArgumentNullException.ThrowIfNull(cluster);
        lock (_gate)
        {
            if (_clusterId == 0)
            {
                try
                {
                    _keep!(cluster);
                }
                catch (Exception e)
                {
                    // Whether it is on the disk is not known: this process must not go on.
                    _entered.TrySetException(e);
                    throw;
                }

                _clusterId = cluster.ClusterId;
                _entered.TrySetResult(caller);
            }

            return _clusterId;
        }
    }

    /// <summary>Why what was told of a cluster can't be true, or null.</summary>
    public static string? Doubt(JoinAnswer cluster)
    {
        ArgumentNullException.ThrowIfNull(cluster);
        try
        {
            return Genesis.Compute(cluster.Members, cluster.Shards, cluster.Replicas, cluster.Nonce, cluster.Mode).ClusterId == cluster.ClusterId
                ? null
                : "it computes another cluster id from the same flags: run the same release on both";
        }
        catch (GenesisException e)
        {
            return e.Message;
        }
    }

    /// <summary>A member's call: enters its cluster, or says that it is in it, or why not.</summary>
    public RpcReply<Pb.AdoptReply> Adopt(Pb.AdoptRequest request)
    {
        AdoptAsk ask;
        try
        {
            ask = JoinCodec.FromProto(request);
        }
        catch (PeerFormatException e)
        {
            return new RpcStatus(RpcCode.InvalidArgument, e.Message);
        }

        if (ask.Version != PeerFrame.ProtocolVersion)
        {
            return new RpcStatus(RpcCode.FailedPrecondition, $"it speaks protocol version {PeerFrame.ProtocolVersion}, and node {ask.Caller} {ask.Version}: run the same release on both");
        }

        if (ask.Node != _self)
        {
            return RpcStatus.WithCode(RpcCode.FailedPrecondition, "wrong_node", $"node {_self} answers there, not {ask.Node}: check the name and the address");
        }

        if (Doubt(ask.Cluster) is { } doubt)
        {
            return new RpcStatus(RpcCode.FailedPrecondition, doubt);
        }

        var entered = Enter(ask.Cluster, ask.Caller);
        return entered == ask.Cluster.ClusterId
            ? new Pb.AdoptReply { Incarnation = _incarnation.Value }
            : RpcStatus.WithCode(
                RpcCode.FailedPrecondition, "other_cluster",
                $"node {_self} belongs to another cluster ({entered:x16}; this one is {ask.Cluster.ClusterId:x16}): it can enter this one only with an empty data directory, and started with --join HOST:RPC of a node of this one");
    }
}
