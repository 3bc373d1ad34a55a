using System.Globalization;
using System.Runtime.CompilerServices;
using System.Text;
using System.Text.Json;
using Flotilla.Contracts;
using Flotilla.Contracts.Http;

namespace Flotilla.Client;

/// <summary>
/// A client of a Flotilla cluster over HTTP: keeps connections, fails over between endpoints, sends calls again such that a
/// write takes effect once, and says <see cref="CallOutcome.Unknown"/> of a write rather than guess. Thread-safe; make one
/// per cluster and keep it.
/// </summary>
/// <remarks>
/// <para>A write whose outcome is unknown (the connection broke, nobody answered in time, 504) is sent again within the
/// call's time, to another endpoint if there is one, under the same <c>Idempotency-Key</c>, which the client draws for each
/// call (<see cref="FlotillaClientOptions.ExactlyOnce"/>). So increments and conditional writes give the result of their one
/// execution, however many answers were lost: a lost compare-and-swap ends as Ok with its version, not as a mismatch with
/// itself. <see cref="CallOutcome.Unknown"/> is left for a write that nobody could tell the end of in its time. To call again
/// after that is a new write, under a new key.</para>
/// Outcomes that a caller can meet are values, never exceptions. Cancelling a call throws
/// <see cref="OperationCanceledException"/> if nothing was sent or it was a read; a write under way ends as
/// <see cref="CallOutcome.Unknown"/> with the code <c>interrupted</c>.
/// </remarks>
public sealed class FlotillaClient : IDisposable
{
    private readonly RequestSender _sender;

    /// <summary>Makes a client; connects only when something is asked.</summary>
    public FlotillaClient(FlotillaClientOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        _sender = new RequestSender(options);
    }

    /// <summary>Writes a value, under conditions if wished.</summary>
    public ValueTask<WriteResult> PutAsync(ReadOnlyMemory<byte> key, ReadOnlyMemory<byte> value, PutOptions? options = null, CancellationToken cancel = default)
    {
        var request = new KvRequest { Method = "PUT", Key = key, Body = value, IfMatch = options?.IfVersion, IfAbsent = options?.IfAbsent ?? false };
        if (options?.TimeToLive is { } life)
        {
            // Only the JSON form of the body has a place for it.
            var document = TryText(value.Span, out var text) ? new PutRequest(text, null, life.TotalSeconds) : new PutRequest(null, Convert.ToBase64String(value.Span), life.TotalSeconds);
            request = request with { Body = JsonSerializer.SerializeToUtf8Bytes(document, DocumentsJson.Default.PutRequest), ContentType = KvRequest.Json };
        }

        return _sender.SendAsync(
            request,
            static response => new WriteResult(CallOutcome.Ok, response.ETag ?? JsonSerializer.Deserialize(response.Body.Span, DocumentsJson.Default.PutResponse)?.Version, null),
            static (outcome, error, version) => new WriteResult(outcome, version, error),
            cancel);
    }

    /// <summary>Adds what another cluster knew of writes with idempotency keys, so that they are not executed again here: for a restore of a backup.</summary>
    /// <param name="key">Any key of the slot that all of them belong to; its record is left alone.</param>
    /// <param name="keys">The keys, as a backup has them.</param>
    /// <param name="cancel">Ends the call.</param>
    public ValueTask<WriteResult> PutIdempotencyKeysAsync(ReadOnlyMemory<byte> key, ReadOnlyMemory<byte> keys, CancellationToken cancel = default) => _sender.SendAsync(
        new KvRequest { Method = "PUT", Key = key, Body = keys, ContentType = "application/vnd.flotilla.idempotency-keys", IsRepeatable = true },
        static response => new WriteResult(CallOutcome.Ok, response.ETag, null),
        static (outcome, error, version) => new WriteResult(outcome, version, error),
        cancel);

