using Flotilla.Node;
using Flotilla.Shards;
using Microsoft.Extensions.Logging;

namespace Flotilla.Server.Http;

/// <summary><c>GET /kv?keys=a,b</c>: several records of one shard, all of one moment.</summary>
internal sealed partial class TogetherRoute(IGateway gateway, HttpDoorOptions options, ILogger logger)
{
    /// <summary>Answers with what is there, and with the keys of what is not.</summary>
    public Task Answer(HttpExchange exchange, RequestTarget target)
    {
        if (TryRead(target.Query, out var keys, out var call) is { } problem)
        {
            return exchange.Fail(Problems.BadRequest, problem);
        }

        return keys.Exists(key => key.Length > options.MaxKeyBytes)
            ? exchange.Fail(Problems.TooLarge, $"A key has more than {options.MaxKeyBytes} bytes.")
            : Read(exchange, keys, call);
    }

    private async Task Read(HttpExchange exchange, List<ReadOnlyMemory<byte>> keys, CallOptions call)
    {
        ScanAnswer answer;
        try
        {
            answer = await gateway.GetManyAsync(keys, call);
        }
        catch (Exception e)
        {
            LogGatewayThrew(logger, e);
            await exchange.Fail(Problems.Internal);
            return;
        }

        await Reply(exchange, keys, answer);
    }

    private string? TryRead(ReadOnlySpan<char> text, out List<ReadOnlyMemory<byte>> keys, out CallOptions call)
    {
        const Parameters known = Parameters.Keys | Parameters.Forward | Parameters.Consistency;
        keys = [];
        call = default;
        if (!QueryParameters.TryParse(text, known, strict: true, out var query, out var problem)
            || (problem = CallParameters.TryParse(query, options, out call)) is not null)
        {
            return problem;
        }

        foreach (var part in query.Keys.Split(','))
        {
            if (keys.Count == ScanRequest.MaxKeys)
            {
                return $"At most {ScanRequest.MaxKeys} keys are read together.";
            }

            if (!PercentEncoding.TryDecode(query.Keys[part], plusIsSpace: true, out var key))
            {
                return "\"keys\" is not percent-encoded as it should be: a % must be followed by two hex digits.";
            }

            if (key.Length == 0)
            {
                return "\"keys\" has an empty key: give keys with commas between them, and a comma inside a key as %2C.";
            }

            keys.Add(key);
        }

        return null;
    }

    private static Task Reply(HttpExchange exchange, List<ReadOnlyMemory<byte>> keys, ScanAnswer answer)
    {
        if (answer.Code != ResultCode.Ok)
        {
            return RecordAnswers.Failed(exchange, answer);
        }

        var json = RecordAnswers.BeginItems(exchange, answer.Records, out var writer);
        writer.WriteStartArray("missing"u8);

        // The records come in the order of the keys.
        var next = 0;
        foreach (var key in keys)
        {
            if (next < answer.Records.Count && answer.Records[next].Key.Span.SequenceEqual(key.Span))
            {
                next++;
                continue;
            }

            writer.WriteStartObject();
            RecordAnswers.WriteKey(writer, key.Span);
            writer.WriteEndObject();
        }

        writer.WriteEndArray();
        writer.WriteEndObject();
        return exchange.Send(200, json);
    }

    [LoggerMessage(1016, LogLevel.Error, "The gateway threw for keys that were to be read together, which it never should: the client got internal. This is a defect; please report it with this line.")]
    private static partial void LogGatewayThrew(ILogger logger, Exception exception);
}
