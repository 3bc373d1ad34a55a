using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Text;
using System.Text.Json;
using Flotilla.Contracts;
using Flotilla.Contracts.Http;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Logging;

namespace Flotilla.Cli.Tests.Fakes;

/// <summary>One request as the fake server saw it.</summary>
public sealed record Seen(string Method, string Key, string Target, byte[] Body, IHeaderDictionary Headers);

/// <summary>What a script makes of a request instead of, or around, the ordinary answer.</summary>
public abstract record Twist
{
    /// <summary>Answers with this problem, and does nothing.</summary>
    public sealed record Refuse(int Status, string Code, string? Leader = null, string? RetryAfter = null, long? LogTimeMs = null, string? Detail = null, IReadOnlyList<ShardChangeDocument>? Shards = null) : Twist;

    /// <summary>Closes the connection; before that carries the request out, or not.</summary>
    public sealed record Break(bool Apply) : Twist;

    /// <summary>Carries the request out, or not, and answers nothing until the server ends.</summary>
    public sealed record Hang(bool Apply) : Twist;

    /// <summary>Answers late, when the task is done.</summary>
    public sealed record Wait(Task Until) : Twist;
}

/// <summary>
/// A server that speaks the documented routes over an in-memory store, on a free loopback port. <see cref="Script"/> looks at
/// each request first.
/// </summary>
public sealed class FakeServer : IAsyncDisposable
{
    private readonly WebApplication _app;
    private readonly CancellationTokenSource _stop = new();
    private readonly SortedDictionary<string, (byte[] Value, int Version)> _records = new(StringComparer.Ordinal);
    private readonly Dictionary<string, (int Status, string? ETag, byte[] Body)> _kept = new(StringComparer.Ordinal);
    private readonly Lock _gate = new();
    private int _version;

    private FakeServer(WebApplication app) => _app = app;

    public HostPort Address { get; private set; }

    public string Url => $"http://{Address}";

    public ConcurrentQueue<Seen> Requests { get; } = new();

    public ConcurrentQueue<(string Key, string Value)> Applied { get; } = new();

    public Func<Seen, Twist?> Script { get; set; } = _ => null;

    public ConfigDocument Config { get; set; } = new([], []);

    public StatusDocument? Status { get; set; }

    public RaftStatusDocument? Raft { get; set; }

    /// <summary>The state of a shard, for a backup; null for none.</summary>
    public Func<int, byte[]>? Backup { get; set; }

    /// <summary>How a change stands, one question after the other; the last answer stays.</summary>
    public ConcurrentQueue<ChangeDocument> Changes { get; } = new();

    /// <summary>The answer to a shard that is added or removed.</summary>
    public ShardLifeDocument Life { get; set; } = new(4, "joining", "n2", "shard 4 is born at n2");

    public int Count
    {
        get
        {
            lock (_gate)
            {
                return _records.Count;
            }
        }
    }