    /// <summary>Reads a value: linearizable, or with <paramref name="stale"/> whatever the node asked has applied.</summary>
    public ValueTask<GetResult> GetAsync(ReadOnlyMemory<byte> key, bool stale = false, CancellationToken cancel = default) => _sender.SendAsync(
        new KvRequest { Method = "GET", Key = key, Stale = stale, RawAnswer = true },
        static response => new GetResult(CallOutcome.Ok, response.Body.ToArray(), response.ETag, null),
        static (outcome, error, version) => new GetResult(outcome, default, version, error),
        cancel);

    /// <summary>Removes a record, if wished only exactly one version of it. <see cref="CallOutcome.NotFound"/> if there was none.</summary>
    public ValueTask<WriteResult> DeleteAsync(ReadOnlyMemory<byte> key, string? ifVersion = null, CancellationToken cancel = default) => _sender.SendAsync(
        new KvRequest { Method = "DELETE", Key = key, IfMatch = ifVersion },
        static response => JsonSerializer.Deserialize(response.Body.Span, DocumentsJson.Default.DeleteResponse) is { Deleted: false }
            ? new WriteResult(CallOutcome.NotFound, null, new CallError("not_found", "there was no such record", 200))
            : new WriteResult(CallOutcome.Ok, null, null),
        static (outcome, error, version) => new WriteResult(outcome, version, error),
        cancel);

    /// <summary>One ordered page of the records whose keys begin with <paramref name="prefix"/>; go on with its cursor.</summary>
    /// <param name="prefix">Empty for all.</param>
    /// <param name="limit">At most so many, 1 to 10,000.</param>
    /// <param name="cursor">The last page's, or null for the first.</param>
    /// <param name="cancel">Ends the call.</param>
    public async ValueTask<DocumentResult<ListResponse>> ListAsync(ReadOnlyMemory<byte> prefix, int limit, string? cursor = null, CancellationToken cancel = default)
    {
        var path = $"/kv?prefix={KvRequest.EscapeQuery(prefix.Span)}&limit={limit}";
        var page = await DocumentAsync(cursor is null ? path : $"{path}&cursor={Uri.EscapeDataString(cursor)}", DocumentsJson.Default.ListResponse, cancel);
        return page.Document is { Items: null }
            ? new DocumentResult<ListResponse>(CallOutcome.Failed, null, new CallError("bad_answer", "the page has no items: is this a Flotilla node?", 200))
            : page;
    }

    /// <summary>Reads several records at one moment; those that are not there are among Missing. All keys must be of one shard, as those with one hash tag are (<c>cross_shard</c> otherwise).</summary>
    /// <param name="keys">1 to 1000.</param>
    /// <param name="stale">Whatever the node asked has applied.</param>
    /// <param name="cancel">Ends the call.</param>
    public ValueTask<DocumentResult<TogetherResponse>> GetManyAsync(IReadOnlyList<ReadOnlyMemory<byte>> keys, bool stale = false, CancellationToken cancel = default) => DocumentAsync(
        $"/kv?keys={string.Join(',', keys.Select(static key => KvRequest.EscapeQuery(key.Span)))}{(stale ? "&consistency=stale" : "")}", DocumentsJson.Default.TogetherResponse, cancel);

    /// <summary>All pages one after the other. Ends with the first page that failed.</summary>
    public async IAsyncEnumerable<DocumentResult<ListResponse>> ScanAsync(ReadOnlyMemory<byte> prefix, int pageSize = 1000, [EnumeratorCancellation] CancellationToken cancel = default)
    {
        string? cursor = null;
        do
        {
            var page = await ListAsync(prefix, pageSize, cursor, cancel);
            yield return page;
            cursor = page.Document?.Cursor;
        }
        while (cursor is not null);
    }

    /// <summary>Adds to a decimal number; a record that is not there counts as 0. Never adds twice, whatever is lost on the way.</summary>
    public ValueTask<IncrementResult> IncrementAsync(ReadOnlyMemory<byte> key, long delta = 1, CancellationToken cancel = default) => _sender.SendAsync(
        new KvRequest { Method = "POST", Key = key, Body = Encoding.ASCII.GetBytes($"{{\"increment\":{delta}}}"), ContentType = KvRequest.Json },
        static response => long.TryParse(JsonSerializer.Deserialize(response.Body.Span, DocumentsJson.Default.RecordDocument)?.Value, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var value)
            ? new IncrementResult(CallOutcome.Ok, value, null)
            : new IncrementResult(CallOutcome.Unknown, 0, new CallError("bad_answer", "the answer has no number", response.Status)),
        static (outcome, error, _) => new IncrementResult(outcome, 0, error),
        cancel);

