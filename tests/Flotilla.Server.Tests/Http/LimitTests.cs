using System.Text;
using Flotilla.Node;
using Flotilla.Server.Tests.Fakes;
using Flotilla.Shards;

namespace Flotilla.Server.Tests.Http;

public sealed class LimitTests
{
    private const int Mebibyte = 1 << 20;

    [Fact]
    public async Task A_value_of_one_mebibyte_fits_however_it_is_written()
    {
        await using var door = await DoorFixture.StartAsync();
        var bytes = new byte[Mebibyte];
        new Random(1).NextBytes(bytes);
        Assert.Equal(200, (await door.SendAsync("PUT", "/kv/a", bytes: bytes)).Status);
        Assert.Equal(200, (await door.SendAsync("PUT", "/kv/b", $"{{\"valueBase64\":\"{Convert.ToBase64String(bytes)}\"}}")).Status);
        Assert.Equal(bytes, (await door.GetAsync("/kv/b", ("Accept", "application/octet-stream"))).Bytes);
        Assert.Equal(bytes, Convert.FromBase64String((await door.GetAsync("/kv/a")).Of("valueBase64")!));

        // Every byte as an escape of six.
        var escaped = new StringBuilder("{\"value\":\"").Insert(10, "\\u0001", Mebibyte).Append("\"}").ToString();
        Assert.Equal(200, (await door.SendAsync("PUT", "/kv/c", escaped)).Status);
        Assert.Equal(Mebibyte, door.Gateway.Writes.Last().Command.Value.Length);
    }

    [Fact]
    public async Task A_value_one_byte_over_the_limit_is_too_large_however_it_is_written()
    {
        await using var door = await DoorFixture.StartAsync(o => o with { MaxValueBytes = 1000 });
        var text = new string('v', 1001);
        var bytes = Encoding.ASCII.GetBytes(text);
        Assert.Contains("1000 bytes", (await door.SendAsync("PUT", "/kv/a", bytes: bytes)).IsProblem(413, "too_large"), StringComparison.Ordinal);
        (await door.SendAsync("PUT", "/kv/a", bytes: bytes, headers: ("Transfer-Encoding", "chunked"))).IsProblem(413, "too_large");
        (await door.PutAsync("/kv/a", text)).IsProblem(413, "too_large");
        (await door.SendAsync("PUT", "/kv/a", $"{{\"value\":\"\\u0076{text[1..]}\"}}")).IsProblem(413, "too_large");
        (await door.SendAsync("PUT", "/kv/a", $"{{\"valueBase64\":\"{Convert.ToBase64String(bytes)}\"}}")).IsProblem(413, "too_large");
        (await door.GetAsync("/put?key=a&val=" + text)).IsProblem(413, "too_large");
        Assert.Empty(door.Gateway.Writes);
        Assert.Equal(200, (await door.PutAsync("/kv/a", text[1..])).Status);
        Assert.Equal(200, (await door.SendAsync("PUT", "/kv/a", bytes: bytes[1..], headers: ("Transfer-Encoding", "chunked"))).Status);
    }

    [Fact]
    public async Task A_key_over_the_limit_is_too_large()
    {
        await using var door = await DoorFixture.StartAsync();
        var key = string.Concat(Enumerable.Repeat("%C3", 4096));
        Assert.Equal(200, (await door.PutAsync("/kv/" + key, "v")).Status);
        Assert.Contains("4097", (await door.GetAsync("/kv/" + key + "a")).IsProblem(413, "too_large"), StringComparison.Ordinal);
        (await door.PutAsync("/kv?keyBase64=" + Convert.ToBase64String(new byte[4097]).Replace("+", "-", StringComparison.Ordinal), "v")).IsProblem(413, "too_large");
        (await door.GetAsync("/kv?prefix=" + key + "a")).IsProblem(413, "too_large");
    }

