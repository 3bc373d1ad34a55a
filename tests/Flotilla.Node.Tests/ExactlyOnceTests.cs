using System.Collections.Concurrent;
using System.Diagnostics.Metrics;
using System.Globalization;
using System.Net;
using Flotilla.Node.Tests.Clusters;
using Flotilla.Shards;
using Flotilla.Topology;
using static Flotilla.Node.Tests.Clusters.GatewayText;

namespace Flotilla.Node.Tests;

/// <summary>Writes that must not happen twice, on real nodes whose answers are lost.</summary>
public sealed class ExactlyOnceTests
{
    private const int Counters = 12;

    private static readonly TimeSpan WhileItIsDown = TimeSpan.FromMilliseconds(5);

    [Fact, Trait("Hazard", "34"), Trait("Hazard", "36")]
    public async Task Increments_are_counted_once_each_while_leaders_are_killed_and_streams_are_cut()
    {
        var proxies = new Dictionary<string, CuttingProxy>(StringComparer.Ordinal);
        await using var cluster = await TestCluster.StartAsync(3, change: options => Behind(proxies, options));
        var tally = new Tally();
        var retries = 0L;
        using var meters = new MeterListener { InstrumentPublished = (instrument, listener) =>
        {
            if (instrument.Name is "flotilla_write_retries_total")
            {
                listener.EnableMeasurementEvents(instrument);
            }
        } };
        meters.SetMeasurementEventCallback<long>((_, count, _, _) => Interlocked.Add(ref retries, count));
        meters.Start();
        using var enough = new CancellationTokenSource();

        // The first node is never killed: nothing that goes through it may end without an answer.
        var doors = Enumerable.Range(0, 3).Select(node => (IGateway?)cluster[node].Gateway).ToArray();
        var clients = Enumerable.Range(0, 24).Select(client => Task.Run(async () =>
        {
            var random = new Random(client);
            while (!enough.IsCancellationRequested)
            {
                if (Volatile.Read(ref doors[client % 3]) is { } gateway)
                {
                    await tally.IncrementAsync(gateway, random.Next(Counters), mustSucceed: client % 3 == 0);
                }
                else
                {
                    await Task.Delay(WhileItIsDown);
                }
            }
        })).ToArray();
        bool Failed() => clients.Any(c => c.IsFaulted);
        for (var round = 0; round < 4 && !Failed(); round++)
        {
            for (var cut = 0; cut < 10; cut++)
            {
                var before = tally.Acknowledged;
                await Eventually.IsTrueAsync(() => Failed() || tally.Acknowledged > before + 30, "increments go on", 60);
                proxies.Values.ElementAt((cut + round) % 3).Cut();
            }

            var killed = 1 + (round % 2);
            Volatile.Write(ref doors[killed], null);
            await cluster.KillAsync(killed);
            var acknowledged = tally.Acknowledged;
            await Eventually.IsTrueAsync(() => Failed() || tally.Acknowledged > acknowledged + 100, "increments go on without it", 60);
            await cluster.StartNodeAsync(killed);
            Volatile.Write(ref doors[killed], cluster[killed].Gateway);
        }

        await enough.CancelAsync();
        await Task.WhenAll(clients);
        await cluster.LeadersAsync();
        await tally.CheckAsync(cluster[0].Gateway);
        Assert.NotEqual(0, retries);
        TestContext.Current.TestOutputHelper?.WriteLine($"{retries} attempts were made again");
        foreach (var proxy in proxies.Values)
        {
            await proxy.DisposeAsync();
        }
    }