    /// <summary><c>GET /status</c>.</summary>
    public ValueTask<DocumentResult<StatusDocument>> StatusAsync(CancellationToken cancel = default) => DocumentAsync("/status", DocumentsJson.Default.StatusDocument, cancel);

    /// <summary><c>GET /config</c>.</summary>
    public ValueTask<DocumentResult<ConfigDocument>> ConfigAsync(CancellationToken cancel = default) => DocumentAsync("/config", DocumentsJson.Default.ConfigDocument, cancel);

    /// <summary><c>GET /raft/status</c>: the replicas of the node asked. Give the client that node as its only endpoint.</summary>
    public ValueTask<DocumentResult<RaftStatusDocument>> RaftStatusAsync(CancellationToken cancel = default) => DocumentAsync("/raft/status", DocumentsJson.Default.RaftStatusDocument, cancel);

    /// <summary>True if the node asked says that it is ready (<c>/readyz</c>). One attempt, no retries beyond the client's timeout.</summary>
    public async ValueTask<bool> IsReadyAsync(CancellationToken cancel = default) => await _sender.SendAsync(
        new KvRequest { Method = "GET", Path = "/readyz" }, static _ => true, static (_, _, _) => false, cancel);

    /// <summary>Makes a node a voter, as a learner first: <c>POST /raft/join</c>. Not done after <paramref name="wait"/>, it goes on by itself; ask again to learn how it stands.</summary>
    /// <param name="node">The node; it must run, and be of this cluster.</param>
    /// <param name="address">Its RPC address.</param>
    /// <param name="shard">The only shard that is meant; null for every shard.</param>
    /// <param name="wait">How long the server waits, 30 s at most; shorter than <see cref="FlotillaClientOptions.ReadAttemptTimeout"/>.</param>
    /// <param name="cancel">Ends the call.</param>
    public ValueTask<DocumentResult<ChangeDocument>> AddNodeAsync(string node, HostPort address, int? shard, TimeSpan wait, CancellationToken cancel = default) =>
        ChangeAsync("join", $"nodeid={Uri.EscapeDataString(node)}&addr={Uri.EscapeDataString(address.ToString())}&{ShardOf(shard)}", wait, cancel);

    /// <summary>Takes a node's seats away: <c>POST /raft/leave</c>. Otherwise as <see cref="AddNodeAsync"/>.</summary>
    public ValueTask<DocumentResult<ChangeDocument>> RemoveNodeAsync(string node, int? shard, TimeSpan wait, CancellationToken cancel = default) =>
        ChangeAsync("leave", $"nodeid={Uri.EscapeDataString(node)}&{ShardOf(shard)}", wait, cancel);

    /// <summary>Has another voter lead a shard, whoever is most caught up if none is named: <c>POST /raft/transfer</c>. Otherwise as <see cref="AddNodeAsync"/>.</summary>
    public ValueTask<DocumentResult<ChangeDocument>> TransferLeadershipAsync(int shard, string? node, TimeSpan wait, CancellationToken cancel = default) =>
        ChangeAsync("transfer", node is null ? ShardOf(shard) : $"nodeid={Uri.EscapeDataString(node)}&{ShardOf(shard)}", wait, cancel);

    /// <summary>Adds a shard, which takes its slots by itself: <c>GET /addshard</c>.</summary>
    /// <param name="shard">Its number, never used before.</param>
    /// <param name="address">The HTTP or RPC address of the node where it is born; null for the one with the fewest replicas.</param>
    /// <param name="cancel">Ends the call.</param>
    public ValueTask<DocumentResult<ShardLifeDocument>> AddShardAsync(int shard, HostPort? address, CancellationToken cancel = default) => DocumentAsync(
        address is null ? $"/addshard?shardID={shard}" : $"/addshard?shardID={shard}&shardAddress={Uri.EscapeDataString(address.Value.ToString())}", DocumentsJson.Default.ShardLifeDocument, cancel);

