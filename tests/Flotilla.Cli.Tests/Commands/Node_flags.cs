using Flotilla.Cli.Tests.Fakes;
using Flotilla.Raft;
using Flotilla.Shards;
using Flotilla.Topology.Descriptors;

namespace Flotilla.Cli.Tests.Commands;

/// <summary>How <c>node</c> and <c>router</c> are described, and what is refused.</summary>
public sealed class Node_flags
{
    private static readonly string[] Plain = ["node", "--node-id", "A", "--http", "127.0.0.1:8001", "--rpc", "127.0.0.1:50051", "--data-dir", "data/A"];

    [Fact]
    public async Task A_node_is_described_by_its_flags()
    {
        var node = (await Terminal.RunAsync([.. Plain, "--initial-cluster", "A=127.0.0.1:50051,B=127.0.0.1:50052", "--shards", "5", "--replicas", "2", "--forward", "off", "--heal-after", "off",
            "--election-timeout", "1s", "--heartbeat", "100ms", "--segment-size", "8MiB", "--max-value", "2MiB", "--request-timeout", "2s", "--mode", "raft", "--resp", "off", "--join", "off"])).Node!;
        Assert.Equal((new NodeId("A"), "127.0.0.1:8001", "127.0.0.1:50051", "data/A"), (node.NodeId, node.Http.ToString(), node.Rpc.ToString(), node.DataDir));
        Assert.Equal([new ClusterMember(new NodeId("A"), "127.0.0.1:50051"), new ClusterMember(new NodeId("B"), "127.0.0.1:50052")], node.InitialCluster);
        Assert.Equal((5, 2, false, (TimeSpan?)null), (node.Shards, node.Replicas, node.Forward, node.HealAfter));
        Assert.Equal((1000, 100, 8L << 20, 2 << 20, 2.0), (node.Replica.Raft.ElectionTimeoutMs, node.Replica.Raft.HeartbeatMs, node.Wal.SegmentBytes, node.Replica.MaxValueBytes, node.RequestTimeout.TotalSeconds));
    }

    [Fact]
    public async Task The_defaults_are_those_of_the_options()
    {
        var node = (await Terminal.RunAsync(Plain)).Node!;
        Assert.Equal([new ClusterMember(new NodeId("A"), "127.0.0.1:50051")], node.InitialCluster);
        Assert.Equal((new ReplicaOptions(), new Flotilla.Storage.WalOptions()), (node.Replica, node.Wal));
        Assert.Equal((3, 3, true, ShardMode.Raft, TimeSpan.FromSeconds(10), TimeSpan.FromSeconds(5)), (node.Shards, node.Replicas, node.Forward, node.Mode, node.HealAfter!.Value, node.RequestTimeout));
    }

    [Fact]
    public async Task The_fourth_ancestors_flags_make_one_shard_that_answers_with_hints()
    {
        var node = (await Terminal.RunAsync("node", "--node-id", "A", "--grpc-port", "50051", "--http-port", "8001", "--host", "127.0.0.1",
            "--grpc-peers", "B=127.0.0.1:50052,C=127.0.0.1:50053", "--http-peers", "A=http://127.0.0.1:8001,B=http://127.0.0.1:8002,C=http://127.0.0.1:8003", "--data-dir", "data/A")).Node!;
        Assert.Equal(("127.0.0.1:8001", "127.0.0.1:50051", 1, false), (node.Http.ToString(), node.Rpc.ToString(), node.Shards, node.Forward));
        Assert.Equal(["A", "B", "C"], node.InitialCluster.Select(m => m.Node.Value));
        Assert.Equal("127.0.0.1:8003", node.PeerHttp[new NodeId("C")].ToString());
        node = (await Terminal.RunAsync("node", "--node-id", "A", "--grpc-port", "50051", "--http-port", "8001", "--data-dir", "d", "--shards", "2", "--forward", "on")).Node!;
        Assert.Equal((2, true, 1), (node.Shards, node.Forward, node.InitialCluster.Count));
    }

