using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using Flotilla.Shards;

namespace Flotilla.Node.Tests.Clusters;

/// <summary>Clients that write all the time, each to keys of its own, and know which writes they were promised.</summary>
internal sealed class Writers : IAsyncDisposable
{
    // The machine is the cluster's too: writers that never pause would only measure how they starve it.
    private static readonly TimeSpan BetweenWrites = TimeSpan.FromMilliseconds(1);

    private readonly CancellationTokenSource _stop = new();
    private readonly ConcurrentDictionary<string, string> _promised = new(StringComparer.Ordinal);
    private readonly ConcurrentBag<(TimeSpan At, ResultCode Code, string? Detail)> _failures = [];
    private readonly long _began = Stopwatch.GetTimestamp();
    private readonly Task[] _clients;
    private int _writes;

    /// <param name="gateways">Where the clients write, each at one of them in turn.</param>
    public Writers(params IGateway[] gateways) => _clients = [.. Enumerable.Range(0, 8).Select(i => Task.Run(() => WriteAsync(i, gateways[i % gateways.Length])))];

    /// <summary>Writes that succeeded.</summary>
    public int Count => Volatile.Read(ref _writes);

    /// <summary>How long they have been writing.</summary>
    public TimeSpan Elapsed => Stopwatch.GetElapsedTime(_began);

    /// <summary>Writes that failed, or whose outcome is unknown, by when.</summary>
    public IReadOnlyCollection<(TimeSpan At, ResultCode Code, string? Detail)> Failures => _failures;

    /// <summary>Waits until so many more writes have succeeded.</summary>
    public Task MoreAsync(int writes)
    {
        var until = Count + writes;
        return Eventually.IsTrueAsync(() => Count >= until, "writes go on");
    }

    /// <summary>Ends them, and checks that every promised write is there.</summary>
    public async Task CheckAsync(IGateway gateway)
    {
        await StopAsync();
        foreach (var (key, value) in _promised)
        {
            // A later write of the same key, whose outcome is unknown, may have happened all the same.
            var found = await gateway.ReadAsync(key);
            Assert.True(found is not null && long.Parse(found, CultureInfo.InvariantCulture) >= long.Parse(value, CultureInfo.InvariantCulture), $"{key}: promised {value}, found {found}");
        }
    }

    public async ValueTask DisposeAsync()
    {
        await StopAsync();
        _stop.Dispose();
    }

    private async Task StopAsync()
    {
        await _stop.CancelAsync();
        await Task.WhenAll(_clients);
    }

    private async Task WriteAsync(int client, IGateway gateway)
    {
        for (long i = 0; !_stop.IsCancellationRequested; i++)
        {
            var key = $"w{client}/{i % 100}";
            var value = i.ToString(CultureInfo.InvariantCulture);
            var at = Elapsed;
            var answer = await gateway.PutAsync(key, value);
            if (answer.Result.Code == ResultCode.Ok)
            {
                _promised[key] = value;
                Interlocked.Increment(ref _writes);
            }
            else
            {
                _failures.Add((at, answer.Result.Code, answer.Detail));
            }

            await Task.Delay(BetweenWrites);
        }
    }
}
