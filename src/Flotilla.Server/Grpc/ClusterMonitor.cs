using Flotilla.Contracts.Protos;
using Flotilla.Node;
using Flotilla.Raft;
using Flotilla.Server.Http;
using Flotilla.Wire.Rpc;
using Google.Protobuf.Collections;

namespace Flotilla.Server.Grpc;

/// <summary>Streams what this process knows of the cluster: when it changes, and at an interval. Thread-safe.</summary>
internal sealed class ClusterMonitor(IGateway gateway, TimeProvider time)
{
    // The gateway publishes snapshots and no events: looking so often bounds how late a change is seen.
    private static readonly TimeSpan Look = TimeSpan.FromMilliseconds(100);

    /// <summary>Sends until the caller goes away.</summary>
    public async Task StreamAsync(TimeSpan interval, RpcStreamWriter<MonitorEvent> writer, CancellationToken cancellation)
    {
        using var timer = new PeriodicTimer(Look, time);
        MonitorEvent? sent = null;
        var sentAt = 0L;
        ClusterView? seen = null;
        do
        {
            var view = gateway.View;
            var due = sent is null || time.GetElapsedTime(sentAt) >= interval;
            if (!due && ReferenceEquals(view, seen))
            {
                continue;
            }

            seen = view;
            var next = ToProto(view);
            if (due || !Shape(next).Equals(sent))
            {
                await writer.WriteAsync(next).ConfigureAwait(false);
                sent = Shape(next);
                sentAt = time.GetTimestamp();
            }
        }
        while (await timer.WaitForNextTickAsync(cancellation).ConfigureAwait(false));
    }

    /// <summary>The view as an event.</summary>
    internal static MonitorEvent ToProto(ClusterView view)
    {
        var proto = new MonitorEvent { Node = view.Node.ToString(), Router = view.IsRouter, ClusterId = view.ClusterId.ToString("x16"), AgeMs = (ulong)Math.Max(0, view.AgeMs) };
        foreach (var node in view.Nodes)
        {
            proto.Nodes.Add(new Contracts.Protos.Node { Id = node.Node.ToString(), Http = node.Http ?? "", Rpc = node.Rpc, Resp = node.Resp ?? "", Alive = node.Alive });
        }

        foreach (var shard in view.Shards)
        {
            var part = new Shard { Id = (uint)shard.Shard.Value, State = shard.State, Mode = shard.Mode, Leader = shard.Leader.Value ?? "", Term = shard.Term.Value, Version = shard.Version };
            Add(part.Voters, shard.Voters);
            Add(part.Learners, shard.Learners);
            Add(part.InSync, shard.InSync);
            foreach (var (first, last) in shard.Ranges)
            {
                part.Ranges.Add(new SlotRange { First = (uint)first, Last = (uint)last });
            }

            proto.Shards.Add(part);
        }

        foreach (var replica in view.Local)
        {
            proto.Replicas.Add(new Contracts.Protos.Replica
            {
                Shard = (uint)replica.Shard.Value,
                Role = ClusterDocuments.RoleName(replica),
                Term = replica.Term.Value,
                Leader = replica.Leader.Value ?? "",
                CommitIndex = replica.CommitIndex.Value,
                LastApplied = replica.LastApplied.Value,
                LastLogIndex = replica.LastLogIndex.Value,
                SnapshotIndex = replica.SnapshotIndex.Value,
                Keys = (ulong)replica.Keys,
                Bytes = (ulong)replica.Bytes,
            });
        }

        return proto;
    }

    /// <summary>What counts as a change: all but the numbers that every write moves.</summary>
    private static MonitorEvent Shape(MonitorEvent full)
    {
        var shape = full.Clone();
        shape.AgeMs = 0;
        foreach (var shard in shape.Shards)
        {
            shard.Version = "";
        }

        foreach (var replica in shape.Replicas)
        {
            replica.CommitIndex = replica.LastApplied = replica.LastLogIndex = replica.SnapshotIndex = replica.Keys = replica.Bytes = 0;
        }

        return shape;
    }

    private static void Add(RepeatedField<string> to, IReadOnlyList<NodeId> nodes)
    {
        foreach (var node in nodes)
        {
            to.Add(node.ToString());
        }
    }
}