    [Fact]
    public async Task Shards_are_given_for_each_node_too()
    {
        var node = (await Terminal.RunAsync([.. Plain, "--shards-per-node", "4", "--initial-cluster", "A=127.0.0.1:50051,B=127.0.0.1:50052"])).Node!;
        Assert.Equal((8, 4), (node.Shards, node.ShardsPerNode));
        node = (await Terminal.RunAsync([.. Plain, "--shards-per-node", "2", "--join", "127.0.0.1:50052"])).Node!;
        Assert.Equal((3, 2, true), (node.Shards, node.ShardsPerNode, node.Enters));
        Assert.Null((await Terminal.RunAsync(Plain)).Node!.ShardsPerNode);
    }

    [Fact]
    public async Task A_node_that_joins_takes_shards_and_first_nodes_from_the_cluster()
    {
        var node = (await Terminal.RunAsync([.. Plain, "--join", "127.0.0.1:50052"])).Node!;
        Assert.Equal("127.0.0.1:50052", node.Join.ToString());
        Assert.Empty(node.InitialCluster);
        Assert.True(node.Enters);
        node = (await Terminal.RunAsync([.. Plain, "--join", "wait"])).Node!;
        Assert.Null(node.Join);
        Assert.Empty(node.InitialCluster);
        Assert.True(node.Enters);
    }

    [Fact]
    public async Task A_worker_is_a_node_that_waits_ten_thousand_below_its_http_port()
    {
        var node = (await Terminal.RunAsync("worker", "8001", "--heal-after", "off")).Node!;
        Assert.Equal(("w8001", 8001, 18001, "localhost", true, null), (node.NodeId.Value, node.Rpc.Port, node.Http.Port, node.Http.Host, node.Enters, node.HealAfter));
        Assert.Equal(Path.Combine("data", "worker_8001"), node.DataDir);
        Assert.Equal("other", (await Terminal.RunAsync("worker", "8001", "--node-id", "other")).Node!.NodeId.Value);
    }

    [Theory]
    [InlineData("worker")]
    [InlineData("worker", "localhost")]
    [InlineData("worker", "60000")]
    [InlineData("master", "8000")]
    [InlineData("master", "8000", "localhost:8001")]
    [InlineData("master", "8000", "localhost:8001", "localhost:8001")]
    [InlineData("master", "8000", "localhost:8001", "somewhere")]
    [InlineData("master", "-mode=quorum", "8000", "localhost:8001", "localhost:8002")]
    [InlineData("master", "-mode=paxos", "8000", "localhost:8001", "localhost:8002")]
    [InlineData("master", "--http", "0.0.0.0:8080", "8000", "localhost:8001", "localhost:8002")]
    public async Task What_makes_no_worker_or_no_master_is_a_usage_error(params string[] arguments) =>
        Assert.Equal(2, (await Terminal.RunAsync(arguments)).Exit);

    [Fact]
    public async Task A_new_cluster_begins_in_the_mode_that_is_given_and_in_raft_without()
    {
        Assert.Equal(ShardMode.Raft, (await Terminal.RunAsync(Plain)).Node!.Mode);
        Assert.Equal(ShardMode.Chain, (await Terminal.RunAsync([.. Plain, "--mode", "chain"])).Node!.Mode);
    }

