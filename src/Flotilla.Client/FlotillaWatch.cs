using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Text.Json;
using Flotilla.Contracts;
using Flotilla.Contracts.Http;

namespace Flotilla.Client;

/// <summary>A change of a record, as a watch tells it.</summary>
/// <param name="Kind"><c>put</c>, <c>delete</c> or <c>expire</c>.</param>
/// <param name="Record">Key and version; the value of a put.</param>
/// <param name="Cursor">Where to go on behind it.</param>
public sealed record WatchedChange(string Kind, RecordDocument Record, string Cursor);

/// <summary>A watch that can't go on.</summary>
/// <param name="outcome">Failed, or Unavailable if nobody could serve it for the client's timeout.</param>
/// <param name="error">Why; its code is <c>compacted</c> for a cursor that is too old.</param>
public sealed class WatchEndedException(CallOutcome outcome, CallError error) : Exception(error?.Message)
{
    /// <summary>How it ended.</summary>
    public CallOutcome Outcome => outcome;

    /// <summary>Why.</summary>
    public CallError Error => error;
}

/// <summary>
/// Watches records, and goes on at the next endpoint with its cursor whenever one ends, breaks or falls silent: no change is missed and
/// none comes twice. For one reader at a time.
/// </summary>
public sealed class FlotillaWatch : IDisposable
{
    /// <summary>Heartbeats come every 5 seconds: who says nothing for three of them is gone.</summary>
    private static readonly TimeSpan Silence = TimeSpan.FromSeconds(15);
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(100);

    private readonly FlotillaClientOptions _options;
    private readonly string _query;
    private readonly HttpClient _http;
    private int _endpoint;

    private FlotillaWatch(FlotillaClientOptions options, string query, string? from)
    {
        ArgumentNullException.ThrowIfNull(options);
        _options = options;
        _query = query;
        Cursor = from;
        _http = new HttpClient(new SocketsHttpHandler { ConnectTimeout = options.ConnectTimeout, UseProxy = false }) { Timeout = Timeout.InfiniteTimeSpan };
    }

    /// <summary>How far it has come: where another one may go on. Null before the first answer of one that begins now.</summary>
    public string? Cursor { get; private set; }

    /// <summary>Watches all keys that begin so; all if it is empty.</summary>
    public static FlotillaWatch Prefix(FlotillaClientOptions options, ReadOnlySpan<byte> prefix, string? from = null) => new(options, "prefix=" + Escaped(prefix), from);

    /// <summary>Watches one key.</summary>
    public static FlotillaWatch Key(FlotillaClientOptions options, ReadOnlySpan<byte> key, string? from = null) => new(options, "key=" + Escaped(key), from);

    /// <summary>The changes, until cancelled.</summary>
    /// <exception cref="WatchEndedException">It can't go on.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public async IAsyncEnumerable<WatchedChange> ReadAsync([EnumeratorCancellation] CancellationToken cancel = default)
    {
        var aliveAt = Stopwatch.GetTimestamp();
        while (true)
        {
            var (reader, error) = await ConnectAsync(cancel);
            if (reader is not null)
            {
                using (reader)
                {
                    while (await NextAsync(reader, cancel) is { } told)
                    {
                        aliveAt = Stopwatch.GetTimestamp();
                        if (told.Id is not null)
                        {
                            Cursor = told.Id;
                        }

                        if (told.Event is "put" or "delete" or "expire" && Record(told.Data) is { } record)
                        {
                            yield return new WatchedChange(told.Event, record, Cursor!);
                        }
                        else if (told.Event == "cut" && told.Data.Contains("\"reason\":\"slow\"", StringComparison.Ordinal))
                        {
                            throw new WatchEndedException(CallOutcome.Failed, new CallError("compacted", "this reader has fallen behind what the shards keep", 200));
                        }
                    }
                }

                error = new CallError("broken_connection", "the watch broke", 0);
            }
            else if (error!.Status is 400 or 410 or 404 or 501)
            {
                throw new WatchEndedException(CallOutcome.Failed, error);
            }

            if (Stopwatch.GetElapsedTime(aliveAt) > _options.Timeout)
            {
                throw new WatchEndedException(CallOutcome.Unavailable, error);
            }

            _endpoint++;
            await Task.Delay(Pause, cancel);
        }
    }

    /// <summary>Ends its connections.</summary>
    public void Dispose() => _http.Dispose();

    private static RecordDocument? Record(string data) => JsonSerializer.Deserialize(data, DocumentsJson.Default.RecordDocument);

    private static string Escaped(ReadOnlySpan<byte> bytes)
    {
        var hex = Convert.ToHexString(bytes);
        return string.Create(bytes.Length * 3, hex, static (to, hex) =>
        {
            for (var i = 0; i < hex.Length; i += 2)
            {
                (to[i / 2 * 3], to[(i / 2 * 3) + 1], to[(i / 2 * 3) + 2]) = ('%', hex[i], hex[i + 1]);
            }
        });
    }

    private async Task<(StreamReader? Reader, CallError? Error)> ConnectAsync(CancellationToken cancel)
    {
        var endpoint = _options.Endpoints[_endpoint % _options.Endpoints.Count];
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        patience.CancelAfter(_options.Timeout);
        try
        {
            var from = Cursor is { } cursor ? "&from=" + Uri.EscapeDataString(cursor) : "";
            using var request = new HttpRequestMessage(HttpMethod.Get, new Uri($"http://{endpoint}/watch?{_query}{from}", new UriCreationOptions { DangerousDisablePathAndQueryCanonicalization = true }));
            var answer = await _http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, patience.Token);
            if (answer.IsSuccessStatusCode)
            {
                return (new StreamReader(await answer.Content.ReadAsStreamAsync(patience.Token)), null);
            }

            using (answer)
            {
                return (null, ErrorOf((int)answer.StatusCode, await answer.Content.ReadAsByteArrayAsync(patience.Token)));
            }
        }
        catch (Exception e) when (e is HttpRequestException or IOException || (e is OperationCanceledException && !cancel.IsCancellationRequested))
        {
            return (null, new CallError("unreachable", $"{endpoint}: {e.Message}", 0));
        }
    }

    private static CallError ErrorOf(int status, byte[] body)
    {
        try
        {
            var problem = JsonSerializer.Deserialize(body, DocumentsJson.Default.Problem);
            return new CallError(problem?.Code ?? $"http_{status}", problem?.Detail ?? $"the server answered {status}", status);
        }
        catch (JsonException)
        {
            return new CallError($"http_{status}", $"the server answered {status}", status);
        }
    }

    /// <summary>The next event; null if the stream has ended, broken or fallen silent.</summary>
    private static async ValueTask<(string? Id, string Event, string Data)?> NextAsync(StreamReader reader, CancellationToken cancel)
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        patience.CancelAfter(Silence);
        string? id = null;
        var (name, data) = ("message", "");
        try
        {
            // An event counts once the empty line behind it has come: half of one is none.
            while (await reader.ReadLineAsync(patience.Token) is { } line)
            {
                if (line.Length == 0)
                {
                    return (id, name, data);
                }

                if (line.StartsWith("id: ", StringComparison.Ordinal))
                {
                    id = line[4..];
                }
                else if (line.StartsWith("event: ", StringComparison.Ordinal))
                {
                    name = line[7..];
                }
                else if (line.StartsWith("data: ", StringComparison.Ordinal))
                {
                    data = line[6..];
                }
            }

            return null;
        }
        catch (Exception e) when (e is IOException or HttpRequestException || (e is OperationCanceledException && !cancel.IsCancellationRequested))
        {
            return null;
        }
    }
}
