using System.Text.Json;
using Flotilla.Cli.Tests.Fakes;

namespace Flotilla.Cli.Tests.Commands;

/// <summary>put, get, del, incr and scan: what they store, print and return.</summary>
public sealed class Records
{
    [Theory]
    [InlineData("-5", "put", "k", "-5")]
    [InlineData("-x", "put", "k", "--", "-x")]
    [InlineData("--ttl", "put", "k", "--", "--ttl")]
    [InlineData("@x", "put", "k", "@x")]
    [InlineData("--anything", "put", "k", "--anything")]
    [InlineData("", "put", "k", "")]
    [InlineData("[diagram]", "put", "k", "[diagram]")]
    [InlineData("/h", "put", "k", "/h")]
    [InlineData("-?", "put", "k", "-?")]
    [InlineData("a b", "put", "k", "a b")]
    [InlineData("false", "put", "--if-absent", "k", "false")]
    public async Task A_value_is_stored_as_it_is_typed(string value, params string[] arguments)
    {
        await using var server = await FakeServer.StartAsync();
        var result = await Terminal.RunAsync(arguments, new() { ["FLOTILLA_ENDPOINT"] = server.Url });
        Assert.Equal((0, ""), (result.Exit, result.Err));
        Assert.Equal(value, server.Get("k"));
    }

