using System.Text;
using Flotilla.Cli.Tests.Fakes;

namespace Flotilla.Cli.Tests.Load;

/// <summary>Loading files: formats, bad lines, interruption and going on.</summary>
public sealed class Loading
{
    private readonly string _dir = Terminal.TempDir();

    [Theory]
    [InlineData("a.tsv", "k1\tv1\nk2\tv\t2\r\n\nk3\t\n")]
    [InlineData("a.anything", "k1\tv1\nk2\tv\t2\nk3\t")]
    [InlineData("a.jsonl", "{\"key\":\"k1\",\"value\":\"v1\"}\n{\"value\":\"v\\t2\",\"key\":\"k2\",\"version\":\"1.0.0.0\"}\n{\"keyBase64\":\"azM=\",\"valueBase64\":\"\"}\n")]
    [InlineData("a", "\uFEFF{\"key\":\"k1\",\"value\":\"v1\"}\n  {\"key\":\"k2\",\"value\":\"v\\t2\"}\n{\"key\":\"k3\",\"value\":\"\"}")]
    public async Task Both_formats_are_read_by_name_or_by_content(string name, string text)
    {
        await using var server = await FakeServer.StartAsync();
        var result = await LoadAsync(server, Write(name, text));
        Assert.Equal(0, result.Exit);
        Assert.Equal(("v1", "v\t2", "", 3), (server.Get("k1"), server.Get("k2"), server.Get("k3"), server.Count));
        Assert.Equal("", result.Out);
        Assert.Contains("loaded 3 records", result.Err, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Standard_input_is_read_and_the_format_can_be_said()
    {
        await using var server = await FakeServer.StartAsync();
        var result = await Terminal.RunAsync(["load", "-", "--format", "tsv", "--output", "json"], Env(server), "{x\tjust text\n");
        Assert.Equal(0, result.Exit);
        Assert.Equal("just text", server.Get("{x"));
        Assert.Contains("\"records\":1", result.Out, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("a.tsv", "k1\tv1\nno tab here\nk3\tv3\n", "line 2: expected key<TAB>value, but there is no tab")]
    [InlineData("a.tsv", "k1\tv1\n\tno key\nk3\tv3\n", "line 2: expected key<TAB>value, but the key is empty")]
    [InlineData("a.jsonl", "{\"key\":\"k1\",\"value\":\"v1\"}\n{\"key\":\"k2\"}\n{\"key\":\"k3\",\"value\":\"v3\"}\n", "line 2: expected {\"key\":…,\"value\":…}, but there is no \"value\"")]
    [InlineData("a.jsonl", "{\"key\":\"k1\",\"value\":\"v1\"}\n{\"key\":\n{\"key\":\"k3\",\"value\":\"v3\"}\n", "line 2: expected JSON")]
    [InlineData("a.jsonl", "{\"key\":\"k1\",\"value\":\"v1\"}\n[1]\n{\"key\":\"k3\",\"value\":\"v3\"}\n", "jq -c '.[]'")]
    [InlineData("a.jsonl", "{\"key\":\"k1\",\"value\":\"v1\"}\n{\"key\":\"k\",\"value\":{}}\n{\"key\":\"k3\",\"value\":\"v3\"}\n", "line 2: \"value\" must be text")]
    public async Task A_bad_line_is_told_with_its_number_and_stops_the_load_unless_it_may_be_skipped(string name, string text, string said)
    {
        await using var server = await FakeServer.StartAsync();
        var file = Write(name, text);
        var stopped = await LoadAsync(server, file);
        Assert.Equal(1, stopped.Exit);
        Assert.Contains(said, stopped.Err, StringComparison.Ordinal);
        Assert.Null(server.Get("k3"));
        var skipped = await LoadAsync(server, file, "--skip-bad");
        Assert.Equal(0, skipped.Exit);
        Assert.Contains(said, skipped.Err, StringComparison.Ordinal);
        Assert.Contains("1 bad line", skipped.Err, StringComparison.Ordinal);
        Assert.Equal(("v1", "v3"), (server.Get("k1"), server.Get("k3")));
    }

    [Fact]
    public async Task An_interrupted_load_goes_on_where_everything_before_is_acknowledged()
    {
        await using var server = await FakeServer.StartAsync();
        var file = Write("many.tsv", Lines(2000));
        using var stop = new CancellationTokenSource();
        server.Script = _ =>
        {
            if (server.Applied.Count >= 700)
            {
                stop.Cancel();
            }

            return null;
        };
        var first = await Terminal.RunUntilAsync(["load", file, "--clients", "8"], Env(server), null, stop.Token);
        Assert.Equal(130, first.Exit);
        Assert.Contains("Run the same command again", first.Err, StringComparison.Ordinal);
        Assert.True(File.Exists(file + ".flotilla-progress"));
        var before = server.Applied.Count;
        Assert.InRange(before, 600, 1999);
        server.Script = _ => null;
        var second = await LoadAsync(server, file);
        Assert.Equal(0, second.Exit);
        Assert.Contains("goes on behind line", second.Err, StringComparison.Ordinal);
        Assert.Equal(2000, server.Count);
        Assert.False(File.Exists(file + ".flotilla-progress"));

        // Only what was read ahead or under way is sent twice: at most what the workers' queues hold.
        Assert.InRange(server.Applied.Count, 2000, 2000 + (8 * 34));
    }

    [Fact]
    public async Task Standard_input_goes_on_with_a_progress_file()
    {
        await using var server = await FakeServer.StartAsync();
        var progress = Path.Combine(_dir, "progress");
        string[] arguments = ["load", "-", "--progress-file", progress, "--clients", "4"];
        var text = Lines(300);
        server.Script = seen => seen.Key == "key0000200" ? new Twist.Refuse(400, "bad_request") : null;
        var first = await Terminal.RunAsync(arguments, Env(server), text);
        Assert.Equal(1, first.Exit);
        Assert.Contains("line 201: the cluster refused it", first.Err, StringComparison.Ordinal);
        server.Script = _ => null;
        Assert.Equal(0, (await Terminal.RunAsync(arguments, Env(server), text)).Exit);
        Assert.Equal(300, server.Count);
    }

    [Fact]
    public async Task A_file_that_has_changed_is_not_gone_on_with()
    {
        await using var server = await FakeServer.StartAsync();
        var file = Write("changed.tsv", "a\t1\nbad\n");
        Assert.Equal(1, (await LoadAsync(server, file)).Exit);
        await File.WriteAllTextAsync(file, "x\t1\nb\t2\nc\t3\n", TestContext.Current.CancellationToken);
        var result = await LoadAsync(server, file);
        Assert.Equal(1, result.Exit);
        Assert.Contains("it has changed", result.Err, StringComparison.Ordinal);
        await File.WriteAllTextAsync(file + ".flotilla-progress", "nonsense", TestContext.Current.CancellationToken);
        Assert.Equal(1, (await LoadAsync(server, file)).Exit);
    }

    [Fact]
    public async Task A_put_of_unknown_outcome_is_put_anew_and_no_keys_are_spent_on_a_file()
    {
        await using var server = await FakeServer.StartAsync();
        var broken = 0;
        server.Script = seen => seen.Key.EndsWith('7') && Interlocked.Increment(ref broken) <= 5 ? new Twist.Break(Apply: true) : null;
        var result = await LoadAsync(server, Write("r.tsv", Lines(100)));
        Assert.Equal(0, result.Exit);
        Assert.Equal((100, 105), (server.Count, server.Applied.Count));
        Assert.Contains("5 puts repeated", result.Err, StringComparison.Ordinal);
        Assert.All(server.Requests, r => Assert.False(r.Headers.ContainsKey("Idempotency-Key")));
    }

    [Fact]
    public async Task A_put_of_unknown_outcome_is_executed_once_if_that_is_asked_for()
    {
        await using var server = await FakeServer.StartAsync();
        var broken = 0;
        server.Script = seen => seen.Key.EndsWith('7') && Interlocked.Increment(ref broken) <= 5 ? new Twist.Break(Apply: true) : null;
        var result = await LoadAsync(server, Write("r.tsv", Lines(100)), "--exactly-once");
        Assert.Equal(0, result.Exit);
        Assert.Equal(100, server.Count);

        // By the client, under their keys: carried out once each, so there is nothing to report.
        Assert.Equal(105, server.Requests.Count(r => r.Method == "PUT"));
        Assert.Equal(100, server.Applied.Count);
        Assert.DoesNotContain("repeated", result.Err, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Of_lines_with_the_same_key_the_last_one_wins()
    {
        await using var server = await FakeServer.StartAsync();
        var text = string.Concat(Enumerable.Range(0, 500).Select(i => $"k{i % 5}\t{i}\n"));
        Assert.Equal(0, (await LoadAsync(server, Write("same.tsv", text))).Exit);
        Assert.Equal(["495", "496", "497", "498", "499"], Enumerable.Range(0, 5).Select(i => server.Get($"k{i}")));
    }

    [Fact]
    public async Task A_cluster_that_stays_away_ends_the_load_as_unavailable()
    {
        await using var server = await FakeServer.StartAsync();
        server.Script = seen => seen.Method == "PUT" ? new Twist.Refuse(503, "no_quorum") : null;
        var env = Env(server);
        env["FLOTILLA_TIMEOUT"] = "100ms";
        var result = await Terminal.RunAsync(["load", Write("u.tsv", Lines(10)), "--give-up-after", "200ms"], env);
        Assert.Equal(5, result.Exit);
        Assert.Contains("nothing could be stored", result.Err, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_file_that_is_missing_or_no_file_is_a_failure_and_says_so()
    {
        var result = await Terminal.RunAsync("load", Path.Combine(_dir, "none"));
        Assert.Equal((1, $"flotilla: there is no file {Path.Combine(_dir, "none")}\n"), (result.Exit, result.Err));
        result = await Terminal.RunAsync("load", _dir);
        Assert.Equal((1, $"flotilla: {_dir} can't be read: it is a directory, or not ours to read\n"), (result.Exit, result.Err));
    }

    [Fact]
    public async Task What_scan_writes_as_json_is_what_load_reads()
    {
        await using var from = await FakeServer.StartAsync();
        await using var to = await FakeServer.StartAsync();
        from.Set("tab\tand\nline", "a \"quoted\" value \u001b\\"u8.ToArray());
        from.Set("bytes", [0, 255, 10]);
        var scan = await Terminal.RunAsync(["scan", "--output", "json"], Env(from));
        Assert.Equal(0, (await Terminal.RunAsync(["load", "-"], Env(to), scan.Out)).Exit);
        Assert.Equal(scan.Out.Replace("1.0.1.0", "", StringComparison.Ordinal).Length, (await Terminal.RunAsync(["scan", "--output", "json"], Env(to))).Out.Replace("1.0.1.0", "", StringComparison.Ordinal).Length);
        Assert.Equal(from.Get("tab\tand\nline"), to.Get("tab\tand\nline"));
    }

    private static Env Env(FakeServer server) => new() { ["FLOTILLA_ENDPOINT"] = server.Url };

    private static string Lines(int count) => string.Concat(Enumerable.Range(0, count).Select(i => $"key{i:d7}\tvalue {i}\n"));

    private static Task<CliResult> LoadAsync(FakeServer server, string file, params string[] more) => Terminal.RunAsync(["load", file, .. more], Env(server));

    private string Write(string name, string text)
    {
        var path = Path.Combine(_dir, name);
        File.WriteAllText(path, text, new UTF8Encoding(false));
        return path;
    }
}
