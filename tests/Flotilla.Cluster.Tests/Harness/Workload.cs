using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Text;
using Flotilla.Client;
using Flotilla.Contracts;
using Flotilla.Linearizability;

namespace Flotilla.Cluster.Tests.Harness;

/// <summary>
/// Clients that write unique values and read them back in a closed loop, and remember everything: the history for the
/// checker, and when each shard was last written to.
/// </summary>
internal sealed class Workload : IAsyncDisposable
{
    private readonly FlotillaClient _client;
    private readonly int _keys;
    private readonly Func<string, int> _shardOf;
    private readonly ConcurrentBag<Operation> _history = [];
    private readonly ConcurrentBag<(long AtUs, int Shard)> _writes = [];
    private readonly CancellationTokenSource _stop = new();
    private readonly Stopwatch _clock = Stopwatch.StartNew();
    private readonly Task[] _clients;

    public Workload(IReadOnlyList<HostPort> endpoints, int clients, int keys, Func<string, int> shardOf)
    {
        _keys = keys;
        _shardOf = shardOf;
        _client = new FlotillaClient(new FlotillaClientOptions
        {
            Endpoints = endpoints,
            DirectRouting = true,
            Spread = true,
            Timeout = TimeSpan.FromSeconds(3),
            WriteAttemptTimeout = TimeSpan.FromMilliseconds(600),
            ReadAttemptTimeout = TimeSpan.FromMilliseconds(300),
            ConnectTimeout = TimeSpan.FromMilliseconds(200),
        });
        _clients = [.. Enumerable.Range(0, clients).Select(client => Task.Run(() => RunAsync(client)))];
    }

    public IReadOnlyCollection<Operation> History => _history;

    public long NowUs => _clock.ElapsedTicks * 1_000_000 / Stopwatch.Frequency;

    public int Writes => _writes.Count;

    /// <summary>Waits until so many more writes have succeeded.</summary>
    public Task MoreWritesAsync(int count)
    {
        var goal = Writes + count;
        return Shell.EventuallyAsync(() => Task.FromResult(Writes >= goal), $"{count} more writes");
    }

    /// <summary>The longest time in [from, to] without the end of a successful write to <paramref name="shard"/>, in milliseconds.</summary>
    public double LongestGapMs(int shard, long fromUs, long toUs)
    {
        var times = _writes.Where(w => w.Shard == shard && w.AtUs >= fromUs && w.AtUs <= toUs).Select(w => w.AtUs).Append(fromUs).Append(toUs).Order().ToArray();
        return times.Zip(times.Skip(1), (a, b) => b - a).Max() / 1000.0;
    }

    /// <summary>Writes that certainly did not happen, or may or may not have, and ended after a moment of this clock.</summary>
    public int FailuresAfter(long atUs) => _history.Count(o => o.Kind == OperationKind.Put && o.Outcome != Outcome.Ok && o.EndUs > atUs);

    /// <summary>Stops the clients, then reads every key once more, so that a lost write is seen.</summary>
    public async Task FinishAsync()
    {
        await _stop.CancelAsync();
        await Task.WhenAll(_clients);
        await Parallel.ForEachAsync(Enumerable.Range(0, _keys), new ParallelOptions { MaxDegreeOfParallelism = 16 }, async (key, _) => await GetAsync("last", Key(key)));
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await Task.WhenAll(_clients);
        _client.Dispose();
        _stop.Dispose();
    }

    private static string Key(int key) => string.Create(CultureInfo.InvariantCulture, $"key-{key:D6}");

    private async Task RunAsync(int client)
    {
        var random = new Random(client);
        var name = $"c{client}";
        for (var i = 0; !_stop.IsCancellationRequested; i++)
        {
            var key = Key(random.Next(_keys));
            await (random.Next(4) == 0 ? GetAsync(name, key) : PutAsync(name, key, $"{client}-{i}"));
        }
    }

    private async Task PutAsync(string client, string key, string value)
    {
        var start = NowUs;
        var result = await _client.PutAsync(Encoding.UTF8.GetBytes(key), Encoding.UTF8.GetBytes(value));
        var end = NowUs;
        var outcome = result.Outcome switch
        {
            CallOutcome.Ok => Outcome.Ok,
            CallOutcome.Unknown => Outcome.Unknown,
            _ => Outcome.Fail,
        };
        _history.Add(new Operation(client, OperationKind.Put, key, value, null, start, end, outcome, null, null));
        if (outcome == Outcome.Ok)
        {
            _writes.Add((end, _shardOf(key)));
        }
    }

    private async Task GetAsync(string client, string key)
    {
        var start = NowUs;
        var result = await _client.GetAsync(Encoding.UTF8.GetBytes(key));
        if (result.Outcome is CallOutcome.Ok or CallOutcome.NotFound)
        {
            var found = result.Outcome == CallOutcome.Ok;
            _history.Add(new Operation(client, OperationKind.Get, key, null, null, start, NowUs, Outcome.Ok, found ? Encoding.UTF8.GetString(result.Value.Span) : null, found));
        }
    }
}
