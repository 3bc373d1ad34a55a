using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Flotilla.Cli.Tests.Fakes;
using Flotilla.Client;
using Flotilla.Contracts;
using Flotilla.Contracts.Http;

namespace Flotilla.Cli.Tests.Client;

/// <summary>What the client sends again, and what it never does (hazard 34).</summary>
public sealed class Retry_rules
{
    private static readonly byte[] Key = "k"u8.ToArray();
    private static readonly byte[] Value = "v"u8.ToArray();

    [Fact]
    public async Task A_put_and_a_get_give_value_and_version()
    {
        await using var server = await FakeServer.StartAsync();
        using var client = Make(server);
        var put = await client.PutAsync(Key, Value, cancel: TestContext.Current.CancellationToken);
        var get = await client.GetAsync(Key, cancel: TestContext.Current.CancellationToken);
        Assert.Equal(CallOutcome.Ok, put.Outcome);
        Assert.Equal(CallOutcome.Ok, get.Outcome);
        Assert.Equal("v", Encoding.UTF8.GetString(get.Value.Span));
        Assert.Equal(put.Version, get.Version);
        Assert.Equal(CallOutcome.NotFound, (await client.GetAsync("none"u8.ToArray(), cancel: TestContext.Current.CancellationToken)).Outcome);
    }

    [Theory]
    [InlineData(409, "not_leader")]
    [InlineData(429, "overloaded")]
    [InlineData(503, "no_quorum")]
    [InlineData(503, "replica_unavailable")]
    public async Task A_write_that_was_refused_for_now_is_sent_again(int status, string code)
    {
        await using var server = await FakeServer.StartAsync();
        var left = 3;
        server.Script = _ => Interlocked.Decrement(ref left) >= 0 ? new Twist.Refuse(status, code, RetryAfter: status == 429 ? "0" : null) : null;
        using var client = Make(server);
        var put = await client.PutAsync(Key, Value, cancel: TestContext.Current.CancellationToken);
        Assert.Equal(CallOutcome.Ok, put.Outcome);
        Assert.Equal(4, server.Requests.Count);
        Assert.Single(server.Applied);
    }

    [Fact]
    public async Task A_node_that_belongs_to_no_cluster_is_passed_over_at_once()
    {
        await using var waiting = await FakeServer.StartAsync();
        await using var server = await FakeServer.StartAsync();
        waiting.Script = _ => new Twist.Refuse(503, "not_joined", RetryAfter: "60");
        using var client = Make(server, o => o with { Endpoints = [waiting.Address, server.Address] });
        for (var i = 0; i < 3; i++)
        {
            Assert.Equal(CallOutcome.Ok, (await client.PutAsync(Key, Value, cancel: TestContext.Current.CancellationToken)).Outcome);
        }

        // Once it has said so it is not asked first for a while.
        Assert.Single(waiting.Requests);
        Assert.Equal(3, server.Requests.Count);
    }

