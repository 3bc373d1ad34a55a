using System.Diagnostics;
using Flotilla.Cli.Tests.Fakes;
using Flotilla.Client;

namespace Flotilla.Cli.Tests.Client;

/// <summary>Writes whose answers are lost: sent again under their key, executed once (hazard 34).</summary>
public sealed class Exactly_once
{
    private static readonly byte[] Key = "k"u8.ToArray();

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public static TheoryData<Twist> Losses =>
    [
        new Twist.Break(Apply: true), new Twist.Break(Apply: false), new Twist.Hang(Apply: true), new Twist.Hang(Apply: false),
        new Twist.Refuse(500, "internal"), new Twist.Refuse(502, "bad_gateway"), new Twist.Refuse(504, "indeterminate"), new Twist.Refuse(408, "request_timeout"),
    ];

    [Theory]
    [MemberData(nameof(Losses))]
    [Trait("Hazard", "34")]
    public async Task A_write_whose_outcome_is_unknown_is_sent_again_under_its_key_and_happens_once(Twist loss)
    {
        await using var server = await FakeServer.StartAsync();
        var left = 2;
        server.Script = _ => Interlocked.Decrement(ref left) >= 0 ? loss : null;
        using var client = Make(server);
        var counted = await client.IncrementAsync(Key, 5, Token);
        Assert.Equal((CallOutcome.Ok, 5L), (counted.Outcome, counted.Value));
        Assert.Equal("5", server.Get("k"));
        Assert.Single(server.Applied);
        Assert.Equal(3, server.Requests.Count);
        Assert.Single(server.Requests.Select(r => r.Headers["Idempotency-Key"].ToString()).Distinct());
        Assert.Equal(["", "true", "true"], server.Requests.Select(r => r.Headers["Idempotency-Retry"].ToString()));
    }

    [Fact]
    [Trait("Hazard", "34")]
    public async Task A_conditional_write_whose_answer_is_lost_is_no_mismatch_with_itself()
    {
        await using var server = await FakeServer.StartAsync();
        using var client = Make(server);
        var first = await client.PutAsync(Key, "1"u8.ToArray(), cancel: Token);
        var left = 1;
        server.Script = _ => Interlocked.Decrement(ref left) >= 0 ? new Twist.Break(Apply: true) : null;
        var swapped = await client.PutAsync(Key, "2"u8.ToArray(), new PutOptions { IfVersion = first.Version }, Token);
        Assert.Equal((CallOutcome.Ok, "1.0.2.0"), (swapped.Outcome, swapped.Version));
        left = 1;
        Assert.Equal(CallOutcome.Ok, (await client.DeleteAsync(Key, swapped.Version, Token)).Outcome);
        Assert.Null(server.Get("k"));
    }

    [Fact]
    public async Task Every_call_has_a_key_of_its_own_with_a_life_beyond_its_time()
    {
        await using var server = await FakeServer.StartAsync();
        using var one = Make(server);
        using var other = Make(server);
        foreach (var client in new[] { one, other, one, other })
        {
            await client.PutAsync(Key, Key, cancel: Token);
            await client.GetAsync(Key, cancel: Token);
        }

        var keys = server.Requests.Where(r => r.Method != "GET").Select(r => r.Headers["Idempotency-Key"].ToString()).ToArray();
        Assert.Equal(4, keys.Distinct().Count());
        Assert.All(keys, key => Assert.Contains(";life=30;until=", key, StringComparison.Ordinal));
        Assert.All(keys, key => Assert.InRange(UntilOf(key) - DateTimeOffset.UtcNow.ToUnixTimeMilliseconds(), 10_000, 20_000));
        Assert.All(server.Requests, r => Assert.Equal(r.Method == "GET", !r.Headers.ContainsKey("Idempotency-Key")));
    }

    [Theory]
    [InlineData(86_400_000)]
    [InlineData(-86_400_000)]
    [Trait("Hazard", "33")]
    public async Task A_clock_that_is_wrong_by_a_day_costs_one_refusal(long aheadMs)
    {
        await using var server = await FakeServer.StartAsync();
        server.Script = seen =>
        {
            var now = DateTimeOffset.UtcNow.ToUnixTimeMilliseconds() + aheadMs;
            return UntilOf(seen.Headers["Idempotency-Key"].ToString()) - now is > 0 and <= 30_000 ? null : new Twist.Refuse(409, "key_expired", LogTimeMs: now);
        };
        using var client = Make(server, o => o with { WriteAttemptTimeout = TimeSpan.FromSeconds(6) });
        Assert.Equal(CallOutcome.Ok, (await client.IncrementAsync(Key, 1, Token)).Outcome);
        Assert.Equal(2, server.Requests.Count);
        Assert.Equal("", server.Requests.Last().Headers["Idempotency-Retry"].ToString());
        Assert.Equal(CallOutcome.Ok, (await client.IncrementAsync(Key, 1, Token)).Outcome);
        Assert.Equal(3, server.Requests.Count);
        Assert.Equal("2", server.Get("k"));
    }

