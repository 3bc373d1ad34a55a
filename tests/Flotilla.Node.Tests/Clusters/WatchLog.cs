using Flotilla.Shards.Watching;
using static Flotilla.Node.Tests.Clusters.GatewayText;
using Version = Flotilla.Data.Version;

namespace Flotilla.Node.Tests.Clusters;

/// <summary>One who watches, keeps all events, goes on elsewhere with its cursor when told, and checks as it goes that each key's versions grow.</summary>
internal sealed class WatchLog : IAsyncDisposable
{
    private readonly Lock _gate = new();
    private readonly List<WatchEvent> _events = [];
    private readonly Dictionary<string, Version> _last = new(StringComparer.Ordinal);
    private readonly CancellationTokenSource _stop = new();
    private readonly IWatchStream _stream;
    private readonly Task _reading;

    private WatchLog(IWatchStream stream)
    {
        _stream = stream;
        _reading = Task.Run(ReadAsync);
    }

    /// <summary>Everything so far.</summary>
    public IReadOnlyList<WatchEvent> Events
    {
        get
        {
            lock (_gate)
            {
                return [.. _events];
            }
        }
    }

    public string Cursor => _stream.Cursor;

    public static async Task<WatchLog> StartAsync(IWatches watches, string prefix = "", string? from = null) =>
        new(await OpenAsync(watches, prefix, from));

    public static async Task<IWatchStream> OpenAsync(IWatches watches, string prefix = "", string? from = null)
    {
        // On a busy machine a shard may be without a leader for longer than one attempt takes.
        var opening = default(WatchOpening)!;
        await Eventually.IsTrueAsync(
            async () => (opening = await watches.OpenAsync(new WatchRequest(new EventFilter(Bytes(prefix), IsKey: false), from), TestContext.Current.CancellationToken)).Outcome != WatchOutcome.NoQuorum,
            "the watch is opened", seconds: 60);
        Assert.True(opening.Outcome == WatchOutcome.Open, $"{opening.Outcome}: {opening.Detail}");
        return opening.Stream!;
    }

    /// <summary>Ends it; where to go on.</summary>
    public async Task<string> StopAsync()
    {
        await _stop.CancelAsync();
        await _reading;
        var cursor = _stream.Cursor;
        await _stream.DisposeAsync();
        return cursor;
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _reading;
        await _stream.DisposeAsync();
        _stop.Dispose();
    }

    private async Task ReadAsync()
    {
        while (!_stop.IsCancellationRequested)
        {
            while (_stream.TryTake() is { } read)
            {
                lock (_gate)
                {
                    var key = Text(read.Key);
                    if (read.Kind == ShardEventKind.Put)
                    {
                        Assert.True(!_last.TryGetValue(key, out var last) || last.CompareTo(read.Version) < 0, $"{key}: {read.Version} came after {_last.GetValueOrDefault(key)}");
                        _last[key] = read.Version;
                    }

                    _events.Add(read);
                }
            }

            Assert.Equal(WatchEnd.None, _stream.End);
            try
            {
                await _stream.WaitAsync(TimeSpan.FromSeconds(1), _stop.Token);
            }
            catch (OperationCanceledException)
            {
                return;
            }
        }
    }
}