    [Theory]
    [InlineData(500, "internal")]
    [InlineData(502, "bad_gateway")]
    [InlineData(504, "indeterminate")]
    [InlineData(408, "request_timeout")]
    [Trait("Hazard", "34")]
    public async Task A_write_without_a_key_that_may_have_happened_is_never_sent_again(int status, string code)
    {
        await using var server = await FakeServer.StartAsync();
        server.Script = _ => new Twist.Refuse(status, code);
        using var client = Make(server, o => o with { ExactlyOnce = false });
        var put = await client.PutAsync(Key, Value, cancel: TestContext.Current.CancellationToken);
        Assert.Equal(CallOutcome.Unknown, put.Outcome);
        Assert.Equal(code, put.Error!.Code);
        var delete = await client.DeleteAsync(Key, cancel: TestContext.Current.CancellationToken);
        Assert.Equal(CallOutcome.Unknown, delete.Outcome);
        Assert.Equal(2, server.Requests.Count);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    [Trait("Hazard", "34")]
    public async Task A_write_without_a_key_on_a_connection_that_breaks_has_an_unknown_outcome_and_is_never_sent_again(bool applied)
    {
        await using var server = await FakeServer.StartAsync();
        server.Script = _ => new Twist.Break(applied);
        using var client = Make(server, o => o with { ExactlyOnce = false });
        var put = await client.PutAsync(Key, Value, cancel: TestContext.Current.CancellationToken);
        Assert.Equal(CallOutcome.Unknown, put.Outcome);
        Assert.Equal("broken_connection", put.Error!.Code);
        Assert.Single(server.Requests);
    }

    [Fact]
    [Trait("Hazard", "34")]
    public async Task A_write_without_a_key_and_an_answer_has_an_unknown_outcome_and_is_never_sent_again()
    {
        await using var server = await FakeServer.StartAsync();
        server.Script = _ => new Twist.Hang(Apply: true);
        using var client = Make(server, o => o with { WriteAttemptTimeout = TimeSpan.FromMilliseconds(100), ExactlyOnce = false });
        var put = await client.PutAsync(Key, Value, cancel: TestContext.Current.CancellationToken);
        Assert.Equal(CallOutcome.Unknown, put.Outcome);
        Assert.Equal("timeout", put.Error!.Code);
        Assert.Single(server.Requests);
    }

    [Fact]
    public async Task A_write_whose_connection_is_refused_goes_to_the_next_endpoint()
    {
        await using var server = await FakeServer.StartAsync();
        using var client = new FlotillaClient(new FlotillaClientOptions { Endpoints = [new HostPort("127.0.0.1", FakeServer.FreePort()), server.Address] });
        Assert.Equal(CallOutcome.Ok, (await client.PutAsync(Key, Value, cancel: TestContext.Current.CancellationToken)).Outcome);
    }

    [Fact]
    public async Task Reads_are_asked_again_elsewhere_after_any_failure()
    {
        await using var bad = await FakeServer.StartAsync();
        await using var good = await FakeServer.StartAsync();
        good.Set("k", Value);
        foreach (var twist in new Twist[] { new Twist.Break(false), new Twist.Hang(false), new Twist.Refuse(500, "internal"), new Twist.Refuse(504, "indeterminate"), new Twist.Refuse(503, "no_quorum") })
        {
            bad.Script = _ => twist;
            using var client = new FlotillaClient(new FlotillaClientOptions { Endpoints = [bad.Address, good.Address], ReadAttemptTimeout = TimeSpan.FromMilliseconds(100) });
            var get = await client.GetAsync(Key, cancel: TestContext.Current.CancellationToken);
            Assert.Equal(CallOutcome.Ok, get.Outcome);
        }
    }

    [Theory]
    [InlineData(400, "bad_request", CallOutcome.Failed)]
    [InlineData(413, "too_large", CallOutcome.Failed)]
    [InlineData(409, "unsupported_in_mode", CallOutcome.Failed)]
    [InlineData(412, "version_mismatch", CallOutcome.VersionMismatch)]
    [InlineData(404, "not_found", CallOutcome.NotFound)]
    public async Task A_definite_answer_is_final(int status, string code, CallOutcome expected)
    {
        await using var server = await FakeServer.StartAsync();
        server.Script = _ => new Twist.Refuse(status, code);
        using var client = Make(server);
        var put = await client.PutAsync(Key, Value, cancel: TestContext.Current.CancellationToken);
        Assert.Equal((expected, code), (put.Outcome, put.Error!.Code));
        Assert.Single(server.Requests);
    }

    [Fact]
    public async Task A_hint_is_followed_to_the_leader()
    {
        await using var leader = await FakeServer.StartAsync();
        await using var follower = await FakeServer.StartAsync();
        follower.Script = _ => new Twist.Refuse(409, "not_leader", leader.Address.ToString());
        using var client = Make(follower);
        Assert.Equal(CallOutcome.Ok, (await client.PutAsync(Key, Value, cancel: TestContext.Current.CancellationToken)).Outcome);
        Assert.Equal("v", leader.Get("k"));
    }

    [Fact]
    [Trait("Hazard", "54")]
    public async Task Two_nodes_that_point_at_each_other_end_at_the_deadline_without_a_storm()
    {
        await using var a = await FakeServer.StartAsync();
        await using var b = await FakeServer.StartAsync();
        a.Script = _ => new Twist.Refuse(409, "not_leader", b.Address.ToString());
        b.Script = _ => new Twist.Refuse(409, "not_leader", a.Address.ToString());
        using var client = Make(a, o => o with { Timeout = TimeSpan.FromSeconds(1.5) });
        var put = await client.PutAsync(Key, Value, cancel: TestContext.Current.CancellationToken);
        Assert.Equal((CallOutcome.Unavailable, "not_leader"), (put.Outcome, put.Error!.Code));
        Assert.InRange(a.Requests.Count + b.Requests.Count, 2, 60);
    }

    [Fact]
    public async Task Nobody_there_is_unavailable_once_the_time_is_over()
    {
        var started = Stopwatch.GetTimestamp();
        using var client = new FlotillaClient(new FlotillaClientOptions { Endpoints = [new HostPort("127.0.0.1", FakeServer.FreePort())], Timeout = TimeSpan.FromMilliseconds(300) });
        var put = await client.PutAsync(Key, Value, cancel: TestContext.Current.CancellationToken);
        Assert.Equal((CallOutcome.Unavailable, "unreachable"), (put.Outcome, put.Error!.Code));
        Assert.InRange(Stopwatch.GetElapsedTime(started).TotalSeconds, 0, 5);
    }

    [Fact]
    public async Task A_wait_longer_than_the_time_left_ends_at_once()
    {
        await using var server = await FakeServer.StartAsync();
        server.Script = _ => new Twist.Refuse(429, "overloaded", RetryAfter: "3600");
        using var client = Make(server);
        var put = await client.PutAsync(Key, Value, cancel: TestContext.Current.CancellationToken);
        Assert.Equal((CallOutcome.Unavailable, "overloaded"), (put.Outcome, put.Error!.Code));
        Assert.Single(server.Requests);
    }

    [Fact]
    public async Task A_cancelled_write_under_way_is_unknown_and_a_cancelled_read_throws()
    {
        await using var server = await FakeServer.StartAsync();
        using var cancel = new CancellationTokenSource();
        server.Script = _ =>
        {
            cancel.Cancel();
            return new Twist.Hang(Apply: true);
        };
        using var client = Make(server);
        var put = await client.PutAsync(Key, Value, cancel: cancel.Token);
        Assert.Equal((CallOutcome.Unknown, "interrupted"), (put.Outcome, put.Error!.Code));
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () => await client.GetAsync(Key, cancel: cancel.Token));
    }

