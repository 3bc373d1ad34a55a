using Flotilla.Cli.Tests.Fakes;
using Flotilla.Raft;
using Flotilla.Shards;

namespace Flotilla.Cli.Tests.Commands;

/// <summary>How <c>shard</c> is described, in the words of the first program that had it, and what is refused.</summary>
public sealed class Shard_flags
{
    [Theory]
    [InlineData("--shard_id", "1", "--node_id", "1", "--port", "8011", "--raft_addr", "localhost:18011", "--peer_shards", "localhost:8021,localhost:8031")]
    [InlineData("--shard-id", "1", "--node-id", "1", "--port", "8011", "--raft-addr", "localhost:18011", "--peer-shards", "localhost:8021,localhost:8031")]
    [InlineData("--shard-id=1", "--node_id=1", "--port=8011", "--raft_addr=localhost:18011", "--peer-shards=http://localhost:8021,localhost:8011,localhost:8031")]
    public async Task The_first_node_of_the_first_shard_begins_a_cluster(params string[] flags)
    {
        var result = await Terminal.RunAsync(["shard", .. flags]);
        var node = result.Node!;
        Assert.Equal(
            ("1-1", "localhost:8011", "localhost:18011", Path.Combine("data", "unified_1_1"), 1, 3, false),
            (node.NodeId.Value, node.Http.ToString(), node.Rpc.ToString(), node.DataDir, node.Shards, node.Replicas, node.Enters));
        Assert.Equal([new ClusterMember(new NodeId("1-1"), "localhost:18011")], node.InitialCluster);
        Assert.Equal((1, 1, true), (node.Single!.Shard.Value, node.Single.Number, node.Single.IsFirst));
        Assert.Equal(["localhost:8021", "localhost:8031"], node.Single.Peers.Select(p => p.ToString()));
        Assert.Contains("1-1: HTTP on localhost:8011, RPC on localhost:18011, data in data/unified_1_1", result.Err, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("1", "2", "1-2")]
    [InlineData("2", "1", "2-1")]
    [InlineData("12", "3", "12-3")]
    public async Task Every_other_node_enters_a_cluster(string shard, string number, string name)
    {
        var node = (await Terminal.RunAsync("shard", "--shard-id", shard, "--node-id", number, "--port", "8012", "--raft-addr", "localhost:18012")).Node!;
        Assert.Equal((name, Path.Combine("data", $"unified_{shard}_{number}"), true), (node.NodeId.Value, node.DataDir, node.Enters));
        Assert.Empty(node.InitialCluster);
        Assert.Null(node.Join);
        Assert.Empty(node.Single!.Peers);
    }

    [Fact]
    public async Task Join_and_the_data_directory_may_be_given_and_settings_come_from_the_environment_too()
    {
        var node = (await Terminal.RunAsync(
            ["shard", "--shard-id", "1", "--port", "8011", "--raft-addr", "127.0.0.1:18011", "--join", "127.0.0.1:18012", "--data-dir", "d", "--heartbeat", "20ms"],
            new Env { ["FLOTILLA_NODE_ID"] = "1", ["FLOTILLA_PEER_SHARDS"] = "127.0.0.1:8021" })).Node!;
        Assert.Equal(("1-1", "127.0.0.1:18012", "d", true, 20), (node.NodeId.Value, node.Join.ToString(), node.DataDir, node.Enters, node.Replica.Raft.HeartbeatMs));
        Assert.Equal("127.0.0.1:8021", Assert.Single(node.Single!.Peers).ToString());
    }

    [Theory]
    [InlineData("--shard-id is needed", "--node-id", "1", "--port", "8011", "--raft-addr", "localhost:18011")]
    [InlineData("--node-id is needed", "--shard-id", "1", "--port", "8011", "--raft-addr", "localhost:18011")]
    [InlineData("--raft-addr is needed", "--shard-id", "1", "--node-id", "1", "--port", "8011")]
    [InlineData("--port is needed", "--shard-id", "1", "--node-id", "1", "--raft-addr", "localhost:18011")]
    [InlineData("a whole number from 1 to 1048576", "--shard-id", "0", "--node-id", "1", "--port", "8011", "--raft-addr", "localhost:18011")]
    [InlineData("a whole number from 1 to 1000", "--shard-id", "1", "--node-id", "n1", "--port", "8011", "--raft-addr", "localhost:18011")]
    [InlineData("each needs one of its own", "--shard-id", "1", "--node-id", "1", "--port", "8011", "--raft-addr", "localhost:8011")]
    [InlineData("addresses such as", "--shard-id", "1", "--node-id", "1", "--port", "8011", "--raft-addr", "localhost:18011", "--peer-shards", "8021")]
    [InlineData("can be reached from other machines", "--shard-id", "1", "--node-id", "1", "--port", "8011", "--raft-addr", "10.0.0.1:18011")]
    [InlineData("there is no flag '--initial-cluster'", "--shard-id", "1", "--node-id", "1", "--port", "8011", "--raft-addr", "localhost:18011", "--initial-cluster", "A=localhost:1")]
    public async Task What_makes_no_sense_is_a_usage_error(string said, params string[] flags)
    {
        var result = await Terminal.RunAsync(["shard", .. flags]);
        Assert.Null(result.Node);
        Assert.Equal(2, result.Exit);
        Assert.Contains(said, result.Err, StringComparison.Ordinal);
    }
}
