using System.Text;
using Flotilla.Node;
using Flotilla.Raft;
using Flotilla.Server.Tests.Fakes;
using Flotilla.Shards;
using Flotilla.Topology;
using Version = Flotilla.Data.Version;

namespace Flotilla.Server.Tests.Http;

public sealed class ProblemTests
{
    [Theory]
    [InlineData(ResultCode.NotFound, 404, "not_found")]
    [InlineData(ResultCode.VersionMismatch, 412, "version_mismatch")]
    [InlineData(ResultCode.BadRequest, 400, "bad_request")]
    [InlineData(ResultCode.NotLeader, 409, "not_leader")]
    [InlineData(ResultCode.NotOwner, 503, "slot_moving")]
    [InlineData(ResultCode.Overloaded, 429, "overloaded")]
    [InlineData(ResultCode.NoQuorum, 503, "no_quorum")]
    [InlineData(ResultCode.Indeterminate, 504, "indeterminate")]
    [InlineData(ResultCode.SlotMoving, 503, "slot_moving")]
    [InlineData(ResultCode.TooLarge, 413, "too_large")]
    [InlineData(ResultCode.KeyReused, 400, "bad_request")]
    [InlineData(ResultCode.SessionExpired, 504, "indeterminate")]
    [InlineData((ResultCode)200, 500, "internal")]
    public async Task Each_result_is_one_status_and_one_code_on_every_route(ResultCode result, int status, string code)
    {
        var answer = FakeGateway.Answered(result);
        var gateway = new FakeGateway
        {
            OnExecute = (_, _) => new(answer),
            OnGet = _ => new(answer),
            OnScan = _ => new ScanAnswer(result, [], null, answer.Shard, answer.Leader, answer.LeaderHttp, "in words"),
        };
        await using var door = await DoorFixture.StartAsync(gateway: gateway);
        Assert.NotEmpty((await door.GetAsync("/kv/a")).IsProblem(status, code));
        (await door.PutAsync("/kv/a", "v")).IsProblem(status, code);
        (await door.SendAsync("POST", "/kv/a", "{\"increment\":1}")).IsProblem(status, code);
        (await door.GetAsync("/put?key=a&val=b")).IsProblem(status, code);
        Assert.Equal("in words", (await door.GetAsync("/kv")).IsProblem(status, code));
        var delete = await door.SendAsync("DELETE", "/kv/a");
        if (result == ResultCode.NotFound)
        {
            Assert.Equal((200, "False"), (delete.Status, delete.Of("deleted")));
        }
        else
        {
            delete.IsProblem(status, code);
            Assert.Equal(status is 429 or 503, delete.Message.Headers.RetryAfter is not null);
        }
    }

    [Fact]
    public async Task Not_leader_names_the_leader_as_far_as_it_is_known()
    {
        var answer = FakeGateway.Answered(ResultCode.NotLeader, "ask n2");
        await using var door = await DoorFixture.StartAsync(gateway: new FakeGateway { OnGet = _ => new(answer) });
        var reply = await door.GetAsync("/kv/a?forward=false");
        Assert.Equal("ask n2", reply.IsProblem(409, "not_leader"));
        Assert.Equal("{\"node\":\"n2\",\"http\":\"127.0.0.1:8002\"}", reply.Of("leader"));

        answer = answer with { Leader = default, LeaderHttp = null };
        Assert.Equal("{}", (await door.GetAsync("/kv/a?forward=false")).Of("leader"));
    }

    [Fact]
    public async Task A_gateway_that_throws_leaves_a_write_indeterminate_and_a_read_internal()
    {
        var gateway = new FakeGateway { OnExecute = (_, _) => new(Throw()), OnGet = _ => new(Throw()) };
        await using var door = await DoorFixture.StartAsync(gateway: gateway);
        (await door.PutAsync("/kv/a", "v")).IsProblem(504, "indeterminate");
        (await door.GetAsync("/kv/a")).IsProblem(500, "internal");

        gateway.OnExecute = (_, _) => throw new InvalidOperationException("at once");
        gateway.OnScan = _ => throw new InvalidOperationException("at once");
        (await door.PutAsync("/kv/a", "v")).IsProblem(504, "indeterminate");
        (await door.GetAsync("/kv")).IsProblem(500, "internal");

        static async Task<Answer> Throw()
        {
            await Task.Yield();
            throw new InvalidOperationException("later");
        }
    }

