using Flotilla.Raft;
using Flotilla.Wire.Peers;
using Flotilla.Wire.Rpc;

namespace Flotilla.Node.Peers;

/// <summary>The other side is not one to speak with; the message says why, for both operators' logs.</summary>
internal sealed class HandshakeException(string message) : Exception(message);

/// <summary>The first frame in each direction: who speaks, of which cluster.</summary>
internal static class Handshake
{
    /// <summary>The dialling side: says Hello, and waits for the other's.</summary>
    public static async Task<Hello> DialAsync(RpcDuplex stream, Hello self, NodeId expected, CancellationToken cancellation)
    {
        await SayAsync(stream, self, cancellation);
        if (!await stream.WaitToReadAsync(cancellation))
        {
            throw new HandshakeException(stream.Status.Message ?? "it closed the stream without a word");
        }

        var remote = Read(stream, self);
        return remote.Node == expected && !remote.IsRouter
            ? remote
            : throw new HandshakeException($"{(remote.IsRouter ? "router" : "node")} {remote.Node} answers there, not node {expected}: check the addresses in --initial-cluster or --join");
    }

    /// <summary>The accepting side: waits for the other's Hello, and answers unless <paramref name="objection"/> says why not.</summary>
    public static async Task<Hello> AcceptAsync(RpcDuplex stream, Hello self, Func<Hello, string?> objection, CancellationToken cancellation)
    {
        if (!await stream.WaitToReadAsync(cancellation))
        {
            throw new HandshakeException("it closed the stream without a Hello");
        }

        var remote = Read(stream, self);
        if (remote.Node == self.Node)
        {
            throw new HandshakeException($"it calls itself {remote.Node}, which is this node's own id: two processes may not share one");
        }

        if (objection(remote) is { } reason)
        {
            throw new HandshakeException(reason);
        }

        await SayAsync(stream, self, cancellation);
        return remote;
    }

    private static async Task SayAsync(RpcDuplex stream, Hello self, CancellationToken cancellation)
    {
        stream.Write(PeerCodec.ToProto(new PeerFrame { ClusterId = self.ClusterId, Hello = self }));
        await stream.FlushAsync(cancellation);
    }

    private static Hello Read(RpcDuplex stream, Hello self)
    {
        var frame = new PeerFrame();
        if (stream.TryRead(out var bytes))
        {
            try
            {
                PeerCodec.Decode(bytes, frame);
            }
            catch (PeerFormatException e)
            {
                throw new HandshakeException($"its first frame makes no sense ({e.Message}): is this the RPC port of a Flotilla node?");
            }
        }

        if (frame.Hello is not { } hello)
        {
            throw new HandshakeException("its first frame is no Hello: is this the RPC port of a Flotilla node?");
        }

        if (hello.Version != PeerFrame.ProtocolVersion)
        {
            throw new HandshakeException($"node {hello.Node} speaks protocol version {hello.Version}, this one {PeerFrame.ProtocolVersion}: run the same release on both");
        }

        return hello.ClusterId == self.ClusterId ? hello : throw new HandshakeException(OtherCluster(hello, self));
    }

    // Which of the two is where it should not be, only the operator knows: a node that lost its disk and was started by the command
    // that began its cluster has begun another one.
    private static string OtherCluster(Hello hello, Hello self)
    {
        var reason = $"node {hello.Node} belongs to cluster {hello.ClusterId:x16}, this one to {self.ClusterId:x16}: nodes of one cluster must be started with the same --initial-cluster, --shards and --replicas the first time, or with --join, and keep their data directories";
        return hello.IsRouter || self.IsRouter
            ? reason
            : $"{reason}. If {hello.Node} lost its own, start it with an empty one and --join {self.Rpc}; if {self.Node} did, start that with --join {hello.Rpc}";
    }
}
