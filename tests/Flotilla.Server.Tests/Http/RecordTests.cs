using System.Text;
using Flotilla.Shards;

namespace Flotilla.Server.Tests.Http;

public sealed class RecordTests
{
    [Fact]
    public async Task A_value_written_as_json_is_read_back_with_its_version()
    {
        await using var door = await DoorFixture.StartAsync();
        var put = await door.PutAsync("/kv/hello", "wörld \"quoted\" \n <b>");
        Assert.Equal((200, "application/json", "hello", "1.0.1.0", "\"1.0.1.0\""), (put.Status, put.Type, put.Of("key"), put.Of("version"), put.ETag));
        var get = await door.GetAsync("/kv/hello");
        Assert.Equal("{\"key\":\"hello\",\"value\":\"wörld \\\"quoted\\\" \\n <b>\",\"version\":\"1.0.1.0\"}", get.Text);
        Assert.Equal("\"1.0.1.0\"", get.ETag);
        Assert.Equal("no-store", get.Message.Headers.CacheControl!.ToString());
    }

    [Fact]
    public async Task Bytes_go_in_and_out_as_octet_stream_or_as_base64()
    {
        await using var door = await DoorFixture.StartAsync();
        byte[] value = [0, 0xFF, 0xFE, 1];
        Assert.Equal(200, (await door.SendAsync("PUT", "/kv/raw", bytes: value)).Status);
        var json = await door.GetAsync("/kv/raw");
        Assert.Equal((null, Convert.ToBase64String(value)), (json.Of("value"), json.Of("valueBase64")));
        var raw = await door.GetAsync("/kv/raw", ("Accept", "application/octet-stream"));
        Assert.Equal("application/octet-stream", raw.Type);
        Assert.Equal(value, raw.Bytes);
        Assert.Equal("\"1.0.1.0\"", raw.ETag);

        Assert.Equal(200, (await door.SendAsync("PUT", "/kv/b64", "{\"valueBase64\":\"AP\\/+AQ==\"}")).Status);
        Assert.Equal(value, (await door.GetAsync("/kv/b64", ("Accept", "application/octet-stream;q=0.9, application/json;q=0.1"))).Bytes);
        Assert.Equal("application/json", (await door.GetAsync("/kv/b64", ("Accept", "application/json, application/octet-stream"))).Type);
        Assert.Equal("application/json", (await door.GetAsync("/kv/b64", ("Accept", "*/*"))).Type);
    }

