using System.Text;
using Flotilla.Contracts.Protos;
using Flotilla.Node.Tests.Clusters;
using Flotilla.Raft;
using Flotilla.Shards;
using Flotilla.Topology;
using Flotilla.Wire.Peers;
using Flotilla.Wire.Rpc;

namespace Flotilla.Node.Tests;

/// <summary>A node as seen from the other end of a peer stream, and from a gRPC client.</summary>
public sealed class PeerProtocolTests
{
    [Fact, Trait("Hazard", "54"), Trait("Hazard", "36")]
    public async Task A_call_that_has_hopped_enough_is_refused_with_a_hint_and_otherwise_passed_on()
    {
        await using var cluster = await TestCluster.StartAsync(3, shards: 1);
        var leader = await cluster.LeaderAsync(new ShardId(1));
        var follower = cluster.Running.First(i => i != leader);
        await using var stream = await DialAsync(cluster, follower, cluster[follower].Gateway.View.ClusterId);
        var put = Command.Put("hop"u8.ToArray(), "v"u8.ToArray());
        await SendAsync(stream, cluster, f => f.Requests.Add(CallRequest.Write(7, new ShardId(1), 2, 1000, put)));
        var refused = await ReplyAsync(stream, 7);
        Assert.Equal(ResultCode.NotLeader, refused.Code);
        Assert.Equal(TestCluster.Id(leader), refused.Leader);
        Assert.Null(await cluster[leader].Gateway.ReadAsync("hop"));

        await SendAsync(stream, cluster, f => f.Requests.Add(CallRequest.Write(8, new ShardId(1), 0, 5000, put)));
        Assert.Equal(ResultCode.Ok, (await ReplyAsync(stream, 8)).Code);
        Assert.Equal("v", await cluster[leader].Gateway.ReadAsync("hop"));
    }

    [Fact]
    public async Task A_frame_of_another_cluster_ends_the_stream()
    {
        await using var cluster = await TestCluster.StartAsync(1);
        var clusterId = cluster[0].Gateway.View.ClusterId;
        await using var stream = await DialAsync(cluster, 0, clusterId);
        stream.Write(PeerCodec.ToProto(new PeerFrame { ClusterId = clusterId + 1 }));
        await stream.FlushAsync(TestContext.Current.CancellationToken);
        await Eventually.IsTrueAsync(() => cluster.Log.Has(2101, "a frame of cluster"), "the stream was cut for it");
    }

    [Fact]
    public async Task A_node_of_another_cluster_is_refused_with_a_reason()
    {
        await using var cluster = await TestCluster.StartAsync(1);
        Assert.Contains("belongs to cluster 0000000000000bad", await RefusalAsync(cluster, 0, new NodeId("stranger"), isRouter: false, clusterId: 0xbad), StringComparison.Ordinal);
        Assert.True(cluster.Log.Has(2103, "stranger"));
    }

    [Fact, Trait("Hazard", "17")]
    public async Task Nobody_takes_the_place_of_a_node_whose_process_lives()
    {
        await using var cluster = await TestCluster.StartAsync(3);
        await Eventually.IsTrueAsync(() => cluster.Log.Lines.Count(l => l.Id.Id == 2100) == 6, "every pair is connected");
        Assert.Contains("calls itself n1", await RefusalAsync(cluster, 1, TestCluster.Id(0), isRouter: true), StringComparison.Ordinal);
        Assert.True(cluster.Log.Has(2103, "calls itself n1"), "the operator of the node that was asked is told");
        Assert.Contains("another process speaks as n1 already", await RefusalAsync(cluster, 1, TestCluster.Id(0), isRouter: false), StringComparison.Ordinal);
        Assert.True(cluster.Log.Has(2103, "another process speaks as n1 already"));

        // The healthy streams stood all the while.
        Assert.Equal(6, cluster.Log.Lines.Count(l => l.Id.Id == 2100));
        Assert.DoesNotContain(cluster.Log.Lines, l => l.Id.Id == 2101);
    }

