using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Flotilla.Cli.Tests.Fakes;
using Flotilla.Client;
using Flotilla.Contracts;
using Flotilla.Contracts.Http;
using Flotilla.Node;
using Flotilla.Shards;

namespace Flotilla.Cli.Tests.Backups;

/// <summary><c>backup</c> and <c>restore</c> against real nodes, and how they end when something is wrong.</summary>
public sealed class Backing_up
{
    private static readonly TimeSpan Poll = TimeSpan.FromMilliseconds(10);

    [Fact]
    public async Task Everything_acknowledged_before_a_backup_under_writes_is_in_a_cluster_of_another_shape_afterwards()
    {
        var file = Path.Combine(Terminal.TempDir(), "b");
        var acknowledged = new ConcurrentDictionary<string, string>(StringComparer.Ordinal);
        KeyValuePair<string, string>[] promised;
        var now = DateTimeOffset.UtcNow.ToUnixTimeMilliseconds();
        await using (var cluster = await RealCluster.StartAsync(nodes: 3, shards: 3))
        {
            using var client = ClientOf(cluster);
            Assert.Equal(CallOutcome.Ok, (await client.PutAsync(Samples.Bytes("mortal"), Samples.Bytes("v"), new PutOptions { TimeToLive = TimeSpan.FromHours(1) }, TestContext.Current.CancellationToken)).Outcome);
            Assert.Equal("1", await PayAsync(cluster, 1));
            Assert.Equal(CallOutcome.Ok, (await client.PutAsync(Samples.Bytes("large"), new byte[900_000], null, TestContext.Current.CancellationToken)).Outcome);
            using var stop = new CancellationTokenSource();
            var writers = Enumerable.Range(0, 4).Select(i => WriteAsync(client, i, acknowledged, stop.Token)).ToArray();
            await UntilAsync(() => acknowledged.Count > 300);
            promised = [.. acknowledged];
            var backup = await Terminal.RunAsync(["backup", file], cluster.Env);
            Assert.True(backup.Exit == 0, backup.Err);
            Assert.Contains("3 shards", backup.Err, StringComparison.Ordinal);
            var during = acknowledged.Count;
            await UntilAsync(() => acknowledged.Count > during);
            await stop.CancelAsync();
            await Task.WhenAll(writers);
        }

        await using var restored = await RealCluster.StartAsync(nodes: 2, shards: 5);
        var restore = await Terminal.RunAsync(["restore", file], restored.Env);
        Assert.True(restore.Exit == 0, restore.Err);
        foreach (var (key, value) in promised)
        {
            var found = await restored.Nodes[0].Gateway.GetAsync(Samples.Bytes(key), CallOptions.Default);
            Assert.Equal((ResultCode.Ok, value), (found.Result.Code, Encoding.UTF8.GetString(found.Result.Value.Span)));
        }

        // A write whose answer was lost, sent again to the new cluster: it was executed, and its key is known there.
        Assert.Contains(" idempotency keys", restore.Err, StringComparison.Ordinal);
        Assert.Equal("1", await PayAsync(restored, 1));
        Assert.Equal("bad_request", await PayAsync(restored, 2));
        var paid = await restored.Nodes[0].Gateway.GetAsync(Samples.Bytes("paid"), CallOptions.Default);
        Assert.Equal("1", Encoding.UTF8.GetString(paid.Result.Value.Span));

        // What is there now is what was there then, by the digest that does not depend on shards.
        var again = Path.Combine(Terminal.TempDir(), "c");
        Assert.Equal(0, (await Terminal.RunAsync(["backup", again], restored.Env)).Exit);
        var (first, second) = (await Samples.ReadAsync(file), await Samples.ReadAsync(again));
        Assert.Equal((first.Summary.Records, first.Summary.Content, 5), (second.Summary.Records, second.Summary.Content, second.Summary.Shards));
        Assert.InRange(second.Records["mortal"].ExpiresAtMs, first.Records["mortal"].ExpiresAtMs - 2_000, first.Records["mortal"].ExpiresAtMs + 20_000);
        Assert.InRange(second.Records["mortal"].ExpiresAtMs, now + 3_500_000, now + 3_660_000);

        var refused = await Terminal.RunAsync(["restore", file], restored.Env);
        Assert.Equal(1, refused.Exit);
        Assert.Contains("--force", refused.Err, StringComparison.Ordinal);
        Assert.Equal(0, (await Terminal.RunAsync(["restore", file, "--force"], restored.Env)).Exit);
    }