    [Fact]
    public async Task A_body_that_says_no_type_or_a_forms_type_is_json()
    {
        await using var door = await DoorFixture.StartAsync();
        const string body = "{\"value\":\"v\"}";
        var typed = await door.RawAsync($"PUT /kv/a HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {body.Length}\r\nConnection: close\r\n\r\n{body}");
        var untyped = await door.RawAsync($"PUT /kv/a HTTP/1.1\r\nHost: x\r\nContent-Length: {body.Length}\r\nConnection: close\r\n\r\n{body}");
        Assert.StartsWith("HTTP/1.1 200", typed, StringComparison.Ordinal);
        Assert.StartsWith("HTTP/1.1 200", untyped, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("a%2Fb", "a/b")]
    [InlineData("a/b/c", "a/b/c")]
    [InlineData("../../etc/passwd", "../../etc/passwd")]
    [InlineData("a/./b/..", "a/./b/..")]
    [InlineData("%2e%2e/x", "../x")]
    [InlineData("%252F", "%2F")]
    [InlineData("a+b", "a+b")]
    [InlineData("//", "//")]
    [InlineData("%C3%BC", "ü")]
    [InlineData("kv", "kv")]
    [InlineData("a%3Fb%23c", "a?b#c")]
    [InlineData("%0A%20%22", "\n \"")]
    public async Task A_key_is_the_rest_of_the_raw_target_decoded_once(string target, string key)
    {
        await using var door = await DoorFixture.StartAsync();
        Assert.Equal(key, (await door.PutAsync("/kv/" + target, "v")).Of("key"));
        Assert.Equal(key, Encoding.UTF8.GetString(door.Gateway.Writes.Single().Command.Key.Span));
        Assert.Equal("v", (await door.GetAsync("/kv/" + target)).Of("value"));
        Assert.Equal("True", (await door.SendAsync("DELETE", "/kv/" + target)).Of("deleted"));
    }

    [Fact]
    public async Task A_key_that_is_no_text_is_shown_as_base64_and_any_key_can_be_given_so()
    {
        await using var door = await DoorFixture.StartAsync();
        Assert.Equal("/w==", (await door.PutAsync("/kv/%FF", "v")).Of("keyBase64"));
        Assert.Equal("/w==", (await door.GetAsync("/kv?keyBase64=/w==")).Of("keyBase64"));
        Assert.Equal("v", (await door.GetAsync("/kv?keyBase64=_w")).Of("value"));
        Assert.Equal("v", (await door.GetAsync("/kv?forward=true&keyBase64=%2Fw%3D%3D")).Of("value"));

        // A zero byte, which no path can carry.
        Assert.Equal(200, (await door.PutAsync("/kv?keyBase64=YQBi", "zero")).Status);
        Assert.Equal([0x61, 0, 0x62], door.Gateway.Writes.Last().Command.Key.ToArray());
        Assert.Equal("a\0b", (await door.GetAsync("/kv?keyBase64=YQBi")).Of("key"));
        Assert.Equal("5", (await door.SendAsync("POST", "/kv?keyBase64=Y291bnQ", "{\"increment\":5}")).Of("value"));
        Assert.Equal("True", (await door.SendAsync("DELETE", "/kv?keyBase64=YQBi")).Of("deleted"));

        Assert.Contains("base64", (await door.GetAsync("/kv?keyBase64=%%%")).IsProblem(400, "bad_request"), StringComparison.Ordinal);
        Assert.Contains("empty", (await door.GetAsync("/kv?keyBase64=")).IsProblem(400, "bad_request"), StringComparison.Ordinal);
        Assert.Contains("/kv/{key}", (await door.PutAsync("/kv", "v")).IsProblem(400, "bad_request"), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("/kv/")]
    [InlineData("/kv/a%")]
    [InlineData("/kv/a%4")]
    [InlineData("/kv/a%zz")]
    [InlineData("/get?key=%G0")]
    [InlineData("/get?key=")]
    [InlineData("/get")]
    [InlineData("/put?key=a")]
    [InlineData("/Put/onlykey")]
    [InlineData("/Get/")]
    [InlineData("/kv/a?forward=maybe")]
    [InlineData("/kv/a?consistency=eventual")]
    [InlineData("/kv/a?consistancy=stale")]
    [InlineData("/kv/a?forward=true&forward=false")]
    public async Task A_target_that_makes_no_sense_is_a_bad_request(string target)
    {
        await using var door = await DoorFixture.StartAsync();
        Assert.NotEmpty((await door.GetAsync(target)).IsProblem(400, "bad_request"));
        Assert.Empty(door.Gateway.Writes);
    }

    [Fact]
    public async Task Conditions_become_compare_and_swap_create_only_and_compare_and_delete()
    {
        await using var door = await DoorFixture.StartAsync();
        Assert.Equal(200, (await door.PutAsync("/kv/k", "1", ("If-None-Match", "*"))).Status);
        var taken = await door.PutAsync("/kv/k", "2", ("If-None-Match", "*"));
        taken.IsProblem(412, "version_mismatch");
        Assert.Equal("1.0.1.0", taken.Of("version"));

        Assert.Equal("\"1.0.2.0\"", (await door.PutAsync("/kv/k", "2", ("If-Match", "\"1.0.1.0\""))).ETag);
        (await door.PutAsync("/kv/k", "3", ("If-Match", "\"1.0.1.0\""))).IsProblem(412, "version_mismatch");
        var absent = await door.PutAsync("/kv/none", "3", ("If-Match", "\"1.0.1.0\""));
        absent.IsProblem(412, "version_mismatch");
        Assert.Null(absent.Of("version"));

        (await door.SendAsync("DELETE", "/kv/k", headers: ("If-Match", "\"1.0.1.0\""))).IsProblem(412, "version_mismatch");
        Assert.Equal("True", (await door.SendAsync("DELETE", "/kv/k", headers: ("If-Match", "\"1.0.2.0\""))).Of("deleted"));
        Assert.Equal(
            [CommandKind.PutIfAbsent, CommandKind.PutIfAbsent, CommandKind.CompareAndSwap, CommandKind.CompareAndSwap, CommandKind.CompareAndSwap, CommandKind.CompareAndDelete, CommandKind.CompareAndDelete],
            door.Gateway.Writes.Select(w => w.Command.Kind));
    }

    [Theory]
    [InlineData("PUT", "If-Match", "*")]
    [InlineData("PUT", "If-Match", "1.0.1.0")]
    [InlineData("PUT", "If-Match", "\"1.0.1\"")]
    [InlineData("PUT", "If-Match", "W/\"1.0.1.0\"")]
    [InlineData("PUT", "If-Match", "\"1.0.1.0\", \"1.0.2.0\"")]
    [InlineData("PUT", "If-None-Match", "\"1.0.1.0\"")]
    [InlineData("DELETE", "If-None-Match", "*")]
    [InlineData("POST", "If-Match", "\"1.0.1.0\"")]
    public async Task A_condition_that_no_command_carries_is_refused_and_nothing_is_written(string method, string header, string value)
    {
        await using var door = await DoorFixture.StartAsync();
        var body = method == "POST" ? "{\"increment\":1}" : "{\"value\":\"v\"}";
        (await door.SendAsync(method, "/kv/k", body, headers: (header, value))).IsProblem(400, "bad_request");
        Assert.Empty(door.Gateway.Writes);
    }

    [Fact]
    public async Task A_read_with_the_version_it_has_answers_not_modified()
    {
        await using var door = await DoorFixture.StartAsync();
        await door.PutAsync("/kv/k", "v");
        var same = await door.GetAsync("/kv/k", ("If-None-Match", "\"9.9.9.9\", W/\"1.0.1.0\""));
        Assert.Equal((304, 0, "\"1.0.1.0\""), (same.Status, same.Bytes.Length, same.ETag));
        Assert.Equal(200, (await door.GetAsync("/kv/k", ("If-None-Match", "\"1.0.0.0\""))).Status);
        Assert.Equal(200, (await door.GetAsync("/kv/k", ("If-Match", "\"1.0.1.0\""))).Status);
        (await door.GetAsync("/kv/k", ("If-Match", "\"1.0.0.0\""))).IsProblem(412, "version_mismatch");
    }

    [Fact]
    public async Task Head_is_get_without_the_body()
    {
        await using var door = await DoorFixture.StartAsync();
        await door.PutAsync("/kv/k", "value");
        var get = await door.GetAsync("/kv/k");
        var head = await door.SendAsync("HEAD", "/kv/k");
        Assert.Equal((200, 0, get.ETag, (long?)get.Bytes.Length), (head.Status, head.Bytes.Length, head.ETag, head.Message.Content.Headers.ContentLength));
        Assert.Equal(404, (await door.SendAsync("HEAD", "/kv/none")).Status);
        Assert.Equal(200, (await door.SendAsync("HEAD", "/kv")).Status);
    }

    [Fact]
    public async Task Increment_adds_and_refuses_what_is_no_number()
    {
        await using var door = await DoorFixture.StartAsync();
        var first = await door.SendAsync("POST", "/kv/n", "{\"increment\":5}");
        Assert.Equal("{\"key\":\"n\",\"value\":\"5\",\"version\":\"1.0.1.0\"}", first.Text);
        Assert.Equal("3", (await door.SendAsync("POST", "/kv/n", "{\"increment\":-2}")).Of("value"));
        await door.PutAsync("/kv/text", "abc");
        Assert.Contains("decimal", (await door.SendAsync("POST", "/kv/text", "{\"increment\":1}")).IsProblem(400, "bad_request"), StringComparison.Ordinal);
        foreach (var wrong in new[] { "{}", "{\"increment\":1.5}", "{\"increment\":\"1\"}", "{\"increment\":9223372036854775808}", "{\"increment\":1,\"increment\":2}", "{\"value\":\"x\"}", "" })
        {
            (await door.SendAsync("POST", "/kv/n", wrong)).IsProblem(400, "bad_request");
        }
    }

    [Fact]
    public async Task A_life_in_seconds_comes_from_the_body_or_the_query()
    {
        await using var door = await DoorFixture.StartAsync();
        await door.SendAsync("PUT", "/kv/a", "{\"value\":\"v\",\"ttlSeconds\":1.5}");
        await door.SendAsync("PUT", "/kv/a?ttlSeconds=60", bytes: [1]);
        await door.SendAsync("PUT", "/kv/a", "{\"value\":\"v\",\"ttlSeconds\":0.0001}");
        await door.SendAsync("PUT", "/kv/a", "{\"value\":\"v\",\"ttlSeconds\":null}");
        await door.GetAsync("/put?key=a&val=b&ttlSeconds=2");
        Assert.Equal([1500, 60_000, 1, 0, 2000], door.Gateway.Writes.Select(w => w.Command.TtlMs));
        foreach (var wrong in new[] { "0", "-1", "1e300", "\"5\"", "true" })
        {
            (await door.SendAsync("PUT", "/kv/a", $"{{\"value\":\"v\",\"ttlSeconds\":{wrong}}}")).IsProblem(400, "bad_request");
        }

        (await door.SendAsync("PUT", "/kv/a?ttlSeconds=nan", bytes: [1])).IsProblem(400, "bad_request");
        (await door.SendAsync("PUT", "/kv/a?ttlSeconds=5", "{\"value\":\"v\",\"ttlSeconds\":5}")).IsProblem(400, "bad_request");
        Assert.Equal(5, door.Gateway.Writes.Count);
    }

    [Fact]
    public async Task Forward_and_consistency_reach_the_gateway()
    {
        await using var door = await DoorFixture.StartAsync();
        await using var still = await DoorFixture.StartAsync(o => o with { ForwardDefault = false });
        await door.GetAsync("/kv/a");
        await door.GetAsync("/kv/a?forward=false&consistency=stale");
        await door.GetAsync("/kv?forward=false&consistency=linearizable");
        await still.GetAsync("/Get/a");
        await still.GetAsync("/get?key=a&forward=true&consistency=stale");
        Assert.Equal([(true, false), (false, true), (false, false)], door.Gateway.Reads.Select(o => (o.Forward, o.Stale)));
        Assert.Equal([(false, false), (true, true)], still.Gateway.Reads.Select(o => (o.Forward, o.Stale)));
        await still.PutAsync("/kv/a", "v");
        await still.PutAsync("/kv/a?forward=true", "v");
        await door.SendAsync("DELETE", "/kv/a?forward=false");
        Assert.Equal([false, true], still.Gateway.Writes.Select(w => w.Options.Forward));
        Assert.False(door.Gateway.Writes.Single().Options.Forward);
    }

    [Fact]
    public async Task Routes_of_the_ancestors_answer_as_kv_does()
    {
        await using var door = await DoorFixture.StartAsync();
        Assert.Equal("{\"key\":\"a b\",\"version\":\"1.0.1.0\"}", (await door.GetAsync("/put?key=a+b&val=x%2By+z")).Text);
        Assert.Equal("x+y z", (await door.GetAsync("/get?key=a%20b")).Of("value"));
        Assert.Equal("a b", (await door.SendAsync("POST", "/put?value=2&key=a+b&cache=off")).Of("key"));
        Assert.Equal("True", (await door.SendAsync("DELETE", "/delete?key=a+b")).Of("deleted"));
        Assert.Equal("False", (await door.GetAsync("/delete?key=a+b")).Of("deleted"));
        (await door.GetAsync("/get?key=a+b")).IsProblem(404, "not_found");

        Assert.Equal("p/q", (await door.GetAsync("/Put/p%2Fq/1/2%20+3")).Of("key"));
        Assert.Equal("1/2 +3", (await door.GetAsync("/Get/p%2Fq")).Of("value"));
        Assert.Equal("1/2 +3", (await door.GetAsync("/Get/p/q")).Of("value"));
        Assert.Equal("", (await door.GetAsync("/kv/e" + ((await door.GetAsync("/Put/e/")).Status == 200 ? "" : "!"))).Of("value"));
    }
}
