using System.Net;
using System.Net.Sockets;
using Flotilla.Cli.Dev;
using Flotilla.Cli.Tests.Fakes;

namespace Flotilla.Cli.Tests.Dev;

/// <summary>How a development cluster is laid out, before anything starts.</summary>
public sealed class Planning
{
    [Fact]
    public void Nodes_and_router_are_where_the_contract_says()
    {
        var plan = DevPlan.Make(3, 3, 3, 8000, 50050, 3000, "/data dir", ["--heartbeat", "20ms"]);
        Assert.Equal(["n1", "n2", "n3", "router"], plan.Select(p => p.Name));
        Assert.Equal(["127.0.0.1:8001", "127.0.0.1:8002", "127.0.0.1:8003", "127.0.0.1:3000"], plan.Select(p => p.Http.ToString()));
        Assert.Equal(
            "./flotilla node --node-id n2 --http 127.0.0.1:8002 --rpc 127.0.0.1:50052 --data-dir '/data dir/n2' --initial-cluster n1=127.0.0.1:50051,n2=127.0.0.1:50052,n3=127.0.0.1:50053 --shards 3 --replicas 3 --heartbeat 20ms",
            plan[1].CommandLine);
        Assert.Equal("./flotilla router --listen 127.0.0.1:3000 --nodes 127.0.0.1:8001,127.0.0.1:8002,127.0.0.1:8003", plan[3].CommandLine);
    }

    [Fact]
    public async Task A_port_in_use_is_named_before_anything_starts()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var port = ((IPEndPoint)listener.LocalEndpoint).Port;
        var dir = Path.Combine(Terminal.TempDir(), "dev");
        var result = await Terminal.RunAsync("dev", "--router-port", $"{port}", "--http-base", "61000", "--rpc-base", "62000", "--data-dir", dir);
        Assert.Equal(1, result.Exit);
        Assert.Contains($"port {port}, meant for router's HTTP, is in use", result.Err, StringComparison.Ordinal);
        Assert.Contains("--router-port", result.Err, StringComparison.Ordinal);
        Assert.False(Directory.Exists(dir));
    }

    [Theory]
    [InlineData("--mode", "quorum")]
    [InlineData("--autoscale")]
    [InlineData("--heartbeat", "1s")]
    [InlineData("--nodes", "0")]
    [InlineData("--router-port", "8001")]
    public async Task What_makes_no_sense_or_comes_later_is_a_usage_error(params string[] arguments) =>
        Assert.Equal(2, (await Terminal.RunAsync(["dev", .. arguments])).Exit);
}