    public static async Task<FakeServer> StartAsync(int port = 0)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(k => k.Listen(IPAddress.Loopback, port));
        var server = new FakeServer(builder.Build());
        server._app.Run(server.HandleAsync);
        await server._app.StartAsync();
        server.Address = new HostPort("127.0.0.1", new Uri(server._app.Urls.First()).Port);
        return server;
    }

    /// <summary>A loopback port on which nothing listens.</summary>
    public static int FreePort()
    {
        using var listener = new System.Net.Sockets.TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    public string? Get(string key)
    {
        lock (_gate)
        {
            return _records.TryGetValue(key, out var record) ? Encoding.UTF8.GetString(record.Value) : null;
        }
    }

    public void Set(string key, byte[] value)
    {
        lock (_gate)
        {
            _records[key] = (value, ++_version);
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        using var soon = new CancellationTokenSource(TimeSpan.FromMilliseconds(200));
        await _app.StopAsync(soon.Token);
        await _app.DisposeAsync();
        _stop.Dispose();
    }

    private async Task HandleAsync(HttpContext context)
    {
        var target = context.Features.Get<IHttpRequestFeature>()!.RawTarget;
        using var body = new MemoryStream();
        await context.Request.Body.CopyToAsync(body);
        var path = target.Split('?')[0];
        var key = path.StartsWith("/kv/", StringComparison.Ordinal) ? Uri.UnescapeDataString(path[4..]) : "";
        if (context.Request.Query["keyBase64"] is [{ } base64])
        {
            key = Encoding.UTF8.GetString(Convert.FromBase64String(base64));
        }

        var seen = new Seen(context.Request.Method, key, target, body.ToArray(), new HeaderDictionary(context.Request.Headers.ToDictionary(StringComparer.OrdinalIgnoreCase)));
        Requests.Enqueue(seen);
        if (path == "/backup" && Backup is { } backup)
        {
            await context.Response.Body.WriteAsync(backup(int.Parse(context.Request.Query["shard"]!, CultureInfo.InvariantCulture)));
            return;
        }

        switch (Script(seen))
        {
            case Twist.Refuse refuse:
                if (refuse.RetryAfter is { } seconds)
                {
                    context.Response.Headers.RetryAfter = seconds;
                }

                await ProblemAsync(context, refuse.Status, refuse.Code, refuse.Leader, logTimeMs: refuse.LogTimeMs, detail: refuse.Detail, shards: refuse.Shards);
                return;
            case Twist.Break broken:
                if (broken.Apply)
                {
                    _ = Execute(seen, context);
                }

                context.Abort();
                return;
            case Twist.Hang hang:
                if (hang.Apply)
                {
                    _ = Execute(seen, context);
                }

                await Task.WhenAny(Task.Delay(Timeout.Infinite, _stop.Token), Task.Delay(Timeout.Infinite, context.RequestAborted));
                context.Abort();
                return;
            case Twist.Wait wait:
                await wait.Until;
                break;
            default:
                break;
        }

        await Execute(seen, context);
    }

    /// <summary>Carries a request out; one that comes again under its key gets the first answer.</summary>
    private async Task Execute(Seen seen, HttpContext context)
    {
        var name = context.Request.Headers["Idempotency-Key"].ToString().Split(';')[0];
        if (name.Length == 0)
        {
            await Carry(seen, context);
            return;
        }

        bool known;
        (int Status, string? ETag, byte[] Body) kept;
        lock (_gate)
        {
            known = _kept.TryGetValue(name, out kept);
            if (!known)
            {
                // The whole of it at once, so that the same request coming twice at a time is carried out once.
                var wire = context.Response.Body;
                using var answer = new MemoryStream();
                context.Response.Body = answer;
                Carry(seen, context).GetAwaiter().GetResult();
                context.Response.Body = wire;
                kept = (context.Response.StatusCode, context.Response.Headers.ETag, answer.ToArray());
                _kept.Add(name, kept);
            }
        }

        if (known)
        {
            context.Response.StatusCode = kept.Status;
            context.Response.Headers.ETag = kept.ETag;
        }

        await context.Response.Body.WriteAsync(kept.Body);
    }

    private Task Carry(Seen seen, HttpContext context)
    {
        if (key(seen).Length == 0)
        {
            return seen.Target.Split('?')[0] switch
            {
                "/kv" => ListAsync(context),
                "/config" => JsonAsync(context, Config, DocumentsJson.Default.ConfigDocument),
                "/status" when Status is { } status => JsonAsync(context, status, DocumentsJson.Default.StatusDocument),
                "/raft/status" when Raft is { } raft => JsonAsync(context, raft, DocumentsJson.Default.RaftStatusDocument),
                "/readyz" => Task.CompletedTask,
                "/addshard" or "/removeshard" => JsonAsync(context, Life, DocumentsJson.Default.ShardLifeDocument),
                "/raft/join" or "/raft/leave" or "/raft/transfer" or "/raft/snapshot" or "/config/mode" when (Changes.Count > 1 ? Changes.TryDequeue(out var change) : Changes.TryPeek(out change)) =>
                    JsonAsync(context, change, DocumentsJson.Default.ChangeDocument),
                _ => ProblemAsync(context, 404, "unknown_route", null),
            };
        }

        lock (_gate)
        {
            var found = _records.TryGetValue(seen.Key, out var record);
            var ifMatch = context.Request.Headers.IfMatch.ToString().Trim('"');
            if ((ifMatch.Length > 0 && (!found || ifMatch != $"1.0.{record.Version}.0")) || (context.Request.Headers.IfNoneMatch == "*" && found))
            {
                return ProblemAsync(context, 412, "version_mismatch", null, found ? $"1.0.{record.Version}.0" : null);
            }

            switch (seen.Method)
            {
                case "PUT":
                    var value = seen.Body;
                    if (context.Request.ContentType == "application/json")
                    {
                        var put = JsonSerializer.Deserialize(seen.Body, DocumentsJson.Default.PutRequest)!;
                        value = put.ValueBase64 is { } base64 ? Convert.FromBase64String(base64) : Encoding.UTF8.GetBytes(put.Value!);
                    }

                    _records[seen.Key] = (value, ++_version);
                    Applied.Enqueue((seen.Key, Encoding.UTF8.GetString(value)));
                    context.Response.Headers.ETag = $"\"1.0.{_version}.0\"";
                    return JsonAsync(context, new PutResponse(seen.Key, null, $"1.0.{_version}.0"), DocumentsJson.Default.PutResponse);
                case "POST":
                    var delta = JsonDocument.Parse(seen.Body).RootElement.GetProperty("increment").GetInt64();
                    var sum = (found ? long.Parse(Encoding.UTF8.GetString(record.Value)) : 0) + delta;
                    _records[seen.Key] = (Encoding.UTF8.GetBytes($"{sum}"), ++_version);
                    Applied.Enqueue((seen.Key, $"{sum}"));
                    return JsonAsync(context, new RecordDocument(seen.Key, null, $"{sum}", null, $"1.0.{_version}.0"), DocumentsJson.Default.RecordDocument);
                case "DELETE":
                    Applied.Enqueue((seen.Key, ""));
                    return JsonAsync(context, new DeleteResponse(seen.Key, null, _records.Remove(seen.Key)), DocumentsJson.Default.DeleteResponse);
                case "GET" when !found:
                    return ProblemAsync(context, 404, "not_found", null);
                default:
                    context.Response.Headers.ETag = $"\"1.0.{record.Version}.0\"";
                    return context.Response.Body.WriteAsync(record.Value).AsTask();
            }
        }

        static string key(Seen seen) => seen.Key;
    }

    private Task ListAsync(HttpContext context)
    {
        if (context.Request.Query["keys"].ToString() is { Length: > 0 } keys)
        {
            lock (_gate)
            {
                var found = keys.Split(',').ToLookup(_records.ContainsKey);
                var records = found[true].Select(key => new RecordDocument(key, null, Encoding.UTF8.GetString(_records[key].Value), null, $"1.0.{_records[key].Version}.0")).ToList();
                return JsonAsync(context, new TogetherResponse(records, [.. found[false].Select(static key => new KeyDocument(key, null))]), DocumentsJson.Default.TogetherResponse);
            }
        }

        var prefix = context.Request.Query["prefix"].ToString();
        var from = context.Request.Query["cursor"].ToString();
        var limit = int.Parse(context.Request.Query["limit"].ToString());
        List<KeyValuePair<string, (byte[] Value, int Version)>> page;
        lock (_gate)
        {
            page = _records.Where(r => r.Key.StartsWith(prefix, StringComparison.Ordinal) && string.CompareOrdinal(r.Key, from) >= 0).Take(limit + 1).ToList();
        }

        var items = page.Take(limit).Select(r => System.Text.Unicode.Utf8.IsValid(r.Value.Value)
            ? new RecordDocument(r.Key, null, Encoding.UTF8.GetString(r.Value.Value), null, $"1.0.{r.Value.Version}.0")
            : new RecordDocument(r.Key, null, null, Convert.ToBase64String(r.Value.Value), $"1.0.{r.Value.Version}.0")).ToList();
        return JsonAsync(context, new ListResponse(items, page.Count > limit ? page[^1].Key : null), DocumentsJson.Default.ListResponse);
    }

    private static Task ProblemAsync(HttpContext context, int status, string code, string? leader, string? version = null, long? logTimeMs = null, string? detail = null, IReadOnlyList<ShardChangeDocument>? shards = null)
    {
        context.Response.StatusCode = status;
        return JsonAsync(context, new Problem("about:blank", code, status, detail ?? $"scripted {code}", code, leader is null ? null : new LeaderHint("n2", leader), version, logTimeMs, shards), DocumentsJson.Default.Problem);
    }

    private static Task JsonAsync<T>(HttpContext context, T document, System.Text.Json.Serialization.Metadata.JsonTypeInfo<T> type)
    {
        context.Response.ContentType = context.Response.StatusCode < 400 ? "application/json" : "application/problem+json";
        return context.Response.WriteAsync(JsonSerializer.Serialize(document, type));
    }
}