    [Fact]
    public async Task A_connection_that_the_server_closed_while_idle_is_not_used_for_a_write()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var served = Task.Run(async () =>
        {
            for (var i = 0; i < 2; i++)
            {
                using var peer = await listener.AcceptSocketAsync(TestContext.Current.CancellationToken);
                var buffer = new byte[4096];
                _ = await peer.ReceiveAsync(buffer);
                _ = await peer.SendAsync("HTTP/1.1 200 OK\r\nETag: \"1.0.1.0\"\r\nContent-Length: 0\r\n\r\n"u8.ToArray());
            }
        }, TestContext.Current.CancellationToken);
        using var client = new FlotillaClient(new FlotillaClientOptions { Endpoints = [new HostPort("127.0.0.1", ((IPEndPoint)listener.LocalEndpoint).Port)] });
        Assert.Equal(CallOutcome.Ok, (await client.PutAsync(Key, Value, cancel: TestContext.Current.CancellationToken)).Outcome);
        // The first connection is closed as soon as its answer is out; the next accept is already waiting.
        WriteResult second;
        do
        {
            second = await client.PutAsync(Key, Value, cancel: TestContext.Current.CancellationToken);
        }
        while (second.Outcome == CallOutcome.Unknown && !served.IsCompleted);
        await served;
    }

    [Fact]
    public async Task Direct_routing_sends_to_the_leader_and_learns_from_hints()
    {
        await using var n1 = await FakeServer.StartAsync();
        await using var n2 = await FakeServer.StartAsync();
        await using var n3 = await FakeServer.StartAsync();
        n1.Config = new ConfigDocument(
            [Node("n1", n1), Node("n2", n2), Node("n3", n3)],
            [new ShardDocument(1, "active", "raft", "n2", 4, ["n1", "n2", "n3"], [], [], KeySlot.Count, [[0, KeySlot.Count - 1]], "4.1")]);
        n2.Script = _ => new Twist.Refuse(409, "not_leader", n3.Address.ToString());
        using var client = Make(n1, o => o with { DirectRouting = true });
        Assert.Equal(CallOutcome.Ok, (await client.PutAsync(Key, Value, cancel: TestContext.Current.CancellationToken)).Outcome);
        Assert.Equal(CallOutcome.Ok, (await client.PutAsync(Key, Value, cancel: TestContext.Current.CancellationToken)).Outcome);
        Assert.Contains("forward=false", Assert.Single(n2.Requests).Target, StringComparison.Ordinal);
        Assert.Equal(2, n3.Applied.Count);
    }

    [Fact]
    public async Task A_hint_about_one_slot_says_nothing_of_the_other_slots_of_its_shard()
    {
        await using var n1 = await FakeServer.StartAsync();
        await using var n2 = await FakeServer.StartAsync();
        await using var n3 = await FakeServer.StartAsync();
        n1.Config = new ConfigDocument(
            [Node("n1", n1), Node("n2", n2), Node("n3", n3)],
            [new ShardDocument(1, "active", "raft", "n2", 4, ["n1", "n2", "n3"], [], [], KeySlot.Count, [[0, KeySlot.Count - 1]], "4.1")]);
        n2.Script = request => n2.Requests.Count == 1 ? new Twist.Refuse(409, "not_leader", n3.Address.ToString()) : null; // That slot has moved to a shard which n3 leads.
        using var client = Make(n1, o => o with { DirectRouting = true });
        Assert.Equal(CallOutcome.Ok, (await client.PutAsync(Key, Value, cancel: TestContext.Current.CancellationToken)).Outcome);
        Assert.Equal(CallOutcome.Ok, (await client.PutAsync("another"u8.ToArray(), Value, cancel: TestContext.Current.CancellationToken)).Outcome);
        Assert.Equal(CallOutcome.Ok, (await client.PutAsync(Key, Value, cancel: TestContext.Current.CancellationToken)).Outcome);
        Assert.Equal(2, n3.Applied.Count);
        Assert.Single(n2.Applied);
    }

    [Fact]
    public async Task Direct_routing_goes_on_through_other_nodes_when_the_leader_is_gone()
    {
        await using var n1 = await FakeServer.StartAsync();
        var gone = new HostPort("127.0.0.1", FakeServer.FreePort());
        n1.Config = new ConfigDocument(
            [Node("n1", n1), new NodeDocument("n2", gone.ToString(), null, null, true)],
            [new ShardDocument(1, "active", "raft", "n2", 4, ["n1", "n2"], [], [], KeySlot.Count, [[0, KeySlot.Count - 1]], "4.1")]);
        using var client = Make(n1, o => o with { DirectRouting = true });
        Assert.Equal(CallOutcome.Ok, (await client.PutAsync(Key, Value, cancel: TestContext.Current.CancellationToken)).Outcome);
        Assert.Equal("v", n1.Get("k"));
    }

    [Fact]
    public async Task Increments_from_many_sides_count_exactly()
    {
        await using var server = await FakeServer.StartAsync();
        using var client = Make(server);
        await Parallel.ForAsync(0, 40, async (_, cancel) => Assert.Equal(CallOutcome.Ok, (await client.IncrementAsync(Key, 1, cancel)).Outcome));
        Assert.Equal("40", server.Get("k"));
    }

    [Theory]
    [InlineData("plain")]
    [InlineData("a/b c?d#e%2F+ä{t}")]
    [InlineData("..")]
    [InlineData("nul\0inside")]
    [InlineData("'\"<>\\^`|")]
    public async Task Any_key_arrives_as_it_is(string key)
    {
        await using var server = await FakeServer.StartAsync();
        using var client = Make(server);
        Assert.Equal(CallOutcome.Ok, (await client.PutAsync(Encoding.UTF8.GetBytes(key), Value, cancel: TestContext.Current.CancellationToken)).Outcome);
        Assert.Equal("v", server.Get(key));
    }

    [Fact]
    public async Task A_time_to_live_travels_in_json_with_any_value()
    {
        await using var server = await FakeServer.StartAsync();
        using var client = Make(server);
        foreach (var value in new[] { "text"u8.ToArray(), [0xff, 0x00] })
        {
            Assert.Equal(CallOutcome.Ok, (await client.PutAsync(Key, value, new PutOptions { TimeToLive = TimeSpan.FromSeconds(1.5) }, TestContext.Current.CancellationToken)).Outcome);
            Assert.Contains("\"ttlSeconds\":1.5", Encoding.UTF8.GetString(server.Requests.Last().Body), StringComparison.Ordinal);
            Assert.Equal(value, (await client.GetAsync(Key, cancel: TestContext.Current.CancellationToken)).Value.ToArray());
        }
    }

    private static NodeDocument Node(string id, FakeServer server) => new(id, server.Address.ToString(), null, null, true);

    private static FlotillaClient Make(FakeServer server, Func<FlotillaClientOptions, FlotillaClientOptions>? with = null)
    {
        var options = new FlotillaClientOptions { Endpoints = [server.Address] };
        return new FlotillaClient(with is null ? options : with(options));
    }
}
