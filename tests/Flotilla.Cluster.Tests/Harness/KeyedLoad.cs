using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Text;
using Flotilla.Client;
using Flotilla.Linearizability;

namespace Flotilla.Cluster.Tests.Harness;

/// <summary>
/// Clients of one key each, which ask in a closed loop with a short pause, and others that ask for any of these keys: the history for
/// the checker, every error, the versions that were seen, and how long each key's own client went without an answer.
/// </summary>
internal sealed class KeyedLoad : IAsyncDisposable
{
    private static readonly TimeSpan Think = TimeSpan.FromMilliseconds(10);

    private readonly FlotillaClient[] _clients;
    private readonly int _keys;
    private readonly ConcurrentQueue<Operation> _history = new();
    private readonly ConcurrentQueue<(string Key, long StartUs, long EndUs, string Version)> _versions = new();
    private readonly ConcurrentQueue<string> _errors = new();
    private readonly List<(long FromUs, long ToUs)>[] _gaps;
    private readonly long[] _answeredAt;
    private readonly CancellationTokenSource _stop = new();
    private readonly Stopwatch _clock = Stopwatch.StartNew();
    private readonly Task[] _tasks;
    private int _writes;

    /// <summary>Starts at once.</summary>
    /// <param name="clients">Taken in turn; disposed of with this.</param>
    /// <param name="keys">So many keys, each with a client of its own.</param>
    /// <param name="others">Clients besides, which ask for any key.</param>
    public KeyedLoad(FlotillaClient[] clients, int keys, int others)
    {
        _clients = clients;
        _keys = keys;
        _gaps = [.. Enumerable.Range(0, keys).Select(static _ => new List<(long, long)>())];
        _answeredAt = new long[keys];
        _tasks = [.. Enumerable.Range(0, keys).Select(key => Task.Run(() => OwnAsync(key))), .. Enumerable.Range(0, others).Select(other => Task.Run(() => AnyAsync(other)))];
    }

    /// <summary>All operations so far.</summary>
    public IReadOnlyCollection<Operation> History => _history;

    /// <summary>What failed, in words.</summary>
    public IReadOnlyCollection<string> Errors => _errors;

    /// <summary>Microseconds since the start.</summary>
    public long NowUs => _clock.ElapsedTicks * 1_000_000 / Stopwatch.Frequency;

    /// <summary>Writes that succeeded.</summary>
    public int Writes => Volatile.Read(ref _writes);

    /// <summary>The keys.</summary>
    public IEnumerable<string> Keys => Enumerable.Range(0, _keys).Select(Key);

    /// <summary>Waits until so many more writes have succeeded.</summary>
    public Task MoreWritesAsync(int count)
    {
        var goal = Writes + count;
        return Shell.EventuallyAsync(() => Task.FromResult(Writes >= goal), $"{count} more writes", TimeSpan.FromSeconds(60));
    }

    /// <summary>The longest times that keys' own clients went from one answer to the next, in milliseconds, with key and moment; those that overlap [from, to].</summary>
    public IReadOnlyList<(double Ms, string Key, long AtUs)> Pauses(long fromUs, long toUs)
    {
        var all = new List<(double, string, long)>();
        for (var key = 0; key < _keys; key++)
        {
            lock (_gaps[key])
            {
                var now = NowUs;
                var longest = _gaps[key].Append((FromUs: Volatile.Read(ref _answeredAt[key]), ToUs: now)).Where(g => g.ToUs > fromUs && g.FromUs < toUs).DefaultIfEmpty((FromUs: toUs, ToUs: toUs)).MaxBy(g => g.ToUs - g.FromUs);
                all.Add(((longest.ToUs - longest.FromUs) / 1000.0, Key(key), longest.FromUs));
            }
        }

        return [.. all.OrderByDescending(static p => p.Item1)];
    }

    /// <summary>Of operations that ended in [from, to]: how many a second, and the median, 99 % and longest latency in milliseconds.</summary>
    public (double PerSecond, double P50, double P99, double Max) Latency(long fromUs, long toUs)
    {
        var took = _history.Where(o => o.EndUs > fromUs && o.EndUs <= toUs).Select(static o => (o.EndUs - o.StartUs) / 1000.0).Order().ToArray();
        return took.Length == 0 ? default : (took.Length * 1e6 / (toUs - fromUs), took[took.Length / 2], took[(int)(took.Length * 0.99)], took[^1]);
    }

    /// <summary>Versions of a key that go back though one answer came before the other was asked for: two owners would give such.</summary>
    public IReadOnlyList<string> VersionsThatGoBack()
    {
        var wrong = new List<string>();
        foreach (var key in _versions.GroupBy(static v => v.Key, StringComparer.Ordinal))
        {
            var byStart = key.Select(static v => (v.StartUs, v.EndUs, Version: Parse(v.Version), Text: v.Version)).OrderBy(static v => v.StartUs).ToArray();
            var byEnd = byStart.OrderBy(static v => v.EndUs).ToArray();
            var (ended, highest, text) = (0, default((ulong, ulong, ulong, ulong)), "");
            foreach (var next in byStart)
            {
                for (; ended < byEnd.Length && byEnd[ended].EndUs < next.StartUs; ended++)
                {
                    (highest, text) = byEnd[ended].Version.CompareTo(highest) > 0 ? (byEnd[ended].Version, byEnd[ended].Text) : (highest, text);
                }

                if (next.Version.CompareTo(highest) < 0)
                {
                    wrong.Add($"{key.Key}: {next.Text} was seen by a call that began at {next.StartUs}, after {text}");
                }
            }
        }

        return wrong;
    }

