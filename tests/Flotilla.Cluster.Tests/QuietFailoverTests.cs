using System.Diagnostics;
using System.Globalization;
using System.Text;
using Flotilla.Client;
using Flotilla.Cluster.Tests.Harness;
using Flotilla.Contracts;
using Flotilla.Contracts.Http;

namespace Flotilla.Cluster.Tests;

/// <summary>
/// Shards that nobody uses are quiet: heartbeats of nodes stand in for theirs. When the process that leads some of them stops or dies, each of them
/// serves again all the same. How long that took is printed and not judged: it means something on a machine that does nothing else.
/// </summary>
public sealed class QuietFailoverTests(ITestOutputHelper output)
{
    private const int Shards = 6;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(120);

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Quiet_shards_whose_leading_process_stops_or_dies_serve_again(bool isStopped)
    {
        await using var cluster = await TestCluster.StartAsync(3, "--shards", Shards.ToString(CultureInfo.InvariantCulture));
        using var http = new HttpClient { Timeout = TimeSpan.FromSeconds(10) };
        var keys = KeysByShard(await cluster.ConfigAsync());
        await WriteToEachAsync(cluster.Nodes, keys, "before");
        for (var round = 1; round <= 2; round++)
        {
            await Shell.EventuallyAsync(async () => (await Task.WhenAll(cluster.Nodes.Select(node => QuietAsync(http, node)))).All(static quiet => quiet == Shards), "every replica is quiet", Patience);
            var leaders = (await cluster.ConfigAsync()).Shards.ToDictionary(static s => s.Id, static s => s.Leader);
            var victim = cluster.Nodes.MaxBy(node => leaders.Values.Count(leader => leader == node.Id))!;
            var led = keys.Where(key => leaders[key.Key] == victim.Id).ToDictionary(static key => key.Key, static key => key.Value);
            Assert.NotEmpty(led);
            var others = cluster.Nodes.Where(node => node != victim).ToArray();
            if (isStopped)
            {
                victim.Pause();
            }
            else
            {
                await victim.KillAsync();
            }

            var took = await WriteToEachAsync(others, led, $"round {round}");
            output.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"{victim.Id}, which led {led.Count} quiet shards, {(isStopped ? "was stopped" : "was killed")}: a write to each was acknowledged {took.Min().TotalMilliseconds:F0} to {took.Max().TotalMilliseconds:F0} ms later"));
            if (isStopped)
            {
                victim.Continue();
            }
            else
            {
                cluster.Start(victim);
            }

            await TestCluster.ReadyAsync(victim);
        }

        await cluster.ConvergedAsync();
    }

    /// <summary>A key of each shard.</summary>
    private static Dictionary<int, string> KeysByShard(ConfigDocument config)
    {
        var ranges = config.Shards.SelectMany(static s => s.Ranges.Select(r => (First: r[0], Last: r[1], s.Id))).ToArray();
        var keys = new Dictionary<int, string>();
        for (var i = 0; keys.Count < config.Shards.Count; i++)
        {
            var key = string.Create(CultureInfo.InvariantCulture, $"quiet-{i}");
            var slot = KeySlot.Of(Encoding.UTF8.GetBytes(key));
            keys.TryAdd(ranges.First(r => slot >= r.First && slot <= r.Last).Id, key);
        }

        return keys;
    }

    /// <summary>Writes to each shard until that is acknowledged, to all at once; how long each took.</summary>
    private static async Task<TimeSpan[]> WriteToEachAsync(IEnumerable<TestNode> nodes, Dictionary<int, string> keys, string value)
    {
        using var client = new FlotillaClient(new FlotillaClientOptions { Endpoints = [.. nodes.Select(static n => new HostPort("127.0.0.1", n.HttpPort))], Spread = true });
        var began = Stopwatch.StartNew();
        return await Task.WhenAll(keys.Values.Select(async key =>
        {
            CallOutcome? outcome = null;
            await Shell.EventuallyAsync(
                async () => (outcome = (await client.PutAsync(Encoding.UTF8.GetBytes(key), Encoding.UTF8.GetBytes(value))).Outcome) == CallOutcome.Ok, $"a write of {key} is acknowledged, and not {outcome}", Patience);
            return began.Elapsed;
        }));
    }

    private static async Task<int> QuietAsync(HttpClient http, TestNode node)
    {
        var metrics = await http.GetStringAsync(new Uri($"http://127.0.0.1:{node.HttpPort}/metrics"));
        var line = metrics.Split('\n').FirstOrDefault(static l => l.StartsWith("flotilla_quiet_replicas", StringComparison.Ordinal));
        return line is null ? 0 : int.Parse(line[(line.LastIndexOf(' ') + 1)..], CultureInfo.InvariantCulture);
    }
}
