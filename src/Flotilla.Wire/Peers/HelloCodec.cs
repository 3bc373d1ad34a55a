using Flotilla.Raft;
using Flotilla.Topology;
using Flotilla.Topology.Descriptors;
using Pb = Flotilla.Wire.Protos;

namespace Flotilla.Wire.Peers;

/// <summary>Who speaks.</summary>
internal static class HelloCodec
{
    public static Pb.Hello ToProto(Hello hello) => new()
    {
        ProtocolVersion = hello.Version,
        NodeId = hello.Node.Value,
        Incarnation = hello.Incarnation.Value,
        BootNumber = hello.BootNumber,
        ClusterId = hello.ClusterId,
        HttpAddress = hello.Http ?? "",
        RpcAddress = hello.Rpc ?? "",
        IsRouter = hello.IsRouter,
        OnlyShard = (uint)(hello.OnlyShard?.Value ?? 0),
    };

    public static Hello FromProto(Pb.Hello proto)
    {
        Check.That(proto.ProtocolVersion != 0, "a hello has no protocol version");
        Check.That(proto.IsRouter || proto.Incarnation != 0, "a node's hello has no incarnation");
        return new Hello(proto.ProtocolVersion, Check.Node(proto.NodeId), new Incarnation(proto.Incarnation), proto.BootNumber, proto.ClusterId, Check.Optional(proto.HttpAddress), Check.Optional(proto.RpcAddress), proto.IsRouter)
        {
            OnlyShard = proto.OnlyShard == 0 ? null : new ShardId(Check.Between(proto.OnlyShard, 1, DescriptorCodec.MaxShard, "the number of a shard is out of range")),
        };
    }
}