    /// <summary>Stops the clients, then reads every key once more, so that a lost write is seen.</summary>
    public async Task FinishAsync()
    {
        await _stop.CancelAsync();
        await Task.WhenAll(_tasks);
        await Parallel.ForEachAsync(Keys, new ParallelOptions { MaxDegreeOfParallelism = 8 }, async (key, _) => await GetAsync(_clients[0], "last", key));
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await Task.WhenAll(_tasks);
        foreach (var client in _clients)
        {
            client.Dispose();
        }

        _stop.Dispose();
    }

    private static string Key(int key) => string.Create(CultureInfo.InvariantCulture, $"key-{key:D4}");

    private static (ulong, ulong, ulong, ulong) Parse(string version)
    {
        var parts = Array.ConvertAll(version.Split('.'), static part => ulong.Parse(part, CultureInfo.InvariantCulture));
        return (parts[0], parts[1], parts[2], parts[3]);
    }

    private async Task OwnAsync(int key)
    {
        var (name, client, text) = ($"own-{key}", _clients[key % _clients.Length], Key(key));
        Volatile.Write(ref _answeredAt[key], NowUs);
        for (var i = 0; !_stop.IsCancellationRequested; i++)
        {
            await (i % 3 == 2 ? GetAsync(client, name, text) : PutAsync(client, name, text, $"{name}-{i}"));
            var (before, now) = (Volatile.Read(ref _answeredAt[key]), NowUs);
            Volatile.Write(ref _answeredAt[key], now);
            if (now - before > 30_000)
            {
                lock (_gaps[key])
                {
                    _gaps[key].Add((before, now));
                }
            }

            await Task.Delay(Think);
        }
    }

    private async Task AnyAsync(int other)
    {
        var random = new Random(other);
        var (name, client) = ($"any-{other}", _clients[other % _clients.Length]);
        for (var i = 0; !_stop.IsCancellationRequested; i++)
        {
            var key = Key(random.Next(_keys));
            await (random.Next(8) switch
            {
                < 4 => GetAsync(client, name, key),
                < 7 => PutAsync(client, name, key, $"{name}-{i}"),
                _ => DeleteAsync(client, name, key),
            });
            await Task.Delay(Think);
        }
    }

    private async Task PutAsync(FlotillaClient client, string name, string key, string value)
    {
        var start = NowUs;
        var result = await client.PutAsync(Encoding.UTF8.GetBytes(key), Encoding.UTF8.GetBytes(value));
        var outcome = OutcomeOf(result.Outcome);
        _history.Enqueue(new Operation(name, OperationKind.Put, key, value, null, start, NowUs, outcome, null, null));
        Note(outcome == Outcome.Ok, "put", key, start, result.Version, result.Error);
        if (outcome == Outcome.Ok)
        {
            Interlocked.Increment(ref _writes);
        }
    }

    private async Task DeleteAsync(FlotillaClient client, string name, string key)
    {
        var start = NowUs;
        var result = await client.DeleteAsync(Encoding.UTF8.GetBytes(key));
        var found = result.Outcome == CallOutcome.Ok;
        var outcome = result.Outcome == CallOutcome.NotFound ? Outcome.Ok : OutcomeOf(result.Outcome);
        _history.Enqueue(new Operation(name, OperationKind.Delete, key, null, null, start, NowUs, outcome, null, outcome == Outcome.Ok ? found : null));
        Note(outcome == Outcome.Ok, "delete", key, start, null, result.Error);
    }

    private async Task GetAsync(FlotillaClient client, string name, string key)
    {
        var start = NowUs;
        var result = await client.GetAsync(Encoding.UTF8.GetBytes(key));
        var found = result.Outcome == CallOutcome.Ok;
        var answered = found || result.Outcome == CallOutcome.NotFound;
        if (answered)
        {
            _history.Enqueue(new Operation(name, OperationKind.Get, key, null, null, start, NowUs, Outcome.Ok, found ? Encoding.UTF8.GetString(result.Value.Span) : null, found));
        }

        Note(answered, "get", key, start, found ? result.Version : null, result.Error);
    }

    private void Note(bool isFine, string what, string key, long startUs, string? version, CallError? error)
    {
        if (!isFine)
        {
            _errors.Enqueue($"{NowUs / 1000} ms: {what} {key}, begun {(NowUs - startUs) / 1000} ms before: {error?.Status} {error?.Code} {error?.Message}");
        }
        else if (version is not null)
        {
            _versions.Enqueue((key, startUs, NowUs, version.Trim('"')));
        }
    }

    private static Outcome OutcomeOf(CallOutcome outcome) => outcome switch
    {
        CallOutcome.Ok => Outcome.Ok,
        CallOutcome.Unknown => Outcome.Unknown,
        _ => Outcome.Fail,
    };
}