    [Fact, Trait("Hazard", "17")]
    public async Task A_wiped_node_is_let_in_once_its_old_process_is_gone()
    {
        await using var cluster = await TestCluster.StartAsync(3, shards: 1);
        await cluster.KillAsync(0);
        Directory.Delete(cluster.OptionsOf(0).DataDir, recursive: true);
        await cluster.StartNodeAsync(0);
        await Eventually.IsTrueAsync(() => cluster[1].Gateway.View.Nodes.All(n => n.Alive) && cluster[2].Gateway.View.Nodes.All(n => n.Alive), "the wiped node dials its peers");
        await Eventually.IsTrueAsync(() => cluster[0].Gateway.View.Local.All(r => r.SeatIsTaken), "and is told that its seat is taken");
    }

    [Fact]
    public async Task The_rpc_listener_serves_grpc_clients_too()
    {
        await using var cluster = await TestCluster.StartAsync(3);
        using var channel = new RpcChannel(cluster[0].Rpc);
        var token = TestContext.Current.CancellationToken;
        var put = await channel.UnaryAsync(
            "/flotilla.v1.KV/Put", new PutRequest { Key = Google.Protobuf.ByteString.CopyFromUtf8("g"), Value = Google.Protobuf.ByteString.CopyFromUtf8("rpc") },
            PutResponse.Parser, cancellation: token);
        Assert.NotEmpty(put.Version);
        var get = await channel.UnaryAsync("/flotilla.v1.KV/Get", new GetRequest { Key = Google.Protobuf.ByteString.CopyFromUtf8("g") }, GetResponse.Parser, cancellation: token);
        Assert.Equal("rpc", Encoding.UTF8.GetString(get.Value.Span));
    }

    /// <summary>Says Hello under a name, from a data directory of its own, and returns the words of the refusal.</summary>
    private static async Task<string> RefusalAsync(TestCluster cluster, int node, NodeId name, bool isRouter, ulong clusterId = 0)
    {
        await using var stream = await OpenAsync(cluster, node);
        clusterId = clusterId == 0 ? cluster[node].Gateway.View.ClusterId : clusterId;
        stream.Write(PeerCodec.ToProto(new PeerFrame
        {
            ClusterId = clusterId,
            Hello = new Hello(PeerFrame.ProtocolVersion, name, isRouter ? default : new Incarnation(1), 1, clusterId, null, null, isRouter),
        }));
        await stream.FlushAsync(TestContext.Current.CancellationToken);
        Assert.False(await stream.WaitToReadAsync(TestContext.Current.CancellationToken));
        return stream.Status.Message ?? "";
    }

    private static Task<RpcDuplex> OpenAsync(TestCluster cluster, int node) =>
        new RpcChannel(cluster[node].Rpc).OpenDuplexAsync(PeerCodec.StreamPath, TimeSpan.FromSeconds(5), TestContext.Current.CancellationToken);

    /// <summary>Opens a stream as a router would.</summary>
    private static async Task<RpcDuplex> DialAsync(TestCluster cluster, int node, ulong clusterId)
    {
        var stream = await OpenAsync(cluster, node);
        stream.Write(PeerCodec.ToProto(new PeerFrame
        {
            ClusterId = clusterId,
            Hello = new Hello(PeerFrame.ProtocolVersion, new NodeId("test-router"), default, 1, clusterId, null, null, IsRouter: true),
        }));
        await stream.FlushAsync(TestContext.Current.CancellationToken);
        Assert.True(await stream.WaitToReadAsync(TestContext.Current.CancellationToken));
        return stream;
    }

    private static async Task SendAsync(RpcDuplex stream, TestCluster cluster, Action<PeerFrame> fill)
    {
        var frame = new PeerFrame { ClusterId = cluster[0].Gateway.View.ClusterId };
        fill(frame);
        stream.Write(PeerCodec.ToProto(frame));
        await stream.FlushAsync(TestContext.Current.CancellationToken);
    }

    private static async Task<CallReply> ReplyAsync(RpcDuplex stream, ulong id)
    {
        var frame = new PeerFrame();
        while (await stream.WaitToReadAsync(TestContext.Current.CancellationToken))
        {
            while (stream.TryRead(out var bytes))
            {
                PeerCodec.Decode(bytes, frame);
                foreach (var reply in frame.Replies)
                {
                    if (reply.Id == id)
                    {
                        return reply;
                    }
                }
            }
        }

        throw new InvalidOperationException("the stream ended without the answer");
    }
}
