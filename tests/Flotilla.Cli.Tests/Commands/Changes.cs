using System.Text.Json;
using Flotilla.Cli.Tests.Fakes;
using Flotilla.Contracts.Http;

namespace Flotilla.Cli.Tests.Commands;

/// <summary>add-node, remove-node, transfer-leader, snapshot.</summary>
public sealed class Changes
{
    [Theory]
    [InlineData("POST /raft/join?nodeid=n4&addr=127.0.0.1%3A50054&shard=all&waitSeconds=1", "n4 votes in all shards", "add-node", "n4", "127.0.0.1:50054")]
    [InlineData("POST /raft/join?nodeid=n4&addr=127.0.0.1%3A50054&shard=2&waitSeconds=1", "n4 votes in shard 2", "add-node", "n4", "127.0.0.1:50054", "--shard", "2")]
    [InlineData("POST /raft/leave?nodeid=n4&shard=all&waitSeconds=1", "n4 is a member of no shard", "remove-node", "n4")]
    [InlineData("POST /raft/leave?nodeid=n4&shard=2&waitSeconds=1", "n4 is no member of shard 2", "remove-node", "n4", "--shard", "2")]
    [InlineData("POST /raft/transfer?nodeid=n2&shard=1&waitSeconds=1", "n2 leads shard 1", "transfer-leader", "1", "n2")]
    [InlineData("POST /raft/transfer?shard=1&waitSeconds=1", "shard 1 has another leader", "transfer-leader", "1")]
    [InlineData("POST /raft/snapshot?shard=all&waitSeconds=1", "all shards: snapshots taken", "snapshot")]
    [InlineData("POST /raft/snapshot?shard=2&waitSeconds=1", "shard 2: snapshots taken", "snapshot", "2")]
    [InlineData("PUT /config/mode?waitSeconds=1", "all shards: mode sync", "mode", "sync")]
    [InlineData("PUT /config/mode?waitSeconds=1", "shard 2: mode raft", "mode", "raft", "--shard", "2")]
    public async Task A_change_is_followed_to_its_end_and_says_how_it_stands(string asked, string done, params string[] words)
    {
        await using var server = await FakeServer.StartAsync();
        server.Changes.Enqueue(new ChangeDocument("n4", false, [new(1, false, "under way"), new(2, true, "was done before")]));
        server.Changes.Enqueue(new ChangeDocument("n4", false, [new(1, false, "under way"), new(2, true, "was done before")]));
        server.Changes.Enqueue(new ChangeDocument("n4", true, [new(1, true, "done at last"), new(2, true, "was done before")]));
        var result = await Terminal.RunAsync([.. words, "--endpoint", server.Url]);
        Assert.Equal((0, done + "\n"), (result.Exit, result.Out));
        Assert.Equal("shard 1: under way\nshard 2: was done before\nshard 1: done at last\n", result.Err);
        Assert.All(server.Requests, r => Assert.Equal(asked, $"{r.Method} {r.Target}"));
    }

    [Theory]
    [InlineData("quorum", "comes later")]
    [InlineData("best", "is no mode")]
    public async Task A_mode_that_is_not_built_or_none_is_refused_before_anybody_is_asked(string mode, string why)
    {
        await using var server = await FakeServer.StartAsync();
        var result = await Terminal.RunAsync("mode", mode, "--endpoint", server.Url);
        Assert.Equal(2, result.Exit);
        Assert.Contains(why, result.Err, StringComparison.Ordinal);
        Assert.Empty(server.Requests);
    }

    [Fact]
    public async Task A_lost_answer_is_asked_for_again_since_twice_is_the_same_as_once()
    {
        await using var server = await FakeServer.StartAsync();
        server.Changes.Enqueue(new ChangeDocument("n4", true, [new(1, true, null)]));
        var first = true;
        server.Script = _ => first && !(first = false) ? new Twist.Break(Apply: true) : null;
        var result = await Terminal.RunAsync("remove-node", "n4", "--endpoint", server.Url, "--output", "json");
        Assert.Equal(0, result.Exit);
        Assert.True(JsonDocument.Parse(result.Out).RootElement.GetProperty("done").GetBoolean());
        Assert.Equal(2, server.Requests.Count);
    }

    [Theory]
    [InlineData(409, "seat_taken", 1)]
    [InlineData(404, "not_found", 3)]
    [InlineData(503, "change_under_way", 5)]
    public async Task A_refusal_has_its_exit_code_and_its_words(int status, string code, int exit)
    {
        await using var server = await FakeServer.StartAsync();
        server.Script = _ => new Twist.Refuse(status, code);
        var result = await Terminal.RunAsync("remove-node", "n4", "--endpoint", server.Url, "--timeout", "2s");
        Assert.Equal((exit, ""), (result.Exit, result.Out));
        Assert.NotEmpty(result.Err);
    }