    [Theory]
    [InlineData("--ttll", "5")]
    [InlineData("k", "--ttll=5")]
    [InlineData("--tll", "5", "k", "v")]
    [InlineData("k")]
    [InlineData("k", "a", "b")]
    [InlineData("", "v")]
    [InlineData("k", "v", "--ttl", "soon")]
    [InlineData("k", "v", "--ttl")]
    [InlineData("k", "v", "--ttl", "1", "--ttl", "2")]
    [InlineData("k", "v", "--if-absent", "--if-version", "1.0.1.0")]
    [InlineData("k", "v", "--file", "f")]
    [InlineData("k", "v", "--output", "xml")]
    [InlineData("k", "v", "--endpoint", "https://127.0.0.1:1")]
    [InlineData("k", "v", "--endpoint", "nowhere")]
    public async Task A_put_that_makes_no_sense_is_a_usage_error(params string[] arguments)
    {
        var result = await Terminal.RunAsync(["put", .. arguments]);
        Assert.Equal((2, ""), (result.Exit, result.Out));
        Assert.StartsWith("flotilla", result.Err, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Exit_codes_say_how_it_ended()
    {
        await using var server = await FakeServer.StartAsync();
        Env env = new() { ["FLOTILLA_ENDPOINT"] = server.Url, ["FLOTILLA_TIMEOUT"] = "300ms" };
        Assert.Equal(3, (await Terminal.RunAsync(["get", "k"], env)).Exit);
        Assert.Equal(3, (await Terminal.RunAsync(["del", "k"], env)).Exit);
        var put = await Terminal.RunAsync(["put", "k", "v", "--if-absent"], env);
        Assert.Equal((0, "OK 1.0.1.0\n"), (put.Exit, put.Out));
        Assert.Equal(4, (await Terminal.RunAsync(["put", "k", "w", "--if-absent"], env)).Exit);
        Assert.Equal(4, (await Terminal.RunAsync(["put", "k", "w", "--if-version", "1.0.9.0"], env)).Exit);
        Assert.Equal(0, (await Terminal.RunAsync(["put", "k", "w", "--if-version", "1.0.1.0"], env)).Exit);
        Assert.Equal((0, "w\n"), (await Terminal.RunAsync(["get", "k"], env)) is var get ? (get.Exit, get.Out) : default);
        Assert.Equal(4, (await Terminal.RunAsync(["del", "k", "--if-version", "1.0.1.0"], env)).Exit);
        Assert.Equal((0, "OK\n"), (await Terminal.RunAsync(["del", "k"], env)) is var del ? (del.Exit, del.Out) : default);
        server.Script = _ => new Twist.Refuse(503, "no_quorum");
        Assert.Equal(5, (await Terminal.RunAsync(["put", "k", "v"], env)).Exit);
        server.Script = _ => new Twist.Break(Apply: true);
        var unknown = await Terminal.RunAsync(["put", "k", "v"], env);
        Assert.Equal((6, ""), (unknown.Exit, unknown.Out));
        Assert.Contains("may or may not have happened", unknown.Err, StringComparison.Ordinal);
        server.Script = _ => new Twist.Refuse(413, "too_large");
        Assert.Equal(1, (await Terminal.RunAsync(["put", "k", "v"], env)).Exit);
        env["FLOTILLA_ENDPOINT"] = $"127.0.0.1:{FakeServer.FreePort()}";
        Assert.Equal(5, (await Terminal.RunAsync(["get", "k"], env)).Exit);
    }

    [Fact]
    public async Task Json_output_is_one_document_a_line()
    {
        await using var server = await FakeServer.StartAsync();
        server.Set("bytes", [0xff, 0xfe]);
        Env env = new() { ["FLOTILLA_ENDPOINT"] = server.Url, ["FLOTILLA_OUTPUT"] = "json" };
        Assert.Equal("{\"key\":\"ä\",\"version\":\"1.0.2.0\"}\n", (await Terminal.RunAsync(["put", "ä", "<ü>"], env)).Out);
        Assert.Equal("{\"key\":\"ä\",\"value\":\"<ü>\",\"version\":\"1.0.2.0\"}\n", (await Terminal.RunAsync(["get", "ä"], env)).Out);
        Assert.Equal("{\"key\":\"bytes\",\"valueBase64\":\"//4=\",\"version\":\"1.0.1.0\"}\n", (await Terminal.RunAsync(["get", "bytes"], env)).Out);
        Assert.Equal("{\"key\":\"n\",\"value\":-3}\n", (await Terminal.RunAsync(["incr", "n", "-3"], env)).Out);
        Assert.Equal("{\"key\":\"n\",\"deleted\":true}\n", (await Terminal.RunAsync(["del", "n"], env)).Out);
        var gone = await Terminal.RunAsync(["del", "n"], env);
        Assert.Equal((3, "{\"key\":\"n\",\"deleted\":false}\n"), (gone.Exit, gone.Out));
        var lines = (await Terminal.RunAsync(["scan"], env)).Out.TrimEnd().Split('\n');
        Assert.Equal(["bytes", "ä"], lines.Select(l => JsonDocument.Parse(l).RootElement.GetProperty("key").GetString()));
    }

    [Fact]
    public async Task Several_keys_are_read_in_one_request_and_a_missing_one_is_told()
    {
        await using var server = await FakeServer.StartAsync();
        server.Script = seen => seen.Target.Contains("keys=x", StringComparison.Ordinal) ? new Twist.Refuse(400, "cross_shard") : null;
        server.Set("{u}a", "1"u8.ToArray());
        server.Set("{u}b", "2\t3"u8.ToArray());
        Env env = new() { ["FLOTILLA_ENDPOINT"] = server.Url };
        Assert.Equal((0, "{u}b\t2\\t3\n{u}a\t1\n"), await Terminal.RunAsync(["get", "{u}b", "{u}a"], env) is var both ? (both.Exit, both.Out) : default);
        var part = await Terminal.RunAsync(["get", "{u}a", "{u}c"], env);
        Assert.Equal((3, "{u}a\t1\n"), (part.Exit, part.Out));
        Assert.Contains("there is no {u}c", part.Err, StringComparison.Ordinal);
        Assert.Equal(1, (await Terminal.RunAsync(["get", "x", "y"], env)).Exit);
        Assert.Equal(2, (await Terminal.RunAsync(["get", "--raw", "{u}a", "{u}b"], env)).Exit);
    }

    [Fact]
    public async Task A_scan_goes_over_all_pages_and_stops_at_its_limit()
    {
        await using var server = await FakeServer.StartAsync();
        for (var i = 0; i < 2500; i++)
        {
            server.Set($"p/{i:d5}", "v\tw\n"u8.ToArray());
        }

        server.Set("q", "x"u8.ToArray());
        Env env = new() { ["FLOTILLA_ENDPOINT"] = server.Url };
        var all = (await Terminal.RunAsync(["scan", "--prefix", "p/"], env)).Out.TrimEnd().Split('\n');
        Assert.Equal(2500, all.Length);
        Assert.Equal("p/00000\tv\\tw\\n", all[0]);
        Assert.Equal(3, (await Terminal.RunAsync(["scan", "--limit", "3"], env)).Out.TrimEnd().Split('\n').Length);
        Assert.Equal("q\n", (await Terminal.RunAsync(["scan", "--prefix", "q", "--keys"], env)).Out);
        server.Script = seen => seen.Target.Contains("cursor", StringComparison.Ordinal) ? new Twist.Refuse(400, "bad_request") : null;
        var half = await Terminal.RunAsync(["scan"], env);
        Assert.Equal((1, 1000), (half.Exit, half.Out.TrimEnd().Split('\n').Length));
    }

    [Fact]
    public async Task A_file_or_standard_input_can_be_the_value()
    {
        await using var server = await FakeServer.StartAsync();
        var file = Path.Combine(Terminal.TempDir(), "v");
        await File.WriteAllTextAsync(file, "from a file\n", TestContext.Current.CancellationToken);
        Env env = new() { ["FLOTILLA_ENDPOINT"] = server.Url };
        Assert.Equal(0, (await Terminal.RunAsync(["put", "a", "--file", file], env)).Exit);
        Assert.Equal(0, (await Terminal.RunAsync(["put", "b", "--file", "-"], env, input: "from input")).Exit);
        Assert.Equal(("from a file\n", "from input"), (server.Get("a"), server.Get("b")));
        Assert.Equal("from input", (await Terminal.RunAsync(["get", "b", "--raw"], env)).Out);
        Assert.Equal(1, (await Terminal.RunAsync(["put", "a", "--file", file + ".none"], env)).Exit);
    }

    [Fact]
    public async Task The_second_endpoint_serves_when_the_first_is_gone()
    {
        await using var server = await FakeServer.StartAsync();
        var result = await Terminal.RunAsync("put", "k", "v", "--endpoint", $"127.0.0.1:{FakeServer.FreePort()}", "--endpoint", server.Url);
        Assert.Equal(0, result.Exit);
    }

    [Fact]
    public async Task Interrupted_before_anything_was_sent_is_130()
    {
        using var stop = new CancellationTokenSource();
        await stop.CancelAsync();
        Assert.Equal(130, (await Terminal.RunUntilAsync(["get", "k"], null, null, stop.Token)).Exit);
    }
}
