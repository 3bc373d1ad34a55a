using System.Text.Json;
using Flotilla.Cli.Tests.Fakes;
using Flotilla.Contracts.Http;

namespace Flotilla.Cli.Tests.Commands;

/// <summary>status and monitor.</summary>
public sealed class Views
{
    [Fact]
    public async Task Status_shows_nodes_and_shards_as_lines_with_tabs_when_nobody_looks()
    {
        await using var server = await ClusterAsync();
        var result = await Terminal.RunAsync("status", "--endpoint", server.Url);
        Assert.Equal(0, result.Exit);
        var lines = result.Out.Split('\n');
        Assert.Equal("#node\thttp\trpc\talive\tleads\treplicas\tkeys", lines[0]);
        Assert.Equal($"n1\t{server.Address}\t127.0.0.1:50051\tyes\t1\t2\t17", lines[1]);
        Assert.StartsWith("n2\t", lines[2], StringComparison.Ordinal);
        Assert.Contains("\tno\t", lines[2], StringComparison.Ordinal);
        Assert.Equal("#shard\tstate\tmode\tleader\tterm\tvoters\tslots\tkeys\tcommit\tlag", lines[4]);
        Assert.Equal("1\tactive\traft\tn1\t7\tn1 n2\t8192\t10\t120\tn1:20 n2:?", lines[5]);
        Assert.Equal("2\tactive\traft\t-\t3\tn1 n2\t8192\t7\t5\tn2:?", lines[6]);
        Assert.Contains("shard 2 has no leader", result.Err, StringComparison.Ordinal);
        Assert.Equal(1, result.Err.Split("the disk of node n1 is nearly full").Length - 1);
    }

    [Fact]
    public async Task Status_shows_each_move_once_by_its_sources_word_where_there_is_one()
    {
        await using var server = await ClusterAsync();
        var shards = server.Status!.Shards;
        var began = DateTimeOffset.UtcNow.AddSeconds(-90).ToUnixTimeMilliseconds();
        server.Status = server.Status with
        {
            Shards =
            [
                shards[0] with { Moves = [new MoveDocument(2, "out", "staging", 64, 10, 40, 3 << 20, began), new MoveDocument(3, "in", "prepared", 5, 7, null, null, null)] },
                shards[1] with { Moves = [new MoveDocument(1, "in", "staging", 64, 9, null, null, began)] },
            ],
        };
        var lines = (await Terminal.RunAsync("status", "--endpoint", server.Url)).Out.TrimEnd().Split('\n');
        Assert.Equal("#from\tto\tstage\tslots\trecords\tsent\tfor", lines[8]);
        Assert.StartsWith("1\t2\tstaging\t64\t10 of ~40\t3.0 MiB\t", lines[9], StringComparison.Ordinal);
        Assert.Equal("3\t1\tprepared\t5\t7\t-\t-", lines[10]);
        Assert.Equal(11, lines.Length);
        var root = JsonDocument.Parse((await Terminal.RunAsync("status", "--endpoint", server.Url, "--output", "json")).Out).RootElement;
        Assert.Equal("out", root.GetProperty("shards")[0].GetProperty("moves")[0].GetProperty("direction").GetString());
    }

    [Fact]
    public async Task Status_as_json_has_every_replica()
    {
        await using var server = await ClusterAsync();
        var root = JsonDocument.Parse((await Terminal.RunAsync("status", "--endpoint", server.Url, "--output", "json")).Out).RootElement;
        Assert.Equal("n1", root.GetProperty("shards")[0].GetProperty("leader").GetString());
        Assert.Equal(20, root.GetProperty("shards")[0].GetProperty("replicas")[0].GetProperty("lag").GetInt64());
    }

    [Fact]
    public async Task Monitor_writes_lines_and_goes_on_through_an_outage()
    {
        await using var server = await ClusterAsync();
        var asked = 0;
        server.Script = seen => seen.Target == "/status" && Interlocked.Increment(ref asked) == 2 ? new Twist.Refuse(400, "scripted") : null;
        var result = await Terminal.RunAsync("monitor", "--endpoint", server.Url, "--count", "3", "--interval", "50ms");
        Assert.Equal(0, result.Exit);
        var lines = result.Out.TrimEnd().Split('\n');
        Assert.Equal(5, lines.Length);
        Assert.Equal("1\tn1\tleader\t7\t120\t100\t121\t20\t0", lines[1][(lines[1].IndexOf('\t', StringComparison.Ordinal) + 1)..]);
        Assert.Contains("unavailable", result.Err, StringComparison.Ordinal);
        var json = await Terminal.RunAsync("monitor", "--endpoint", server.Url, "--count", "2", "--interval", "50ms", "--output", "json");
        Assert.Equal(2, json.Out.TrimEnd().Split('\n').Count(l => JsonDocument.Parse(l).RootElement.TryGetProperty("overview", out _)));
    }

    [Fact]
    public async Task Monitor_of_nothing_is_unavailable() =>
        Assert.Equal(5, (await Terminal.RunAsync("monitor", "--endpoint", $"127.0.0.1:{FakeServer.FreePort()}", "--count", "1", "--timeout", "100ms")).Exit);

    private static async Task<FakeServer> ClusterAsync()
    {
        var server = await FakeServer.StartAsync();
        ShardDocument Shard(int id, string? leader, ulong term) => new(id, "active", "raft", leader, term, ["n1", "n2"], [], ["n1", "n2"], 8192, [[(id - 1) * 8192, (id * 8192) - 1]], "7.1");
        ReplicaDocument Replica(int shard, string role, ulong term, ulong commit, ulong applied, long keys) => new(shard, role, term, null, commit, applied, commit + 1, 0, ["n1", "n2"], [], true, keys, keys * 100);
        server.Status = new StatusDocument("n1", false, "abc", [
            new NodeDocument("n1", server.Address.ToString(), "127.0.0.1:50051", null, true),
            new NodeDocument("n2", $"127.0.0.1:{FakeServer.FreePort()}", "127.0.0.1:50052", null, false),
        ], [Shard(1, "n2", 6), Shard(2, null, 3)], 0, ["the disk of node n1 is nearly full"]);
        server.Raft = new RaftStatusDocument("n1", [Replica(1, "leader", 7, 120, 100, 10), Replica(2, "follower", 3, 5, 5, 7)], ["the disk of node n1 is nearly full"]);
        return server;
    }

    [Theory]
    [InlineData("table")]
    [InlineData("json")]
    public async Task Status_of_a_router_that_has_heard_of_nobody_yet_is_unavailable(string output)
    {
        await using var server = await FakeServer.StartAsync();
        server.Status = new StatusDocument("router", true, "0", [], [], 0);
        var result = await Terminal.RunAsync("status", "--endpoint", server.Url, "--output", output);
        Assert.Equal((5, ""), (result.Exit, result.Out));
        Assert.Contains("has not learned yet which shards there are", result.Err, StringComparison.Ordinal);
    }
}