    /// <summary>Removes a shard, which hands its slots over and retires by itself: <c>GET /removeshard</c>.</summary>
    public ValueTask<DocumentResult<ShardLifeDocument>> RemoveShardAsync(int shard, CancellationToken cancel = default) =>
        DocumentAsync($"/removeshard?shardID={shard}", DocumentsJson.Default.ShardLifeDocument, cancel);

    /// <summary>Has shards replicate in another mode, <c>raft</c> or <c>sync</c>: <c>PUT /config/mode</c>. Otherwise as <see cref="AddNodeAsync"/>.</summary>
    public ValueTask<DocumentResult<ChangeDocument>> SetModeAsync(string mode, int? shard, TimeSpan wait, CancellationToken cancel = default) => ChangeAsync(
        new KvRequest
        {
            Method = "PUT",
            Path = string.Create(CultureInfo.InvariantCulture, $"/config/mode?waitSeconds={wait.TotalSeconds:0.###}"),
            Body = JsonSerializer.SerializeToUtf8Bytes(new ModeRequest(mode, shard is { } number ? [number] : null), DocumentsJson.Default.ModeRequest),
            ContentType = KvRequest.Json,
            IsRepeatable = true,
        },
        cancel);

    /// <summary>Has leaders take snapshots: <c>POST /raft/snapshot</c>. Otherwise as <see cref="AddNodeAsync"/>.</summary>
    public ValueTask<DocumentResult<ChangeDocument>> SnapshotAsync(int? shard, TimeSpan wait, CancellationToken cancel = default) =>
        ChangeAsync("snapshot", ShardOf(shard), wait, cancel);

    /// <inheritdoc/>
    public void Dispose() => _sender.Dispose();

    private static string ShardOf(int? shard) => string.Create(CultureInfo.InvariantCulture, $"shard={(shard is { } number ? number : "all")}");

    private ValueTask<DocumentResult<ChangeDocument>> ChangeAsync(string what, string fields, TimeSpan wait, CancellationToken cancel) => DocumentAsync(
        string.Create(CultureInfo.InvariantCulture, $"/raft/{what}?{fields}&waitSeconds={wait.TotalSeconds:0.###}"), DocumentsJson.Default.ChangeDocument, cancel, isChange: true);

    private ValueTask<DocumentResult<ChangeDocument>> ChangeAsync(KvRequest request, CancellationToken cancel) => DocumentAsync(request, DocumentsJson.Default.ChangeDocument, cancel);

    private ValueTask<DocumentResult<T>> DocumentAsync<T>(string path, System.Text.Json.Serialization.Metadata.JsonTypeInfo<T> type, CancellationToken cancel, bool isChange = false)
        where T : class => DocumentAsync(new KvRequest { Method = isChange ? "POST" : "GET", Path = path, IsRepeatable = isChange }, type, cancel);

    private ValueTask<DocumentResult<T>> DocumentAsync<T>(KvRequest request, System.Text.Json.Serialization.Metadata.JsonTypeInfo<T> type, CancellationToken cancel)
        where T : class => _sender.SendAsync(
            request,
            response => JsonSerializer.Deserialize(response.Body.Span, type) is { } document
                ? new DocumentResult<T>(CallOutcome.Ok, document, null)
                : new DocumentResult<T>(CallOutcome.Failed, null, new CallError("bad_answer", "the answer is empty", response.Status)),
            static (outcome, error, _) => new DocumentResult<T>(outcome, null, error),
            cancel);

    private static bool TryText(ReadOnlySpan<byte> bytes, out string text)
    {
        text = "";
        if (!System.Text.Unicode.Utf8.IsValid(bytes))
        {
            return false;
        }

        text = Encoding.UTF8.GetString(bytes);
        return true;
    }
}
