using System.Text.RegularExpressions;
using Flotilla.Cli.Tests.Fakes;
using Flotilla.Raft;
using Flotilla.Shards;

namespace Flotilla.Cli.Tests.Commands;

/// <summary>The commands of the original key-value server and its client: their flags, their lines, and how they fail.</summary>
public sealed partial class Kv_commands
{
    [GeneratedRegex(@"^\d{4}/\d{2}/\d{2} \d{2}:\d{2}:\d{2} ", RegexOptions.Multiline | RegexOptions.NonBacktracking)]
    private static partial Regex Time();

    [Theory]
    [InlineData("--address=localhost:10001", "--id=node1", "--bs=true")]
    [InlineData("--address", "localhost:10001", "--id", "node1", "--bs", "true")]
    [InlineData("-address=localhost:10001", "-id=node1", "-bs=true")]
    [InlineData("-bs", "-address", "localhost:10001", "-id", "node1")]
    [InlineData("--address=localhost:10001", "--id=node1", "--bs")]
    public async Task The_first_server_begins_a_cluster_of_one_shard_with_http_on_9000(params string[] flags)
    {
        var result = await Terminal.RunAsync(["kvserver", .. flags]);
        var node = result.Node!;
        Assert.Equal(("node1", "localhost:9000", "localhost:10001", Path.Combine("data", "node1"), 1, 3), (node.NodeId.Value, node.Http.ToString(), node.Rpc.ToString(), node.DataDir, node.Shards, node.Replicas));
        Assert.Equal([new ClusterMember(new NodeId("node1"), "localhost:10001")], node.InitialCluster);
        Assert.False(node.Enters);
        Assert.Contains("node1: HTTP on localhost:9000, RPC on localhost:10001, data in data/node1", result.Err, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("--address=localhost:10002", "--id=node2")]
    [InlineData("-address", "localhost:10002", "-id", "node2", "-bs=false")]
    [InlineData("--address=localhost:10002", "--id=node2", "--bs", "false")]
    public async Task Every_other_server_waits_to_be_added_with_http_a_thousand_below_its_rpc_port(params string[] flags)
    {
        var node = (await Terminal.RunAsync(["kvserver", .. flags])).Node!;
        Assert.Equal(("node2", "localhost:9002", "localhost:10002"), (node.NodeId.Value, node.Http.ToString(), node.Rpc.ToString()));
        Assert.Empty(node.InitialCluster);
        Assert.Null(node.Join);
        Assert.True(node.Enters);
    }

    [Fact]
    public async Task Http_and_data_directory_may_be_elsewhere_and_settings_come_from_the_environment_too()
    {
        var node = (await Terminal.RunAsync(["kvserver", "-id", "a", "-http", "127.0.0.1:8080", "--data-dir", "data/elsewhere"], new Env { ["FLOTILLA_ADDRESS"] = "127.0.0.1:900", ["FLOTILLA_BS"] = "true" })).Node!;
        Assert.Equal(("127.0.0.1:8080", "127.0.0.1:900", "data/elsewhere", false), (node.Http.ToString(), node.Rpc.ToString(), node.DataDir, node.Enters));
    }

    [Theory]
    [InlineData("--id is needed", "--address", "localhost:10001")]
    [InlineData("--address is needed", "--id", "a")]
    [InlineData("give --http HOST:PORT", "--address", "localhost:1000", "--id", "a")]
    [InlineData("on or off is needed, not 'perhaps'", "--address", "localhost:10001", "--id", "a", "--bs", "perhaps")]
    [InlineData("can be reached from other machines", "--address", "10.0.0.1:10001", "--id", "a")]
    [InlineData("there is no flag '-addres'; did you mean", "-addres", "localhost:10001", "--id", "a")]
    public async Task A_server_that_makes_no_sense_is_a_usage_error(string said, params string[] flags)
    {
        var result = await Terminal.RunAsync(["kvserver", .. flags]);
        Assert.Null(result.Node);
        Assert.Equal(2, result.Exit);
        Assert.Contains(said, result.Err, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_client_without_a_command_shows_its_usage()
    {
        var bare = await Terminal.RunAsync("kvclient");
        Assert.Equal(0, bare.Exit);
        Assert.StartsWith("Usage of ./kvclient:\n  -address string\n    \tTCP host+port for this node (default \"localhost:10002\")\n", bare.Out, StringComparison.Ordinal);
        Assert.Contains("  -val string\n    \tVal to set and test for key (default \"someval1\")\n", bare.Out, StringComparison.Ordinal);
        Assert.Equal(bare.Out, (await Terminal.RunAsync("kvclient", "-command=help")).Out);
    }

    [Fact]
    public async Task The_client_says_what_the_original_one_said()
    {
        await using var cluster = await RealCluster.StartAsync(1, shards: 1);
        var server = cluster.Nodes[0].Rpc.ToString();
        await LedAsync(server);
        var set = await Terminal.RunAsync("kvclient", "--command=set", "--key=key1", "--val=value1", "--server", server);
        Assert.Equal((0, ""), (set.Exit, set.Err));
        Assert.Equal("Connecting to RPC Server set\nStoring in DB via rpc key:\"key1\" val:\"value1\" \nTIME Response from RPC Server for Store Data : 1 Success\n", Time().Replace(set.Out, "TIME "));
        Assert.Single(Time().Matches(set.Out));
        var get = await Terminal.RunAsync("kvclient", "-command", "get", "-key", "key1", "-server", server);
        Assert.Equal((0, "Connecting to RPC Server get\nRetrieving data from DB via rpc key:\"key1\" \nRetrieved from DB via rpc key1 value1\n"), (get.Exit, get.Out));
        _ = await Terminal.RunAsync("kvclient", "--command=set", "--key=a \"b\"\n", "--val=-5", "--server", server);
        get = await Terminal.RunAsync("kvclient", "--command=get", "--key=a \"b\"\n", "--server", server);
        Assert.Contains("key:\"a \\\"b\\\"\\n\" \nRetrieved from DB via rpc a \"b\"\n -5\n", get.Out, StringComparison.Ordinal);
        var monitor = await Terminal.RunAsync("kvclient", "--command=monitor", "--count=2", "--server", server);
        Assert.Equal(0, monitor.Exit);
        Assert.StartsWith("Connecting to RPC Server monitor\n", monitor.Out, StringComparison.Ordinal);
        Assert.Contains("nodes n1=up\n", monitor.Out, StringComparison.Ordinal);
        Assert.Equal(2, Regex.Count(monitor.Out, "Monitor : shard 1 leader n1 term [0-9]+ voters n1, here leader commit [0-9]+ applied [0-9]+ keys [0-9]+\n"));
        var added = await Terminal.RunAsync("kvclient", "--command=addnode", "--id=n1", "--address", server, "--server", server);
        Assert.Equal("Connecting to RPC Server addnode\nTIME Response from RPC Server for AddNode : 1 Success\n", Time().Replace(added.Out, "TIME "));
    }

    [Fact]
    public async Task The_client_tells_failures_apart()
    {
        await using var cluster = await RealCluster.StartAsync(1, shards: 1);
        var server = cluster.Nodes[0].Rpc.ToString();
        await LedAsync(server);
        var free = $"localhost:{FakeServer.FreePort()}";
        await FailsAsync(3, "not found: nokey", "--command=get", "--key=nokey", "--server", server);
        await FailsAsync(5, $"nobody listens at {free}. Nothing was done. Start the first node", "--command=get", "--server", free);
        await FailsAsync(5, $"nobody listens at {free}", "--command=set", "--server", free);
        await FailsAsync(5, $"nobody listens at {free}", "--command=monitor", "--server", free);
        await FailsAsync(1, "serves HTTP/1.1, not gRPC", "--command=set", "--server", cluster.Nodes[0].Http.ToString());
        await FailsAsync(1, "n1 answers there, not other", "--command=addnode", "--id=other", "--address", server, "--server", server);
        await FailsAsync(5, $"can't be reached at {free}", "--command=addnode", "--id=other", "--address", free, "--server", server);
        await FailsAsync(1, "the limit is 4096", "--command=set", "--key=" + new string('k', 5000), "--server", server);
        await FailsAsync(2, "one of monitor, addnode, set, get, help is needed, not 'put'", "--command=put");
        await FailsAsync(2, "there is no flag '--kye'; did you mean '--key'", "--kye", "a");

        static async Task FailsAsync(int exit, string said, params string[] flags)
        {
            var result = await Terminal.RunAsync(["kvclient", .. flags]);
            Assert.Contains(said, result.Err, StringComparison.Ordinal);
            Assert.Equal(exit, result.Exit);
        }
    }

    [Fact]
    public async Task Ctrl_C_is_how_one_leaves_a_monitor_and_interrupts_anything_else()
    {
        await using var cluster = await RealCluster.StartAsync(1, shards: 1);
        var server = cluster.Nodes[0].Rpc.ToString();
        using var stop = new CancellationTokenSource();
        await stop.CancelAsync();
        Assert.Equal(0, (await Terminal.RunUntilAsync(["kvclient", "--command=monitor", "--server", server], null, null, stop.Token)).Exit);
        Assert.Equal(130, (await Terminal.RunUntilAsync(["kvclient", "--command=set", "--server", server], null, null, stop.Token)).Exit);
    }

    /// <summary>Reading waits for a leader by itself.</summary>
    private static async Task LedAsync(string server) => Assert.Equal(3, (await Terminal.RunAsync("kvclient", "--command=get", "--key=none", "--server", server)).Exit);
}
