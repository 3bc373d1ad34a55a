using System.Buffers;
using System.Diagnostics;
using System.IO.Pipelines;
using System.Text;
using System.Text.Json;
using Flotilla.Contracts.Http;
using Flotilla.Node;
using Flotilla.Shards.Watching;
using Microsoft.Extensions.Logging;

namespace Flotilla.Server.Http;

/// <summary><c>GET /watch?prefix=&amp;from=</c>: changes as server-sent events (docs/watch.md). What a slow client has not read waits in the shards, not here.</summary>
/// <param name="watches">What tells of changes; null answers 501.</param>
/// <param name="options">Limits.</param>
/// <param name="logger">Where it says how watches ended.</param>
/// <param name="stopping">Cancelled when every client is to go on elsewhere.</param>
internal sealed partial class WatchRoute(IWatches? watches, HttpDoorOptions options, ILogger logger, CancellationToken stopping)
{
    /// <summary>What is written before it is flushed. A client that does not read lets nothing more be written.</summary>
    private const int FlushBytes = 32 << 10;

    /// <summary>Answers one.</summary>
    public Task Stream(HttpExchange exchange, RequestTarget target) =>
        TryRequest(exchange, target, out var request) is { } problem ? exchange.Fail(Problems.BadRequest, problem) : Stream(exchange, request);

    private string? TryRequest(HttpExchange exchange, RequestTarget target, out WatchRequest request)
    {
        const Parameters known = Parameters.Key | Parameters.KeyBase64 | Parameters.Prefix | Parameters.From | Parameters.Forward;
        request = new WatchRequest(default, null);
        if (!QueryParameters.TryParse(target.Query, known, strict: true, out var query, out var problem)
            || (problem = CallParameters.TryParse(query, options, out var call)) is not null)
        {
            return problem;
        }

        if ((query.Has(Parameters.Key) ? 1 : 0) + (query.Has(Parameters.KeyBase64) ? 1 : 0) + (query.Has(Parameters.Prefix) ? 1 : 0) > 1)
        {
            return "Only one of key, keyBase64 and prefix can be watched.";
        }

        byte[]? bytes = [];
        if (query.Has(Parameters.KeyBase64) ? !PercentEncoding.TryDecodeBase64(query.KeyBase64, out bytes) : !PercentEncoding.TryDecode(query.Has(Parameters.Key) ? query.Key : query.Prefix, plusIsSpace: true, out bytes))
        {
            return "The key or prefix is not encoded as it should be: a % must be followed by two hex digits, and base64 be base64.";
        }

        var isKey = query.Has(Parameters.Key) || query.Has(Parameters.KeyBase64);
        if (isKey && bytes.Length == 0)
        {
            return "An empty key is never written: leave it out to watch everything.";
        }

        if (bytes.Length > options.MaxKeyBytes)
        {
            return "It is longer than any key may be.";
        }

        if (!PercentEncoding.TryDecode(query.From, plusIsSpace: false, out var given))
        {
            return "\"from\" is no cursor that a watch gave.";
        }

        // A browser that connects again repeats the address that it began with, and says in the header how far it came since.
        var from = exchange.Headers["Last-Event-ID"] is [{ Length: > 0 } last] ? last : Encoding.Latin1.GetString(given);
        request = new WatchRequest(new EventFilter(bytes, isKey), from.Length == 0 ? null : from, call.Forward);
        return null;
    }

    private async Task Stream(HttpExchange exchange, WatchRequest request)
    {
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(stopping, exchange.Gone);
        try
        {
            var opening = await watches!.OpenAsync(request, ended.Token);
            if (opening.Stream is null)
            {
                await Refuse(exchange, opening);
                return;
            }

            await using var stream = opening.Stream;
            exchange.ResponseHeaders.CacheControl = "no-store";
            exchange.ResponseHeaders["X-Accel-Buffering"] = "no";
            var output = await exchange.Begin(200, "text/event-stream");
            output.Write("retry: 500\n"u8);
            await Send(stream, output, ended.Token);
            if (!exchange.ClientIsGone)
            {
                Cut(output, stream);
                await output.FlushAsync(exchange.Gone);
            }
        }
        catch (OperationCanceledException) when (exchange.ClientIsGone)
        {
            // That is how watches end.
        }
        catch (Exception e)
        {
            if (!exchange.ClientIsGone)
            {
                LogBroken(logger, e);
            }

            exchange.Abort();
        }
    }

