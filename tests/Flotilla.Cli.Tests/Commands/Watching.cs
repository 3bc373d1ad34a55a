using System.Text.Json;
using Flotilla.Cli.Tests.Fakes;
using Flotilla.Shards;

namespace Flotilla.Cli.Tests.Commands;

/// <summary><c>flotilla watch</c> against real nodes.</summary>
public sealed class Watching
{
    /// <summary>Ctrl-C may come before the watch has begun or after: it ends well either way.</summary>
    private static readonly TimeSpan AMoment = TimeSpan.FromMilliseconds(200);

    private static readonly TimeSpan BetweenWrites = TimeSpan.FromMilliseconds(10);

    [Fact]
    public async Task Changes_are_printed_and_a_cursor_goes_on_at_another_node_when_one_stops()
    {
        await using var cluster = await RealCluster.StartAsync(3, shards: 2);
        var put = await Terminal.RunAsync(["put", "other", "x"], cluster.Env);
        Assert.Equal(0, put.Exit);
        var first = Terminal.RunAsync(["watch", "--prefix", "a/", "--count", "3", "--output", "json"], cluster.Env);
        await WriteUntilSeenAsync(cluster, first);
        var result = await first;
        Assert.Equal(0, result.Exit);
        var lines = result.Out.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => JsonDocument.Parse(line).RootElement).ToArray();
        Assert.Equal(3, lines.Length);
        Assert.All(lines, line => Assert.Equal("put", line.GetProperty("event").GetString()));
        var cursor = lines[^1].GetProperty("cursor").GetString()!;
        Assert.Contains($"--from {cursor}", result.Err, StringComparison.Ordinal);

        // Goes on from the cursor, while the node that it is connected to goes away.
        var gone = Terminal.RunAsync(["watch", "a/last", "--from", cursor, "--count", "2"], cluster.Env);
        await Terminal.RunAsync(["put", "a/last", "1"], cluster.Env);
        await cluster.Nodes[0].StopAsync();
        await Terminal.RunAsync(["del", "a/last"], cluster.Env);
        var told = (await gone).Out.Split('\n');
        Assert.StartsWith("put\ta/last\t1\t", told[0], StringComparison.Ordinal);
        Assert.StartsWith("delete\ta/last\t\t", told[1], StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_cursor_that_can_not_be_used_says_what_to_do()
    {
        await using var cluster = await RealCluster.StartAsync(1, shards: 1);
        var bad = await Terminal.RunAsync(["watch", "--from", "nonsense"], cluster.Env);
        Assert.Equal(1, bad.Exit);
        Assert.Contains("bad_request", bad.Err, StringComparison.Ordinal);
        var both = await Terminal.RunAsync(["watch", "k", "--prefix", "p"], cluster.Env);
        Assert.Equal(2, both.Exit);
    }

    [Fact]
    public async Task Too_old_a_cursor_is_a_failure_with_clear_words()
    {
        await using var server = await FakeServer.StartAsync();
        server.Script = _ => new Twist.Refuse(410, "compacted");
        var result = await Terminal.RunAsync("watch", "--endpoint", server.Url, "--from", "AAAA");
        Assert.Equal(1, result.Exit);
        Assert.Contains("too old (compacted)", result.Err, StringComparison.Ordinal);
        Assert.Contains("flotilla scan", result.Err, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Nobody_there_is_unavailable()
    {
        var result = await Terminal.RunAsync("watch", "--endpoint", "127.0.0.1:1", "--timeout", "300ms");
        Assert.Equal(5, result.Exit);
    }

    [Fact]
    public async Task Ctrl_C_ends_it_well()
    {
        await using var cluster = await RealCluster.StartAsync(1, shards: 1);
        using var stop = new CancellationTokenSource();
        var watching = Terminal.RunUntilAsync(["watch"], cluster.Env, null, stop.Token);
        await Task.Delay(AMoment, TestContext.Current.CancellationToken);
        await stop.CancelAsync();
        Assert.Equal(0, (await watching).Exit);
    }

    // The watch begins at some moment: writes go on until it has seen enough.
    private static async Task WriteUntilSeenAsync(RealCluster cluster, Task watching)
    {
        for (var i = 0; !watching.IsCompleted; i++)
        {
            Assert.True(i < 2000, "the watch sees nothing");
            await cluster.Nodes[1].Gateway.ExecuteAsync(Command.Put(new[] { (byte)'a', (byte)'/', (byte)('0' + (i % 10)) }, new byte[] { 118 }), Node.CallOptions.Default);
            await Task.Delay(BetweenWrites, TestContext.Current.CancellationToken);
        }
    }
}