    [Fact, Trait("Hazard", "34")]
    public async Task An_answer_lost_with_the_node_that_was_asked_is_given_by_another_under_the_same_key()
    {
        await using var cluster = await TestCluster.StartAsync(3, shards: 1);
        var options = new CallOptions(true, false, TimeoutMs: 30_000);
        for (var round = 0; round < 6; round++)
        {
            var asked = round % 3;
            var other = (asked + 1) % 3;
            var name = $"n{round}";
            var increment = Command.Increment(Bytes(name), 5) with { Once = new Once.ByKey(Bytes($"key-{round}")) };
            var lost = cluster[asked].Gateway.ExecuteAsync(increment, options).AsTask();
            if (round >= 3)
            {
                await lost;
            }

            await cluster.KillAsync(asked);
            var retried = await cluster[other].Gateway.ExecuteAsync(increment, options with { IsRetry = true });
            Assert.Equal((ResultCode.Ok, "5"), (retried.Result.Code, Text(retried.Result.Value)));
            var first = await lost;
            if (first.Result.Code == ResultCode.Ok)
            {
                Assert.Equal(first.Result.Version, retried.Result.Version);
            }

            await cluster.StartNodeAsync(asked);
            await cluster.LeadersAsync();
            Assert.Equal("5", await cluster[asked].Gateway.ReadAsync(name));

            // Whatever was on its way when the node died has had its chance since.
            var again = await cluster[asked].Gateway.ExecuteAsync(increment, options);
            Assert.Equal(retried.Result.Version, again.Result.Version);
            var misused = await cluster[other].Gateway.ExecuteAsync(increment with { Delta = 6 }, options);
            Assert.Equal(ResultCode.KeyReused, misused.Result.Code);
        }
    }

    [Fact, Trait("Hazard", "34")]
    public async Task A_write_is_passed_on_under_the_session_of_the_node_that_the_client_asked()
    {
        await using var cluster = await TestCluster.StartAsync(3, shards: 1);
        var shard = new ShardId(1);
        var leader = await cluster.LeaderAsync(shard);
        var follower = cluster.Running.First(i => i != leader);
        var gateway = cluster[follower].Gateway;
        var options = new CallOptions(true, false, TimeoutMs: 30_000);
        for (var i = 1; i <= 20; i++)
        {
            // While it is on its way the leader hands over, so that some go through two nodes or are sent again.
            var pending = gateway.ExecuteAsync(Command.Increment(Bytes("n"), 1), options).AsTask();
            if (i == 10)
            {
                await cluster.StopAsync(leader);
            }

            var answer = await pending;
            Assert.Equal((ResultCode.Ok, $"{i}"), (answer.Result.Code, Text(answer.Result.Value)));
        }
    }

    private static NodeOptions Behind(Dictionary<string, CuttingProxy> proxies, NodeOptions options)
    {
        foreach (var member in options.InitialCluster)
        {
            if (!proxies.ContainsKey(member.Node.Value))
            {
                proxies.Add(member.Node.Value, new CuttingProxy(IPEndPoint.Parse(member.Rpc)));
            }
        }

        return options with { InitialCluster = [.. options.InitialCluster.Select(m => m with { Rpc = proxies[m.Node.Value].Address })] };
    }

    /// <summary>What clients know of the counters that they add to.</summary>
    private sealed class Tally
    {
        private readonly ConcurrentBag<long>[] _answers = [.. Enumerable.Range(0, Counters).Select(_ => new ConcurrentBag<long>())];
        private readonly int[] _unknown = new int[Counters];
        private int _acknowledged;

        public int Acknowledged => Volatile.Read(ref _acknowledged);

        public async Task IncrementAsync(IGateway gateway, int counter, bool mustSucceed)
        {
            var answer = await gateway.ExecuteAsync(Command.Increment(Bytes($"counter-{counter}"), 1), new CallOptions(true, false, TimeoutMs: 60_000));
            if (answer.Result.Code == ResultCode.Ok)
            {
                _answers[counter].Add(long.Parse(Text(answer.Result.Value), CultureInfo.InvariantCulture));
                Interlocked.Increment(ref _acknowledged);
                return;
            }

            Assert.False(mustSucceed, $"{answer.Result.Code}: {answer.Detail}");
            if (answer.Result.Code == ResultCode.Indeterminate)
            {
                Interlocked.Increment(ref _unknown[counter]);
            }
            else
            {
                Assert.True(answer.Result.Code is ResultCode.NoQuorum or ResultCode.NotLeader, $"{answer.Result.Code}: {answer.Detail}");
            }
        }

        public async Task CheckAsync(IGateway gateway)
        {
            for (var counter = 0; counter < Counters; counter++)
            {
                var answers = _answers[counter];
                var value = long.Parse(await gateway.ReadAsync($"counter-{counter}") ?? "0", CultureInfo.InvariantCulture);

                // Each answer is a number of its own, and together with those whose end is unknown they make up the counter.
                Assert.Equal(answers.Count, answers.Distinct().Count());
                Assert.InRange(value, answers.Count, answers.Count + _unknown[counter]);
            }

            TestContext.Current.TestOutputHelper?.WriteLine($"{Acknowledged} acknowledged, {_unknown.Sum()} unknown");
        }
    }
}