    /// <summary>Sends events, and heartbeats between them, until there are no more or somebody leaves.</summary>
    private async Task Send(IWatchStream stream, PipeWriter output, CancellationToken ended)
    {
        var beatAt = Stopwatch.GetTimestamp();
        Heartbeat(output, stream);
        while (!ended.IsCancellationRequested)
        {
            if (stream.TryTake() is { } first)
            {
                long written = Write(output, first);
                while (written < FlushBytes && stream.TryTake() is { } next)
                {
                    written += Write(output, next);
                }
            }
            else if (stream.End != WatchEnd.None)
            {
                return;
            }

            if (Stopwatch.GetElapsedTime(beatAt) >= options.WatchHeartbeat)
            {
                beatAt = Stopwatch.GetTimestamp();
                Heartbeat(output, stream);
            }

            // The wait is cancelled, what is being sent to a client that is still there is not.
            if ((await output.FlushAsync(CancellationToken.None)).IsCompleted)
            {
                return;
            }

            var patience = options.WatchHeartbeat - Stopwatch.GetElapsedTime(beatAt);
            if (patience > TimeSpan.Zero)
            {
                await WaitAsync(stream, patience, ended);
            }
        }
    }

    private static async ValueTask WaitAsync(IWatchStream stream, TimeSpan patience, CancellationToken ended)
    {
        try
        {
            await stream.WaitAsync(patience, ended);
        }
        catch (OperationCanceledException) when (ended.IsCancellationRequested)
        {
            // The caller sees it.
        }
    }

    private static Task Refuse(HttpExchange exchange, WatchOpening opening)
    {
        var kind = opening.Outcome switch
        {
            WatchOutcome.BadCursor => Problems.BadRequest,
            WatchOutcome.Compacted => Problems.Compacted,
            WatchOutcome.NoQuorum => Problems.NoQuorum,
            WatchOutcome.NotLeader => Problems.NotLeader,
            WatchOutcome.Overloaded => Problems.Overloaded,
            _ => Problems.Internal,
        };
        return exchange.Fail(kind, Problems.Document(kind, opening.Detail, kind == Problems.NotLeader ? new LeaderHint(opening.Leader.Value, opening.LeaderHttp) : null));
    }

    private static int Write(PipeWriter output, WatchEvent read)
    {
        var json = JsonScratch.Begin(out var writer);
        if (read.Kind == ShardEventKind.Put)
        {
            RecordAnswers.WriteRecord(writer, read.Key.Span, read.Value.Span, read.Version.ToString());
        }
        else
        {
            writer.WriteStartObject();
            RecordAnswers.WriteKey(writer, read.Key.Span);
            writer.WriteString("version"u8, read.Version.ToString());
            writer.WriteEndObject();
        }

        return Write(output, read.Cursor, read.Kind switch { ShardEventKind.Put => "put"u8, ShardEventKind.Delete => "delete"u8, _ => "expire"u8 }, json);
    }

    private static void Heartbeat(PipeWriter output, IWatchStream stream)
    {
        var json = JsonScratch.Begin(out var writer);
        writer.WriteStartObject();
        writer.WriteString("cursor"u8, stream.Cursor);
        writer.WriteStartArray("leaderless"u8);
        foreach (var shard in stream.Leaderless)
        {
            writer.WriteNumberValue(shard.Value);
        }

        writer.WriteEndArray();
        writer.WriteEndObject();
        Write(output, stream.Cursor, "heartbeat"u8, json);
    }

    private void Cut(PipeWriter output, IWatchStream stream)
    {
        var (reason, detail) = stream.End switch
        {
            WatchEnd.Slow => ("slow", "The shards do not keep all events behind this cursor any more: this reader has fallen behind. Read the records anew, and watch from now."),
            WatchEnd.Failed => ("failed", "This node met a defect; its log says which. Go on at another node with the cursor."),
            _ => ("stopping", "This node stops. Go on at another node with the cursor."),
        };
        var json = JsonScratch.Begin(out var writer);
        writer.WriteStartObject();
        writer.WriteString("reason"u8, reason);
        writer.WriteString("cursor"u8, stream.Cursor);
        writer.WriteString("detail"u8, detail);
        writer.WriteEndObject();
        Write(output, stream.Cursor, "cut"u8, json);
        LogCut(logger, reason);
    }

    // JSON has no line breaks outside of escapes, so each field is one line.
    private static int Write(PipeWriter output, string cursor, ReadOnlySpan<byte> name, JsonScratch json)
    {
        var data = json.Written;
        output.Write("id: "u8);
        Encoding.ASCII.GetBytes(cursor, output);
        output.Write("\nevent: "u8);
        output.Write(name);
        output.Write("\ndata: "u8);
        output.Write(data);
        output.Write("\n\n"u8);
        return cursor.Length + data.Length + 32;
    }

    [LoggerMessage(1014, LogLevel.Error, "A watch met a defect; its client's connection was cut and it goes on elsewhere. Please report it with this line.")]
    private static partial void LogBroken(ILogger logger, Exception exception);

    [LoggerMessage(1015, LogLevel.Information, "A watch was ended ({Reason}): its client was told to go on with its cursor, or anew.")]
    private static partial void LogCut(ILogger logger, string reason);
}