    [Fact]
    [Trait("Hazard", "35")]
    public async Task A_server_whose_time_is_never_right_ends_the_write_as_failed()
    {
        await using var server = await FakeServer.StartAsync();
        server.Script = _ => new Twist.Refuse(409, "key_expired", LogTimeMs: 5);
        using var client = Make(server, o => o with { WriteAttemptTimeout = TimeSpan.FromSeconds(6) });
        Assert.Equal((CallOutcome.Failed, "key_expired"), (await client.IncrementAsync(Key, 1, Token)) is var end ? (end.Outcome, end.Error!.Code) : default);
        Assert.Equal(4, server.Requests.Count);
    }

    [Theory]
    [InlineData(429, "overloaded")]
    [InlineData(503, "no_quorum")]
    [InlineData(413, "too_large")]
    [InlineData(409, "not_leader")]
    [InlineData(409, "unsupported_in_mode")]
    [InlineData(404, "unknown_route")]
    [Trait("Hazard", "34")]
    public async Task What_refuses_a_retry_is_never_the_end_of_the_write(int status, string code)
    {
        await using var server = await FakeServer.StartAsync();
        var seen = 0;
        server.Script = _ => ++seen == 1 ? new Twist.Break(Apply: true) : seen <= 3 ? new Twist.Refuse(status, code, RetryAfter: status == 429 ? "0" : null) : null;
        using var client = Make(server);
        var counted = await client.IncrementAsync(Key, 1, Token);
        Assert.Equal((CallOutcome.Ok, 1L), (counted.Outcome, counted.Value));

        seen = 0;
        server.Script = _ => ++seen == 1 ? new Twist.Break(Apply: true) : new Twist.Refuse(status, code, RetryAfter: status == 429 ? "0" : null);
        using var hasty = Make(server, o => o with { Timeout = TimeSpan.FromMilliseconds(300) });
        var unknown = await hasty.IncrementAsync(Key, 1, Token);
        Assert.Equal((CallOutcome.Unknown, "broken_connection"), (unknown.Outcome, unknown.Error!.Code));
    }

    [Fact]
    public async Task What_executing_it_came_to_is_the_end_of_the_write()
    {
        await using var server = await FakeServer.StartAsync();
        var seen = 0;
        server.Script = _ => ++seen == 1 ? new Twist.Break(Apply: false) : new Twist.Refuse(400, "bad_request");
        using var client = Make(server);
        Assert.Equal((CallOutcome.Failed, "bad_request"), (await client.IncrementAsync(Key, 1, Token)) is var end ? (end.Outcome, end.Error!.Code) : default);
    }

    [Fact]
    [Trait("Hazard", "34")]
    public async Task A_lost_answer_is_asked_for_at_the_next_endpoint_which_is_told_to_forward()
    {
        await using var lost = await FakeServer.StartAsync();
        await using var other = await FakeServer.StartAsync();
        lost.Script = _ => new Twist.Break(Apply: false);
        using var client = new FlotillaClient(new FlotillaClientOptions { Endpoints = [lost.Address, other.Address] });
        Assert.Equal(CallOutcome.Ok, (await client.IncrementAsync(Key, 1, Token)).Outcome);
        Assert.Contains("forward=true", Assert.Single(other.Requests).Target, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_call_that_is_cancelled_in_doubt_is_unknown_at_once()
    {
        await using var server = await FakeServer.StartAsync();
        using var cancel = new CancellationTokenSource();
        var seen = 0;
        server.Script = _ =>
        {
            if (++seen == 3)
            {
                cancel.Cancel();
            }

            return seen == 1 ? new Twist.Break(Apply: true) : new Twist.Refuse(503, "no_quorum");
        };
        using var client = Make(server, o => o with { Timeout = TimeSpan.FromSeconds(60) });
        var started = Stopwatch.GetTimestamp();
        var counted = await client.IncrementAsync(Key, 1, cancel.Token);
        Assert.Equal((CallOutcome.Unknown, "interrupted"), (counted.Outcome, counted.Error!.Code));
        Assert.InRange(Stopwatch.GetElapsedTime(started).TotalSeconds, 0, 30);
    }

    private static long UntilOf(string key) => long.Parse(key.Split(";until=")[1], System.Globalization.CultureInfo.InvariantCulture);

    private static FlotillaClient Make(FakeServer server, Func<FlotillaClientOptions, FlotillaClientOptions>? with = null)
    {
        var options = new FlotillaClientOptions { Endpoints = [server.Address], WriteAttemptTimeout = TimeSpan.FromMilliseconds(300) };
        return new FlotillaClient(with is null ? options : with(options));
    }
}
