using System.Text.Json;
using System.Text.Unicode;
using Flotilla.Node;
using Flotilla.Shards;
using Flotilla.Topology.Descriptors;

namespace Flotilla.Server.Http;

/// <summary>What the answers to reads and writes of one record look like.</summary>
internal static class RecordAnswers
{
    private static readonly JsonEncodedText Key = JsonEncodedText.Encode("key");
    private static readonly JsonEncodedText KeyBase64 = JsonEncodedText.Encode("keyBase64");
    private static readonly JsonEncodedText Value = JsonEncodedText.Encode("value");
    private static readonly JsonEncodedText ValueBase64 = JsonEncodedText.Encode("valueBase64");
    private static readonly JsonEncodedText VersionName = JsonEncodedText.Encode("version");
    private static readonly JsonEncodedText Deleted = JsonEncodedText.Encode("deleted");

    /// <summary>Answers a get.</summary>
    public static Task Got(HttpExchange exchange, byte[] key, in Answer answer)
    {
        var result = answer.Result;
        Name(exchange, answer);
        if (result.Code != ResultCode.Ok)
        {
            return Failed(exchange, answer);
        }

        var version = result.Version.ToString();
        var etag = string.Concat("\"", version, "\"");
        var headers = exchange.ResponseHeaders;
        headers.ETag = etag;

        // A cache between us and the client would break linearizability.
        headers.CacheControl = "no-store";
        var request = exchange.Headers;
        if (request.IfMatch.Count != 0 && !Condition.Lists(request.IfMatch, etag, weak: false))
        {
            return exchange.Fail(Problems.VersionMismatch, Problems.Document(Problems.VersionMismatch, null, version: version));
        }

        if (request.IfNoneMatch.Count != 0 && Condition.Lists(request.IfNoneMatch, etag, weak: true))
        {
            return exchange.SendNothing(304);
        }

        if (WantsBytes(exchange))
        {
            return exchange.Send(200, "application/octet-stream", result.Value.Span);
        }

        var json = JsonScratch.Begin(out var writer);
        WriteRecord(writer, key, result.Value.Span, version);
        return exchange.Send(200, json);
    }

    /// <summary>Answers a write.</summary>
    public static Task Done(HttpExchange exchange, CommandKind kind, ReadOnlyMemory<byte> key, in Answer answer)
    {
        var result = answer.Result;
        Name(exchange, answer);
        var isDelete = kind is CommandKind.Delete or CommandKind.CompareAndDelete;
        if (result.Code != ResultCode.Ok && !(isDelete && result.Code == ResultCode.NotFound))
        {
            return Failed(exchange, answer);
        }

        var json = JsonScratch.Begin(out var writer);
        writer.WriteStartObject();
        WriteKey(writer, key.Span);
        if (isDelete)
        {
            writer.WriteBoolean(Deleted, result.Code == ResultCode.Ok);
        }
        else
        {
            var version = result.Version.ToString();
            exchange.ResponseHeaders.ETag = string.Concat("\"", version, "\"");
            if (kind == CommandKind.Increment)
            {
                WriteValue(writer, result.Value.Span);
            }

            writer.WriteString(VersionName, version);
        }

        writer.WriteEndObject();
        return exchange.Send(200, json);
    }

    /// <summary>Writes a record: <c>{"key","value","version"}</c>, with base64 for what is no UTF-8.</summary>
    public static void WriteRecord(Utf8JsonWriter writer, ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, string version)
    {
        writer.WriteStartObject();
        WriteKey(writer, key);
        WriteValue(writer, value);
        writer.WriteString(VersionName, version);
        writer.WriteEndObject();
    }

    /// <summary>Writes <c>"key"</c>, or <c>"keyBase64"</c>.</summary>
    public static void WriteKey(Utf8JsonWriter writer, ReadOnlySpan<byte> key)
    {
        if (Utf8.IsValid(key))
        {
            writer.WriteString(Key, key);
        }
        else
        {
            writer.WriteBase64String(KeyBase64, key);
        }
    }

    private static void WriteValue(Utf8JsonWriter writer, ReadOnlySpan<byte> value)
    {
        if (Utf8.IsValid(value))
        {
            writer.WriteString(Value, value);
        }
        else
        {
            writer.WriteBase64String(ValueBase64, value);
        }
    }

    /// <summary>Answers what was not read.</summary>
    public static Task Failed(HttpExchange exchange, ScanAnswer answer) =>
        Failed(exchange, new Answer(CommandResult.Of(answer.Code), answer.Shard, answer.Leader, answer.LeaderHttp, answer.Detail));

    /// <summary>Begins <c>{"items":[…]</c>, for the caller to end.</summary>
    public static JsonScratch BeginItems(HttpExchange exchange, IReadOnlyList<Data.Record> records, out Utf8JsonWriter writer)
    {
        exchange.ResponseHeaders.CacheControl = "no-store";
        var json = JsonScratch.Begin(out writer);
        writer.WriteStartObject();
        writer.WriteStartArray("items"u8);
        foreach (var record in records)
        {
            WriteRecord(writer, record.Key.Span, record.Value.Span, record.Version.ToString());
        }

        writer.WriteEndArray();
        return json;
    }

    // What the answer is worth. A refusal is of no record, so only its mode is named.
    private static void Name(HttpExchange exchange, in Answer answer)
    {
        if (answer.Mode is { } mode)
        {
            exchange.ResponseHeaders["Flotilla-Mode"] = ShardModes.NameOf(mode);
        }

        if (answer.Result.Code is ResultCode.Ok or ResultCode.NotFound or ResultCode.VersionMismatch)
        {
            exchange.ResponseHeaders["Flotilla-Consistency"] = answer.IsStale ? "stale" : "linearizable";
        }
    }

    private static Task Failed(HttpExchange exchange, in Answer answer)
    {
        var kind = Problems.Of(answer.Result.Code);
        return exchange.Fail(kind, Problems.Document(kind, answer));
    }

    /// <summary>The first of the two types that the client names wins; JSON if it names neither.</summary>
    private static bool WantsBytes(HttpExchange exchange)
    {
        foreach (var line in exchange.Headers.Accept)
        {
            var accept = line.AsSpan();
            var bytes = accept.IndexOf("application/octet-stream", StringComparison.OrdinalIgnoreCase);
            var json = accept.IndexOf("application/json", StringComparison.OrdinalIgnoreCase);
            if (bytes >= 0 || json >= 0)
            {
                return bytes >= 0 && (json < 0 || bytes < json);
            }
        }

        return false;
    }
}