    [Theory]
    [InlineData("comes later", "--mode", "quorum")]
    [InlineData("exclude each other", "--join", "127.0.0.1:50052", "--mode", "sync")]
    [InlineData("one of raft", "--mode", "paxos")]
    [InlineData("comes later", "--resp", "127.0.0.1:7001")]
    [InlineData("comes later", "--resp-cluster", "127.0.0.1:7101")]
    [InlineData("exclude each other", "--join", "127.0.0.1:50052", "--shards", "4")]
    [InlineData("exclude each other", "--join", "wait", "--initial-cluster", "A=127.0.0.1:50051")]
    [InlineData("(or wait, or off)", "--join", "somewhere")]
    [InlineData("in two ways", "--shards-per-node", "2", "--shards", "4")]
    [InlineData("more than 1000 shards", "--shards-per-node", "501", "--initial-cluster", "A=127.0.0.1:50051,B=127.0.0.1:50052")]
    [InlineData("from 1 to 1000", "--shards-per-node", "0")]
    [InlineData("in two ways", "--grpc-port", "50051")]
    [InlineData("in two ways", "--host", "127.0.0.1")]
    [InlineData("must name this node", "--initial-cluster", "B=127.0.0.1:50052")]
    [InlineData("would not find it", "--initial-cluster", "A=127.0.0.1:50059")]
    [InlineData("named twice", "--initial-cluster", "A=127.0.0.1:50051,A=127.0.0.1:50052")]
    [InlineData("the same address", "--initial-cluster", "A=127.0.0.1:50051,B=127.0.0.1:50051")]
    [InlineData("nodes with addresses", "--initial-cluster", "A:50051")]
    [InlineData("a third", "--heartbeat", "200ms")]
    [InlineData("from 1 to 1000", "--shards", "0")]
    [InlineData("from 1 to 7", "--replicas", "8")]
    [InlineData("on or off", "--forward", "maybe")]
    [InlineData("there is no flag '--shrads'; did you mean '--shards'", "--shrads", "3")]
    public async Task What_makes_no_sense_or_comes_later_is_a_usage_error(string said, params string[] more)
    {
        var result = await Terminal.RunAsync([.. Plain, .. more]);
        Assert.Null(result.Node);
        Assert.Equal(2, result.Exit);
        Assert.Contains(said, result.Err, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("0.0.0.0:8001")]
    [InlineData("[::]:8001")]
    [InlineData("192.168.1.5:8001")]
    [InlineData("example.org:8001")]
    [Trait("Hazard", "68")]
    public async Task An_address_that_others_can_reach_needs_insecure(string address)
    {
        string[] arguments = ["node", "--node-id", "A", "--http", address, "--rpc", "127.0.0.1:50051", "--data-dir", "d"];
        var refused = await Terminal.RunAsync(arguments);
        Assert.Equal(2, refused.Exit);
        Assert.Contains("--insecure", refused.Err, StringComparison.Ordinal);
        Assert.True((await Terminal.RunAsync([.. arguments, "--insecure"])).Node!.Insecure);
        Assert.Equal(2, (await Terminal.RunAsync("router", "--listen", address, "--nodes", "127.0.0.1:8001")).Exit);
    }

    [Theory]
    [InlineData("localhost:8001")]
    [InlineData("127.1.2.3:8001")]
    [InlineData("[::1]:8001")]
    public async Task A_loopback_address_needs_nothing(string address) =>
        Assert.Equal(address, (await Terminal.RunAsync("node", "--node-id", "A", "--http", address, "--rpc", "127.0.0.1:50051", "--data-dir", "d")).Node!.Http.ToString());

    [Fact]
    public async Task A_node_that_cannot_start_says_why_and_exits_with_1()
    {
        var result = await Terminal.RunAsync([.. Plain[..^1], "fails"]);
        Assert.Equal((1, "flotilla: the data directory is another node's\n"), (result.Exit, result.Err.ReplaceLineEndings("\n")));
    }

    [Fact]
    public async Task A_router_knows_nodes_by_address_or_by_port()
    {
        var router = (await Terminal.RunAsync("router", "--nodes", "http://127.0.0.1:8001,127.0.0.1:8002", "--shard-ports", "8011,8021")).Router!;
        Assert.Equal("127.0.0.1:3000", router.Listen.ToString());
        Assert.Equal(["127.0.0.1:8001", "127.0.0.1:8002", "127.0.0.1:8011", "127.0.0.1:8021"], router.Nodes.Select(n => n.ToString()));
        router = (await Terminal.RunAsync("router", "--shard_ports", "8011,8021,8031")).Router!;
        Assert.Equal(["127.0.0.1:8011", "127.0.0.1:8021", "127.0.0.1:8031"], router.Nodes.Select(n => n.ToString()));
        Assert.Equal(2, (await Terminal.RunAsync("router")).Exit);
        Assert.Equal(2, (await Terminal.RunAsync("router", "--shard-ports", "none")).Exit);
    }
}