    [Fact]
    public async Task A_body_that_claims_to_be_huge_is_refused_before_it_is_sent()
    {
        await using var door = await DoorFixture.StartAsync();
        var answer = await door.RawAsync("PUT /kv/a HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n{", until: "too_large");
        Assert.StartsWith("HTTP/1.1 413", answer, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_chunked_body_is_refused_as_soon_as_it_is_over_the_limit()
    {
        await using var door = await DoorFixture.StartAsync(o => o with { MaxValueBytes = 1000 });
        using var client = await door.ConnectAsync();
        var stream = client.GetStream();
        await stream.WriteAsync("PUT /kv/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"u8.ToArray(), TestContext.Current.CancellationToken);
        var chunk = Encoding.ASCII.GetBytes("2000\r\n" + new string(' ', 0x2000) + "\r\n");

        // The body never ends: only a door that counts as it reads can answer.
        await stream.WriteAsync(chunk, TestContext.Current.CancellationToken);
        await stream.WriteAsync(chunk, TestContext.Current.CancellationToken);
        Assert.StartsWith("HTTP/1.1 413", await DoorFixture.ReadAsync(client, until: "too_large"), StringComparison.Ordinal);
        Assert.Empty(door.Gateway.Writes);
    }

    [Fact]
    [Trait("Hazard", "62")]
    public async Task Bodies_held_at_once_are_bounded_by_bytes_not_by_count()
    {
        var answer = new TaskCompletionSource<Answer>();
        var gateway = new FakeGateway { OnExecute = (_, _) => new(answer.Task) };
        await using var door = await DoorFixture.StartAsync(o => o with { MaxBodyBytesInFlight = 2500 }, gateway);
        var first = door.SendAsync("PUT", "/kv/a", bytes: new byte[1000]);
        var second = door.SendAsync("PUT", "/kv/b", bytes: new byte[1000]);
        await Until.TrueAsync(() => gateway.Writes.Count == 2, "both writes have reached the gateway");

        (await door.SendAsync("PUT", "/kv/c", bytes: new byte[1000])).IsProblem(429, "overloaded");
        (await door.SendAsync("PUT", "/kv/c", bytes: new byte[1000], headers: ("Transfer-Encoding", "chunked"))).IsProblem(429, "overloaded");
        Assert.Contains("flotilla_http_body_bytes_in_flight 2000\n", (await door.GetAsync("/metrics")).Text, StringComparison.Ordinal);
        var small = door.SendAsync("PUT", "/kv/d", bytes: new byte[10]);
        await Until.TrueAsync(() => gateway.Writes.Count == 3, "the small write has reached the gateway");

        answer.SetResult(FakeGateway.Answered(ResultCode.Ok));
        Assert.All(await Task.WhenAll(first, second, small), reply => Assert.Equal(200, reply.Status));
        await Until.TrueAsync(async () => (await door.GetAsync("/metrics")).Text.Contains("flotilla_http_body_bytes_in_flight 0\n", StringComparison.Ordinal), "all bytes are given back");
    }

    [Fact]
    public async Task More_requests_than_allowed_are_told_to_come_back_and_probes_still_pass()
    {
        var answer = new TaskCompletionSource<Answer>();
        var gateway = new FakeGateway { OnExecute = (_, _) => new(answer.Task) };
        await using var door = await DoorFixture.StartAsync(o => o with { MaxInFlight = 1 }, gateway);
        var first = door.PutAsync("/kv/a", "v");
        await Until.TrueAsync(() => !gateway.Writes.IsEmpty, "the write has reached the gateway");

        var refused = await door.GetAsync("/kv/a");
        refused.IsProblem(429, "overloaded");
        Assert.Equal(TimeSpan.FromSeconds(1), refused.Message.Headers.RetryAfter!.Delta);
        Assert.Equal(200, (await door.GetAsync("/livez")).Status);
        Assert.Equal(200, (await door.GetAsync("/readyz")).Status);
        Assert.Equal(200, (await door.GetAsync("/metrics")).Status);

        answer.SetResult(FakeGateway.Answered(ResultCode.Ok));
        Assert.Equal(200, (await first).Status);
        await Until.TrueAsync(async () => (await door.GetAsync("/status")).Status == 200, "there is room again");
    }

    [Fact]
    public async Task A_body_that_stalls_is_cut_off_and_writes_nothing()
    {
        await using var door = await DoorFixture.StartAsync(o => o with { SlowBodyGrace = TimeSpan.FromSeconds(1.2) });
        var answer = await door.RawAsync("PUT /kv/a HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{\"value\":");
        Assert.StartsWith("HTTP/1.1 408", answer, StringComparison.Ordinal);
        Assert.Empty(door.Gateway.Writes);
        Assert.Equal(200, (await door.PutAsync("/kv/a", "v")).Status);
    }

    [Fact]
    public async Task A_body_in_many_pieces_is_put_together()
    {
        await using var door = await DoorFixture.StartAsync();
        using var client = await door.ConnectAsync();
        var stream = client.GetStream();
        stream.Socket.NoDelay = true;
        var body = "{\"value\":\"" + new string('x', 300) + "ü\\u00fc\\n\",\"ttlSeconds\":5}";
        var bytes = Encoding.UTF8.GetBytes(body);
        await stream.WriteAsync(Encoding.ASCII.GetBytes($"PUT /kv/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"), TestContext.Current.CancellationToken);
        foreach (var b in bytes)
        {
            await stream.WriteAsync(new byte[] { (byte)'1', 13, 10, b, 13, 10 }, TestContext.Current.CancellationToken);
        }

        await stream.WriteAsync("0\r\n\r\n"u8.ToArray(), TestContext.Current.CancellationToken);
        Assert.StartsWith("HTTP/1.1 200", await DoorFixture.ReadAsync(client), StringComparison.Ordinal);
        Assert.Equal(new string('x', 300) + "üü\n", Encoding.UTF8.GetString(door.Gateway.Writes.Single().Command.Value.Span));
    }
}