    [Fact]
    public async Task A_client_that_hangs_up_does_not_undo_its_write()
    {
        var answer = new TaskCompletionSource<Answer>();
        var gateway = new FakeGateway { OnExecute = (command, _) => command.Key.Span.SequenceEqual("gone"u8) ? new(answer.Task) : null };
        await using var door = await DoorFixture.StartAsync(gateway: gateway);
        using (var client = await door.ConnectAsync())
        {
            client.LingerState = new(enable: true, seconds: 0);
            await client.GetStream().WriteAsync("PUT /kv/gone HTTP/1.1\r\nHost: x\r\nContent-Length: 13\r\n\r\n{\"value\":\"v\"}"u8.ToArray(), TestContext.Current.CancellationToken);
            await Until.TrueAsync(() => gateway.Writes.Count == 1, "the write has reached the gateway");
        }

        // The request is still under way although its connection was reset; once answered it ends like any other.
        Assert.Contains("flotilla_http_requests_in_flight 2\n", (await door.GetAsync("/metrics")).Text, StringComparison.Ordinal);
        answer.SetResult(new Answer(new CommandResult(ResultCode.Ok, new Version(1, 0, 1, 0), default), new ShardId(1), new NodeId("n1"), null, null));
        await Until.TrueAsync(async () => (await door.GetAsync("/metrics")).Text.Contains("flotilla_http_requests_in_flight 1\n", StringComparison.Ordinal), "the request has ended");
        Assert.Equal(200, (await door.PutAsync("/kv/other", "v")).Status);
    }

    [Theory]
    [InlineData("{\"value\":\"v\"", "line 1, byte 13")]
    [InlineData("{\"value\":\n  x}", "line 2, byte 3")]
    [InlineData("{\"value\":\"v\"} x", "line 1, byte 15")]
    [InlineData("{\"value\":\"\\q\"}", "line 1, byte")]
    [InlineData("not json", "line 1, byte")]
    [InlineData("{\"value\":\"v\",}", "line 1, byte")]
    [InlineData("{}", "must be given")]
    [InlineData("[\"value\"]", "object")]
    [InlineData("\"v\"", "object")]
    [InlineData("{\"value\":5}", "string")]
    [InlineData("{\"value\":{}}", "string")]
    [InlineData("{\"value\":null}", "must be given")]
    [InlineData("{\"valueBase64\":\"***\"}", "base64")]
    [InlineData("{\"value\":\"v\",\"valueBase64\":\"dg==\"}", "twice")]
    [InlineData("{\"value\":\"v\",\"value\":\"w\"}", "twice")]
    [InlineData("{\"value\":\"v\",\"ttl\":5}", "Unknown property at byte 14")]
    [InlineData("{\"value\":\"\\ud800\"}", "not valid Unicode")]
    [InlineData("", "missing")]
    public async Task A_body_that_is_no_put_says_where_and_why(string body, string says)
    {
        await using var door = await DoorFixture.StartAsync();
        Assert.Contains(says, (await door.SendAsync("PUT", "/kv/a", body)).IsProblem(400, "bad_request"), StringComparison.Ordinal);
        Assert.Empty(door.Gateway.Writes);
    }

    [Fact]
    public async Task Text_that_is_no_utf8_is_refused()
    {
        await using var door = await DoorFixture.StartAsync();
        var answer = await door.RawAsync("PUT /kv/a HTTP/1.1\r\nHost: x\r\nContent-Length: 13\r\nConnection: close\r\n\r\n" + "{\"value\":\"\u00ff\"}");
        Assert.StartsWith("HTTP/1.1 400", answer, StringComparison.Ordinal);
        Assert.Contains("not valid Unicode", answer, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_compressed_body_is_refused_rather_than_stored()
    {
        await using var door = await DoorFixture.StartAsync();
        (await door.SendAsync("PUT", "/kv/a", bytes: Encoding.ASCII.GetBytes("x"), headers: ("Content-Encoding", "gzip"))).IsProblem(400, "bad_request");
    }
}
