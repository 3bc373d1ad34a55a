using System.Text;
using Flotilla.Node;
using Flotilla.Server.Tests.Fakes;
using Flotilla.Shards;

namespace Flotilla.Server.Tests.Http;

/// <summary>The headers <c>Idempotency-Key</c> and <c>Idempotency-Retry</c>.</summary>
public sealed class IdempotencyTests
{
    [Theory, Trait("Hazard", "34")]
    [InlineData("PUT", "/kv/a")]
    [InlineData("POST", "/kv/a")]
    [InlineData("DELETE", "/kv/a")]
    [InlineData("PUT", "/kv?keyBase64=YQ==")]
    [InlineData("POST", "/kv?keyBase64=YQ==")]
    [InlineData("DELETE", "/kv?keyBase64=YQ==")]
    [InlineData("GET", "/put?key=a&val=v")]
    [InlineData("GET", "/delete?key=a")]
    [InlineData("GET", "/Put/a/v")]
    public async Task Every_write_carries_its_key(string method, string target)
    {
        await using var door = await DoorFixture.StartAsync();
        var body = method switch { "PUT" => "{\"value\":\"v\"}", "POST" => "{\"increment\":1}", _ => null };
        await door.SendAsync(method, target, body, headers: [("Idempotency-Key", "\"8e03 \\\"978e\\\\\"")]);
        await door.SendAsync(method, target, body, headers: [("Idempotency-Key", "8e03-978e;life=90"), ("Idempotency-Retry", "true")]);
        await door.SendAsync(method, target, body);
        var writes = door.Gateway.Writes.ToArray();
        Assert.Equal((@"8e03 ""978e\", 0L, false), Of(writes[0]));
        Assert.Equal(("8e03-978e", 90_000L, true), Of(writes[1]));
        Assert.Null(writes[2].Command.Once);
        Assert.False(writes[2].Options.IsRetry);
    }

    [Fact]
    public async Task Bytes_in_a_body_carry_it_too()
    {
        await using var door = await DoorFixture.StartAsync();
        await door.SendAsync("PUT", "/kv/a", bytes: [1, 2], headers: [("Idempotency-Key", "id")]);
        Assert.Equal(("id", 0L, false), Of(Assert.Single(door.Gateway.Writes)));
    }

    [Theory]
    [InlineData("a;life=30;until=1700000000123", 30_000, 1_700_000_000_123)]
    [InlineData("\"a\" ; life=30 ; until=5", 30_000, 5)]
    [InlineData("a;until=7", 0, 7)]
    public async Task A_key_may_come_with_an_end(string header, long lifeMs, long untilMs)
    {
        await using var door = await DoorFixture.StartAsync();
        await door.PutAsync("/kv/a", "v", ("Idempotency-Key", header));
        var once = Assert.IsType<Once.ByKey>(Assert.Single(door.Gateway.Writes).Command.Once);
        Assert.Equal(("a", lifeMs, untilMs), (Encoding.ASCII.GetString(once.Key.Span), once.Terms.LifeMs, once.UntilMs));
    }

    [Fact, Trait("Hazard", "35")]
    public async Task One_that_has_ended_is_refused_with_the_time_of_the_shard()
    {
        await using var door = await DoorFixture.StartAsync();
        door.Gateway.OnExecute = (_, _) => new(FakeGateway.Answered(ResultCode.KeyExpired) with { Result = new CommandResult(ResultCode.KeyExpired, new Data.Version(0, 0, 1_700_000_000_123, 0), default) });
        var answer = await door.PutAsync("/kv/a", "v", ("Idempotency-Key", "a;until=5"));
        answer.IsProblem(409, "key_expired");
        Assert.Contains("\"logTimeMs\":1700000000123", answer.Text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("\"")]
    [InlineData("\"\"")]
    [InlineData("\"a")]
    [InlineData("\"a\\b\"")]
    [InlineData("\"tab\there\"")]
    [InlineData("a b")]
    [InlineData("a,b")]
    [InlineData("\"a\", \"b\"")]
    [InlineData("a;life=0")]
    [InlineData("a;life=-1")]
    [InlineData("a;life=1.5")]
    [InlineData("a;life=99999999999999999999")]
    [InlineData("a;life=")]
    [InlineData("a;life=5;life=6")]
    [InlineData("a;until=5;life=6")]
    [InlineData("a;until=0")]
    [InlineData("a;until=")]
    [InlineData("a;until=9223372036854775807")]
    [InlineData("a;life=5;until=6s")]
    [InlineData("a;age=5")]
    [InlineData("a;")]
    public async Task What_is_no_key_is_refused_in_words(string header)
    {
        await using var door = await DoorFixture.StartAsync();
        var detail = (await door.PutAsync("/kv/a", "v", ("Idempotency-Key", header))).IsProblem(400, "bad_request");
        Assert.Contains("Idempotency-Key", detail, StringComparison.Ordinal);
        Assert.Empty(door.Gateway.Writes);
    }

    [Fact]
    public async Task A_key_has_up_to_255_characters_and_is_sent_once()
    {
        await using var door = await DoorFixture.StartAsync();
        Assert.Equal(200, (await door.PutAsync("/kv/a", "v", ("Idempotency-Key", new string('k', 255)))).Status);
        (await door.PutAsync("/kv/a", "v", ("Idempotency-Key", new string('k', 256)))).IsProblem(400, "bad_request");
        (await door.PutAsync("/kv/a", "v", ("Idempotency-Key", "a"), ("Idempotency-Key", "b"))).IsProblem(400, "bad_request");
        Assert.Single(door.Gateway.Writes);
    }

    [Fact]
    public async Task A_retry_names_what_it_retries()
    {
        await using var door = await DoorFixture.StartAsync();
        Assert.Contains("goes with", (await door.PutAsync("/kv/a", "v", ("Idempotency-Retry", "true"))).IsProblem(400, "bad_request"), StringComparison.Ordinal);
        (await door.PutAsync("/kv/a", "v", ("Idempotency-Retry", "2"), ("Idempotency-Key", "a"))).IsProblem(400, "bad_request");
        Assert.Empty(door.Gateway.Writes);
    }

    [Fact, Trait("Hazard", "34")]
    public async Task A_key_that_was_used_for_another_write_is_told_apart_from_other_bad_requests()
    {
        await using var door = await DoorFixture.StartAsync();
        door.Gateway.OnExecute = (_, _) => new(FakeGateway.Answered(ResultCode.KeyReused));
        var detail = (await door.PutAsync("/kv/a", "v", ("Idempotency-Key", "a"))).IsProblem(400, "bad_request");
        Assert.Contains("differs from this one", detail, StringComparison.Ordinal);
    }

    private static (string Key, long LifeMs, bool IsRetry) Of((Command Command, CallOptions Options) write)
    {
        var once = Assert.IsType<Once.ByKey>(write.Command.Once);
        return (Encoding.ASCII.GetString(once.Key.Span), once.Terms.LifeMs, write.Options.IsRetry);
    }
}