    /// <summary>Adds to a counter under one idempotency key: what it came to, or the error's code.</summary>
    private static async Task<string?> PayAsync(RealCluster cluster, int amount)
    {
        using var http = new HttpClient();
        using var request = new HttpRequestMessage(HttpMethod.Post, $"http://{cluster.Nodes[0].Http}/kv/paid") { Content = new StringContent($"{{\"increment\":{amount}}}", Encoding.UTF8, "application/json") };
        request.Headers.Add("Idempotency-Key", "payment-7");
        using var response = await http.SendAsync(request, TestContext.Current.CancellationToken);
        using var document = System.Text.Json.JsonDocument.Parse(await response.Content.ReadAsStringAsync(TestContext.Current.CancellationToken));
        return document.RootElement.GetProperty(response.IsSuccessStatusCode ? "value" : "code").GetString();
    }

    [Fact]
    public async Task A_backup_goes_on_without_a_node_that_dies()
    {
        await using var cluster = await RealCluster.StartAsync(nodes: 3, shards: 3);
        using var client = ClientOf(cluster);
        for (var i = 0; i < 50; i++)
        {
            Assert.Equal(CallOutcome.Ok, (await client.PutAsync(Samples.Bytes($"k{i}"), Samples.Bytes("v"), null, TestContext.Current.CancellationToken)).Outcome);
        }

        await cluster.Nodes[1].AbortAsync();
        var file = Path.Combine(Terminal.TempDir(), "b");
        var backup = await Terminal.RunAsync(["backup", file, "--output", "json"], cluster.Env);
        Assert.True(backup.Exit == 0, backup.Err);
        Assert.Contains("\"records\":50", backup.Out, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_damaged_or_cut_file_is_refused_with_its_place_and_nothing_is_written()
    {
        await using var server = await FakeServer.StartAsync();
        Env env = new() { ["FLOTILLA_ENDPOINT"] = server.Url };
        var file = Samples.Write(1000, [Samples.Put("a", "1")]);
        var bytes = await File.ReadAllBytesAsync(file, TestContext.Current.CancellationToken);
        Assert.Equal(0, (await Terminal.RunAsync(["backup", "--verify", file], env)).Exit);
        await File.WriteAllBytesAsync(file, bytes[..^3], TestContext.Current.CancellationToken);
        var cut = await Terminal.RunAsync(["restore", file], env);
        Assert.Equal(1, cut.Exit);
        Assert.Contains($"{file} can't be used: it is cut here (byte {bytes.Length - 37} of {bytes.Length - 3})", cut.Err, StringComparison.Ordinal);
        bytes[60] ^= 4;
        await File.WriteAllBytesAsync(file, bytes, TestContext.Current.CancellationToken);
        foreach (var command in (string[][])[["restore", file], ["backup", "--verify", file]])
        {
            var damaged = await Terminal.RunAsync(command, env);
            Assert.Equal(1, damaged.Exit);
            Assert.Contains("it is damaged here", damaged.Err, StringComparison.Ordinal);
        }

        foreach (var (name, why) in new[] { (file + ".none", "there is no file"), (Path.GetDirectoryName(file)!, "it is a directory") })
        {
            foreach (var command in (string[][])[["restore", name], ["backup", "--verify", name]])
            {
                var missing = await Terminal.RunAsync(command, env);
                Assert.Equal(1, missing.Exit);
                Assert.Contains(why, missing.Err, StringComparison.Ordinal);
            }
        }

        Assert.Empty(server.Requests);
    }

    [Fact]
    public async Task What_has_expired_since_is_left_out_and_a_put_of_unknown_outcome_is_repeated()
    {
        await using var server = await FakeServer.StartAsync();
        var breaks = 1;
        server.Script = seen => seen.Method == "PUT" && Interlocked.Decrement(ref breaks) >= 0 ? new Twist.Break(Apply: true) : null;
        var file = Samples.Write(1000, [Samples.Put("a", "1"), Samples.Put("b", "2", ttlMs: 5000)], [Samples.Put("c", "3")]);
        var restore = await Terminal.RunAsync(["restore", file, "--output", "json"], new Env { ["FLOTILLA_ENDPOINT"] = server.Url });
        Assert.True(restore.Exit == 0, restore.Err);
        Assert.Contains("\"records\":2,\"expired\":1,\"repeated\":1,", restore.Out, StringComparison.Ordinal);
        Assert.Equal((2, "1", "3"), (server.Count, server.Get("a"), server.Get("c")));
    }

    [Fact]
    public async Task A_refused_record_ends_a_restore_with_its_name()
    {
        await using var server = await FakeServer.StartAsync();
        server.Script = seen => seen.Key == "b" ? new Twist.Refuse(413, "too_large") : null;
        var restore = await Terminal.RunAsync(["restore", Samples.Write(1000, [Samples.Put("b", "2")])], new Env { ["FLOTILLA_ENDPOINT"] = server.Url });
        Assert.Equal(1, restore.Exit);
        Assert.Contains("refused the record b", restore.Err, StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_interrupted_backup_leaves_no_half_file_nor_does_one_that_nobody_serves()
    {
        // A node that takes connections and never says anything.
        using var silent = new TcpListener(IPAddress.Loopback, 0);
        silent.Start();
        await using var server = await FakeServer.StartAsync();
        server.Status = new StatusDocument("n1", false, "00000000000000aa", [new NodeDocument("n1", silent.LocalEndpoint.ToString(), null, null, true)],
            [new ShardDocument(1, "active", "raft", "n1", 1, ["n1"], [], [], 16384, [[0, 16383]], "1")], 0);
        var folder = Terminal.TempDir();
        var file = Path.Combine(folder, "b");
        using var stop = new CancellationTokenSource();
        var running = Terminal.RunUntilAsync(["backup", file], new Env { ["FLOTILLA_ENDPOINT"] = server.Url }, null, stop.Token);
        using var asked = await silent.AcceptTcpClientAsync(TestContext.Current.CancellationToken);
        await UntilAsync(() => File.Exists(file + ".partial"));
        await stop.CancelAsync();
        var result = await running;
        Assert.Equal((130, "interrupted\n"), (result.Exit, result.Err));
        Assert.Empty(Directory.GetFiles(folder));

        var unserved = await Terminal.RunAsync(["backup", file], new Env { ["FLOTILLA_ENDPOINT"] = server.Url, ["FLOTILLA_TIMEOUT"] = "300ms" });
        Assert.Equal(5, unserved.Exit);
        Assert.Contains("shard 1 could not be read", unserved.Err, StringComparison.Ordinal);
        Assert.Empty(Directory.GetFiles(folder));
    }

    private static FlotillaClient ClientOf(RealCluster cluster) =>
        new(new FlotillaClientOptions { Endpoints = [.. cluster.Nodes.Select(n => n.Http)], Timeout = TimeSpan.FromSeconds(30), DirectRouting = true });

    private static async Task WriteAsync(FlotillaClient client, int writer, ConcurrentDictionary<string, string> acknowledged, CancellationToken stop)
    {
        for (var i = 0; !stop.IsCancellationRequested; i++)
        {
            var (key, value) = ($"w{writer}/{i}", $"value {i}");
            if ((await client.PutAsync(Samples.Bytes(key), Samples.Bytes(value), null, CancellationToken.None)).Outcome == CallOutcome.Ok)
            {
                acknowledged[key] = value;
            }
        }
    }

    private static async Task UntilAsync(Func<bool> condition)
    {
        var deadline = Environment.TickCount64 + 60_000;
        while (!condition())
        {
            Assert.True(Environment.TickCount64 < deadline, "it did not come to it within a minute");
            await Task.Delay(Poll, TestContext.Current.CancellationToken);
        }
    }
}