    [Fact]
    public async Task Whoever_waits_long_enough_is_told_that_it_goes_on()
    {
        await using var server = await FakeServer.StartAsync();
        server.Changes.Enqueue(new ChangeDocument("n4", false, [new(1, false, "n4 is a learner")]));
        var result = await Terminal.RunAsync("add-node", "n4", "127.0.0.1:50054", "--endpoint", server.Url, "--wait", "50ms");
        Assert.Equal((5, ""), (result.Exit, result.Out));
        Assert.Contains("goes on by itself", result.Err, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("add-node", "n4")]
    [InlineData("add-node", "n4", "nowhere")]
    [InlineData("add-node", "n/4", "127.0.0.1:50054")]
    [InlineData("remove-node")]
    [InlineData("remove-node", "n4", "--shard", "0")]
    [InlineData("transfer-leader", "one")]
    [InlineData("snapshot", "x")]
    public async Task What_makes_no_sense_is_a_usage_error(params string[] words) => Assert.Equal(2, (await Terminal.RunAsync(words)).Exit);

    [Fact]
    public async Task A_refusal_of_one_shard_tells_of_the_others_and_says_nothing_of_writes()
    {
        await using var server = await FakeServer.StartAsync();
        server.Script = _ => new Twist.Refuse(503, "replica_unavailable", Detail: "Shard 2: it would stop. Start what is down.", Shards: [
            new(1, true, null), new(2, false, "it would stop. Start what is down"), new(3, false, "n4 is being removed"),
        ]);
        var result = await Terminal.RunAsync("remove-node", "n4", "--endpoint", server.Url, "--timeout", "2s");
        Assert.Equal((5, ""), (result.Exit, result.Out));
        Assert.Equal(
            "shard 1: done\nshard 3: n4 is being removed\nrefused: Shard 2: it would stop. Start what is down (replica_unavailable). Once that is mended, the same command goes on with what is missing.\n", result.Err);

        server.Script = _ => new Twist.Refuse(409, "seat_taken", Detail: "Shard 2: the seat is taken.", Shards: [new(1, true, "n4 votes"), new(2, false, "the seat is taken")]);
        result = await Terminal.RunAsync("add-node", "n4", "127.0.0.1:50054", "--endpoint", server.Url);
        Assert.Equal((1, "shard 1: n4 votes\nfailed: Shard 2: the seat is taken (seat_taken).\n"), (result.Exit, result.Err));
    }

    [Theory]
    [InlineData("no_quorum", "It has no leader.", "unavailable: It has no leader (no_quorum). Try again: what was begun goes on by itself, and the same command again tells how it stands.\n")]
    [InlineData("not_joined", "It belongs to no cluster yet. Nothing was read or written.", "unavailable: It belongs to no cluster yet. Nothing was read or written (not_joined).\n")]
    public async Task What_ends_before_it_is_done_says_what_becomes_of_it(string code, string detail, string said)
    {
        await using var server = await FakeServer.StartAsync();
        server.Script = _ => new Twist.Refuse(503, code, Detail: detail);
        var result = await Terminal.RunAsync("remove-node", "n4", "--endpoint", server.Url, "--timeout", "2s");
        Assert.Equal((5, said), (result.Exit, result.Err));
    }

    [Fact]
    public async Task Words_of_the_server_that_nothing_was_written_are_not_said_twice()
    {
        await using var server = await FakeServer.StartAsync();
        server.Script = _ => new Twist.Refuse(503, "not_joined", Detail: "It belongs to no cluster yet. Nothing was read or written.");
        var result = await Terminal.RunAsync("put", "k", "v", "--endpoint", server.Url, "--timeout", "2s");
        Assert.Equal((5, "unavailable: It belongs to no cluster yet. Nothing was read or written. (not_joined)\n"), (result.Exit, result.Err));
    }

    [Theory]
    [InlineData("add-node", "n4", "127.0.0.1:50054")]
    [InlineData("remove-node", "n4")]
    public async Task Whoever_interrupts_a_change_is_told_that_it_goes_on(params string[] words)
    {
        await using var server = await FakeServer.StartAsync();
        using var stop = new CancellationTokenSource();
        server.Changes.Enqueue(new ChangeDocument("n4", false, [new(1, false, "under way")]));
        server.Script = _ =>
        {
            if (server.Requests.Count == 2)
            {
                stop.Cancel();
            }

            return null;
        };
        var result = await Terminal.RunUntilAsync([.. words, "--endpoint", server.Url], null, null, stop.Token);
        Assert.Equal(130, result.Exit);
        Assert.Equal("shard 1: under way\ninterrupted: what was begun goes on by itself, and the same command again tells how it stands\n", result.Err);
    }
}
