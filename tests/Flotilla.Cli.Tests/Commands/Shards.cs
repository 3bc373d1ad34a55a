using System.Text.Json;
using Flotilla.Cli.Tests.Fakes;

namespace Flotilla.Cli.Tests.Commands;

/// <summary>add-shard and remove-shard.</summary>
public sealed class Shards
{
    [Theory]
    [InlineData("GET /addshard?shardID=4", "shard 4 is joining, born at n2", "add-shard", "4")]
    [InlineData("GET /addshard?shardID=4&shardAddress=127.0.0.1%3A8002", "shard 4 is joining, born at n2", "add-shard", "4", "127.0.0.1:8002")]
    [InlineData("GET /removeshard?shardID=4", "shard 4 is leaving", "remove-shard", "4")]
    public async Task A_shard_is_added_or_removed_and_the_command_says_what_it_is_now(string asked, string said, params string[] words)
    {
        await using var server = await FakeServer.StartAsync();
        server.Life = words[0] == "add-shard" ? server.Life : new(4, "leaving", null, "it still owns 3378 slots");
        var result = await Terminal.RunAsync([.. words, "--endpoint", server.Url]);
        Assert.Equal((0, said + "\n", ""), (result.Exit, result.Out, result.Err));
        var request = Assert.Single(server.Requests);
        Assert.Equal(asked, $"{request.Method} {request.Target}");
        var json = JsonDocument.Parse((await Terminal.RunAsync([.. words, "--endpoint", server.Url, "--output", "json"])).Out).RootElement;
        Assert.Equal((4, server.Life.State), (json.GetProperty("shard").GetInt32(), json.GetProperty("state").GetString()));
    }

    [Theory]
    [InlineData(400, "bad_request", 1, "failed: Shard 4 exists already. (bad_request)")]
    [InlineData(409, "other_shard", 1, "failed: Shard 4 exists already. (other_shard)")]
    [InlineData(404, "not_found", 3, "not found: Shard 4 exists already.")]
    [InlineData(503, "replica_unavailable", 5, "unavailable: Shard 4 exists already. (replica_unavailable)")]
    [InlineData(503, "no_quorum", 5, "unavailable: Shard 4 exists already. (no_quorum)")]
    public async Task A_refusal_has_its_exit_code_and_the_words_of_the_server(int status, string code, int exit, string said)
    {
        await using var server = await FakeServer.StartAsync();
        server.Script = _ => new Twist.Refuse(status, code, Detail: "Shard 4 exists already.");
        foreach (var command in new[] { "add-shard", "remove-shard" })
        {
            var result = await Terminal.RunAsync(command, "4", "--endpoint", server.Url, "--timeout", "1s");
            Assert.Equal((exit, ""), (result.Exit, result.Out));
            Assert.StartsWith(said, result.Err, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task A_lost_answer_is_asked_for_again_since_twice_is_the_same_as_once()
    {
        await using var server = await FakeServer.StartAsync();
        var first = true;
        server.Script = _ => first && !(first = false) ? new Twist.Break(Apply: true) : null;
        Assert.Equal((0, "shard 4 is joining, born at n2\n"), await RunAsync(server, "add-shard", "4"));
        Assert.Equal(2, server.Requests.Count);
    }

    [Theory]
    [InlineData("add-shard")]
    [InlineData("add-shard", "0")]
    [InlineData("add-shard", "1048577")]
    [InlineData("add-shard", "four")]
    [InlineData("add-shard", "4", "nowhere")]
    [InlineData("remove-shard")]
    [InlineData("remove-shard", "-1")]
    [InlineData("remove-shard", "4", "127.0.0.1:8002")]
    public async Task What_makes_no_sense_is_a_usage_error(params string[] words) => Assert.Equal(2, (await Terminal.RunAsync(words)).Exit);

    [Fact]
    public async Task Nobody_who_listens_is_exit_code_5()
    {
        var result = await Terminal.RunAsync("add-shard", "4", "--endpoint", $"http://127.0.0.1:{FakeServer.FreePort()}", "--timeout", "200ms");
        Assert.Equal(5, result.Exit);
        Assert.Contains("Is the cluster running?", result.Err, StringComparison.Ordinal);
    }

    private static async Task<(int Exit, string Out)> RunAsync(FakeServer server, params string[] words)
    {
        var result = await Terminal.RunAsync([.. words, "--endpoint", server.Url]);
        return (result.Exit, result.Out);
    }
}
