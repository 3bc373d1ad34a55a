using System.Collections.Concurrent;
using System.Globalization;
using System.Text;
using Flotilla.Client;
using Flotilla.Cluster.Tests.Harness;

namespace Flotilla.Cluster.Tests;

/// <summary>A watch over real processes that are killed.</summary>
public sealed class WatchTests(ITestOutputHelper output)
{
    private const int Clients = 8;

    [Fact]
    public async Task Every_acknowledged_write_is_told_once_and_in_order_while_leaders_are_killed()
    {
        await using var cluster = await TestCluster.StartAsync();
        var first = await cluster.LeaderAsync(1);

        // It begins at the node that is killed first, so that it has to go on elsewhere with its cursor.
        var options = new FlotillaClientOptions
        {
            Endpoints = [.. cluster.Endpoints.OrderBy(e => e.Port == first.HttpPort ? 0 : 1)],
            Timeout = TimeSpan.FromSeconds(60),
        };
        using var stop = new CancellationTokenSource();
        var told = new ConcurrentDictionary<(string Key, string Version), int>();
        using var watch = FlotillaWatch.Prefix(options, "w/"u8);
        var watching = Task.Run(
            async () =>
            {
                var last = new Dictionary<string, (ulong, ulong, ulong, ulong)>(StringComparer.Ordinal);
                try
                {
                    await foreach (var change in watch.ReadAsync(stop.Token))
                    {
                        var (key, text) = (change.Record.Key!, change.Record.Version);
                        var parts = Array.ConvertAll(text.Split('.'), static part => ulong.Parse(part, CultureInfo.InvariantCulture));
                        var version = (parts[0], parts[1], parts[2], parts[3]);
                        Assert.True(last.GetValueOrDefault(key).CompareTo(version) < 0, $"{key}: {text} came after {last.GetValueOrDefault(key)}");
                        last[key] = version;
                        told.AddOrUpdate((key, text), 1, static (_, n) => n + 1);
                    }
                }
                catch (OperationCanceledException) when (stop.IsCancellationRequested)
                {
                    // The test has seen enough.
                }
            },
            TestContext.Current.CancellationToken);
        await Shell.EventuallyAsync(() => Task.FromResult(watch.Cursor is not null), "the watch stands");

        using var writing = new CancellationTokenSource();
        using var client = new FlotillaClient(options);
        var promised = new ConcurrentBag<(string Key, string Version)>();
        var writers = Enumerable.Range(0, Clients).Select(w => Task.Run(
            async () =>
            {
                for (var i = 0; !writing.IsCancellationRequested; i++)
                {
                    var key = $"w/{w}/{i % 20}";
                    var result = await client.PutAsync(Encoding.UTF8.GetBytes(key), Encoding.UTF8.GetBytes($"{i}"));
                    if (result is { Outcome: CallOutcome.Ok, Version: { } version })
                    {
                        promised.Add((key, version));
                    }
                }
            },
            TestContext.Current.CancellationToken)).ToArray();
        await MoreAsync(promised, 500);
        await first.KillAsync();
        await MoreAsync(promised, 1000);
        cluster.Start(first);
        await TestCluster.ReadyAsync(first);
        var second = await cluster.LeaderAsync(2);
        await second.KillAsync();
        await MoreAsync(promised, 1000);
        cluster.Start(second);
        await TestCluster.ReadyAsync(second);
        await MoreAsync(promised, 200);
        await writing.CancelAsync();
        await Task.WhenAll(writers);

        await Shell.EventuallyAsync(() => Task.FromResult(watching.IsCompleted || promised.All(told.ContainsKey)), "every promised write is told");
        await stop.CancelAsync();
        await watching;
        output.WriteLine($"{promised.Count} acknowledged writes, {told.Count} told");
        Assert.All(promised, write => Assert.True(told.ContainsKey(write), $"{write} was never told"));
        Assert.All(told, pair => Assert.True(pair.Value == 1, $"{pair.Key} was told {pair.Value} times"));
    }

    private static Task MoreAsync(ConcurrentBag<(string Key, string Version)> promised, int more)
    {
        var until = promised.Count + more;
        return Shell.EventuallyAsync(() => Task.FromResult(promised.Count >= until), "writes go on", TimeSpan.FromSeconds(120));
    }
}
