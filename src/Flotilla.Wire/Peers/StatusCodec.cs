using Flotilla.Raft;
using Flotilla.Raft.Membership;
using Flotilla.Topology;
using Google.Protobuf.Collections;
using Pb = Flotilla.Wire.Protos;

namespace Flotilla.Wire.Peers;

/// <summary>Who speaks, and what it knows of the cluster.</summary>
internal static class StatusCodec
{
    private const int MaxShard = 1 << 20;

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
    };

    public static Hello FromProto(Pb.Hello proto)
    {
        Check.That(proto.ProtocolVersion != 0, "a hello has no protocol version");
        Check.That(proto.IsRouter || proto.Incarnation != 0, "a node's hello has no incarnation");
        return new Hello(proto.ProtocolVersion, Check.Node(proto.NodeId), new Incarnation(proto.Incarnation), proto.BootNumber, proto.ClusterId, Check.Optional(proto.HttpAddress), Check.Optional(proto.RpcAddress), proto.IsRouter);
    }

    public static Pb.StatusGossip ToProto(ClusterStatus status)
    {
        var proto = new Pb.StatusGossip { AgeMs = (ulong)Math.Max(0, status.AgeMs) };
        foreach (var node in status.Nodes)
        {
            proto.Nodes.Add(new Pb.NodeStatus { NodeId = node.Node.Value, HttpAddress = node.Http ?? "", RpcAddress = node.Rpc ?? "", RespAddress = node.Resp ?? "", Alive = node.Alive, Reluctant = node.Reluctant });
        }

        foreach (var shard in status.Shards)
        {
            var part = new Pb.ShardStatus { Shard = (uint)shard.Shard.Value, Group = shard.Group.Value, State = shard.State, Mode = shard.Mode, Leader = shard.Leader.Value ?? "", Term = shard.Term.Value, Version = shard.Version };
            part.Voters.AddRange(shard.Members.Voters.Select(n => n.Value));
            part.Learners.AddRange(shard.Members.Learners.Select(n => n.Value));
            part.InSync.AddRange(shard.InSync.Select(n => n.Value));
            part.Configuration = shard.Members.Index.Value;
            part.Removed.AddRange(shard.Members.Removed.Select(seat => new Pb.RemovedSeat { NodeId = seat.Id.Value, Incarnation = seat.Incarnation.Value }));
            part.Ranges.AddRange(shard.Ranges.Select(r => new Pb.SlotRange { First = (uint)r.First, Last = (uint)r.Last }));
            proto.Shards.Add(part);
        }

        return proto;
    }

    public static ClusterStatus FromProto(Pb.StatusGossip proto)
    {
        var nodes = new NodeStatus[proto.Nodes.Count];
        for (var i = 0; i < nodes.Length; i++)
        {
            var node = proto.Nodes[i];
            nodes[i] = new NodeStatus(Check.Node(node.NodeId), Check.Optional(node.HttpAddress), Check.Optional(node.RpcAddress), Check.Optional(node.RespAddress), node.Alive, node.Reluctant);
            Check.That(i == 0 || nodes[i - 1].Node.CompareTo(nodes[i].Node) < 0, "nodes are out of order");
        }

        var shards = new ShardStatus[proto.Shards.Count];
        for (var i = 0; i < shards.Length; i++)
        {
            shards[i] = FromProto(proto.Shards[i]);
            Check.That(i == 0 || shards[i - 1].Shard.Value < shards[i].Shard.Value, "shards are out of order");
        }

        return new ClusterStatus(nodes, shards, Check.NonNegative(proto.AgeMs));
    }

    private static ShardStatus FromProto(Pb.ShardStatus proto)
    {
        var ranges = new (int First, int Last)[proto.Ranges.Count];
        var next = 0;
        for (var i = 0; i < ranges.Length; i++)
        {
            var range = proto.Ranges[i];
            ranges[i] = (Check.Between(range.First, next, Slot.Count - 1, "slots are out of order"), Check.Between(range.Last, 0, Slot.Count - 1, "there is no such slot"));
            Check.That(ranges[i].Last >= ranges[i].First, "a range of slots ends before it begins");
            next = ranges[i].Last + 1;
        }

        Check.That(proto.Removed.Count <= Configuration.MaxRemoved, "a shard remembers too many removed seats");
        var removed = proto.Removed.Count == 0 ? [] : proto.Removed.Select(static seat => new RemovedSeat(Check.Node(seat.NodeId), new Incarnation(seat.Incarnation))).ToArray();
        return new ShardStatus(
            new ShardId(Check.Between(proto.Shard, 1, MaxShard, "there is no such shard")),
            new GroupId(proto.Group),
            Check.Name(proto.State),
            Check.Name(proto.Mode),
            Check.NodeOrNone(proto.Leader),
            new Term(proto.Term),
            new ShardMembers(new LogIndex(proto.Configuration), Nodes(proto.Voters), Nodes(proto.Learners), removed),
            Nodes(proto.InSync),
            ranges,
            Check.Optional(proto.Version) ?? "");
    }

    private static NodeId[] Nodes(RepeatedField<string> names)
    {
        var nodes = names.Count == 0 ? [] : new NodeId[names.Count];
        for (var i = 0; i < nodes.Length; i++)
        {
            nodes[i] = Check.Node(names[i]);
        }

        return nodes;
    }
}
