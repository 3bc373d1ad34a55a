using System.Globalization;
using Flotilla.Node;
using Flotilla.Shards;
using Microsoft.Extensions.Logging;

namespace Flotilla.Server.Http;

/// <summary><c>GET /kv?prefix=&amp;limit=&amp;cursor=</c>: an ordered page over all shards.</summary>
internal sealed partial class ListRoute(IGateway gateway, HttpDoorOptions options, ILogger logger)
{
    private const int DefaultLimit = 100;
    private const int MaxLimit = 10_000;

    /// <summary>Answers one page.</summary>
    public Task List(HttpExchange exchange, RequestTarget target)
    {
        const Parameters known = Parameters.Prefix | Parameters.Limit | Parameters.Cursor | Parameters.Forward | Parameters.Consistency | Parameters.KeyBase64;
        if (!QueryParameters.TryParse(target.Query, known, strict: true, out var query, out var problem)
            || (problem = TryRequest(query, out var request, out var call)) is not null)
        {
            return exchange.Fail(Problems.BadRequest, problem);
        }

        if (request.Prefix.Length > options.MaxKeyBytes || request.From.Length > options.MaxKeyBytes + 1)
        {
            return exchange.Fail(Problems.TooLarge, "The prefix is longer than any key may be.");
        }

        var pending = gateway.ScanAsync(request, call);
        return pending.IsCompletedSuccessfully ? Reply(exchange, request, pending.Result) : ReplyLater(exchange, request, pending);
    }

    private string? TryRequest(in QueryParameters query, out ScanRequest request, out CallOptions call)
    {
        request = default;
        if (CallParameters.TryParse(query, options, out call) is { } wrong)
        {
            return wrong;
        }

        if (query.Has(Parameters.KeyBase64))
        {
            return "\"keyBase64\" names one record: it goes with none of prefix, limit and cursor.";
        }

        var limit = DefaultLimit;
        if (query.Has(Parameters.Limit) && (!int.TryParse(query.Limit, NumberStyles.None, CultureInfo.InvariantCulture, out limit) || limit is < 1 or > MaxLimit))
        {
            return "\"limit\" must be a number from 1 to 10000.";
        }

        if (!PercentEncoding.TryDecode(query.Prefix, plusIsSpace: true, out var given))
        {
            return "\"prefix\" is not percent-encoded as it should be: a % must be followed by two hex digits.";
        }

        ReadOnlyMemory<byte> prefix = given, from = default;
        if (query.Has(Parameters.Cursor) && !query.Cursor.IsEmpty)
        {
            if (!ListCursor.TryDecode(query.Cursor, out prefix, out from))
            {
                return "\"cursor\" is not one that a listing gave.";
            }

            if (query.Has(Parameters.Prefix) && !prefix.Span.SequenceEqual(given))
            {
                return "\"cursor\" belongs to a listing of another prefix.";
            }
        }

        request = new ScanRequest(from, prefix, limit, options.MaxPageBytes);
        return null;
    }

    private async Task ReplyLater(HttpExchange exchange, ScanRequest request, ValueTask<ScanAnswer> pending)
    {
        ScanAnswer answer;
        try
        {
            answer = await pending;
        }
        catch (Exception e)
        {
            LogGatewayThrew(logger, e);
            await exchange.Fail(Problems.Internal);
            return;
        }

        await Reply(exchange, request, answer);
    }

    private static Task Reply(HttpExchange exchange, in ScanRequest request, ScanAnswer answer)
    {
        if (answer.Code != ResultCode.Ok)
        {
            return RecordAnswers.Failed(exchange, answer);
        }

        var json = RecordAnswers.BeginItems(exchange, answer.Records, out var writer);

        // No key is empty, and a next key beyond the prefix means that this was the last page.
        if (answer.Next is { IsEmpty: false } next && next.Span.StartsWith(request.Prefix.Span))
        {
            writer.WriteString("cursor"u8, ListCursor.Encode(request.Prefix.Length, next.Span));
        }

        writer.WriteEndObject();
        return exchange.Send(200, json);
    }

    [LoggerMessage(1011, LogLevel.Error, "The gateway threw for a listing, which it never should: the client got internal. This is a defect; please report it with this line.")]
    private static partial void LogGatewayThrew(ILogger logger, Exception exception);
}
