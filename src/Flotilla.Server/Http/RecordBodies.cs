using System.Buffers;
using System.IO.Pipelines;
using Flotilla.Node;
using Flotilla.Shards;
using Microsoft.AspNetCore.Http;

namespace Flotilla.Server.Http;

/// <summary>How a body carries what to write.</summary>
internal enum BodyKind
{
    /// <summary>The body is the value.</summary>
    Bytes = 0,

    /// <summary><c>{"value": …}</c>.</summary>
    Json,

    /// <summary><c>{"increment": N}</c>.</summary>
    Increment,

    /// <summary>Recorded idempotency keys of the key's slot.</summary>
    IdempotencyKeys,
}

/// <summary>A write whose body is not read yet.</summary>
internal readonly record struct PendingWrite(byte[] Key, Condition Condition, Once? Once, long TtlMs, CallOptions Call, BodyKind Body);

/// <content>
/// Reading bodies. What has arrived stays in the connection's own buffer until the body is whole, so a value is copied
/// once, and a body that never comes costs nothing; what is held counts against one budget for all requests.
/// </content>
internal sealed partial class RecordRoutes
{
    /// <summary>As many idempotency keys as a command may bring, and more than they take.</summary>
    private const int MaxKeysBytes = 128 << 10;

    private Task ReadBody(HttpExchange exchange, in PendingWrite write)
    {
        var headers = exchange.Headers;
        if (headers.ContentEncoding.Count != 0)
        {
            return exchange.Fail(Problems.BadRequest, "A body with a Content-Encoding is not taken: send it as it is.");
        }

        var length = headers.ContentLength;
        if (length > MaxBody(write.Body))
        {
            return BodyTooLarge(exchange, write.Body);
        }

        if (!limits.TryReserve(exchange, length ?? 0))
        {
            return exchange.Fail(Problems.Overloaded);
        }

        return exchange.Body.TryRead(out var read) && TryAnswer(exchange, write, read, out var answered)
            ? answered
            : ReadBodySlowly(exchange, write);
    }

    private async Task ReadBodySlowly(HttpExchange exchange, PendingWrite write)
    {
        while (true)
        {
            ReadResult read;
            try
            {
                read = await exchange.Body.ReadAsync();
            }
            catch (Exception e) when (e is not BadHttpRequestException && exchange.ClientIsGone)
            {
                // Nothing was proposed, and there is nobody to answer.
                return;
            }

            if (TryAnswer(exchange, write, read, out var answered))
            {
                await answered;
                return;
            }
        }
    }

    /// <summary>Looks at what has arrived. False: nothing is wrong so far, and more must come.</summary>
    private bool TryAnswer(HttpExchange exchange, in PendingWrite write, in ReadResult read, out Task answered)
    {
        var isTooLarge = read.Buffer.Length > MaxBody(write.Body);
        if (isTooLarge || !limits.TryReserve(exchange, read.Buffer.Length))
        {
            exchange.Body.AdvanceTo(read.Buffer.End);
            answered = isTooLarge ? BodyTooLarge(exchange, write.Body) : exchange.Fail(Problems.Overloaded);
            return true;
        }

        if (read.IsCompleted)
        {
            answered = OnBody(exchange, write, read.Buffer);
            return true;
        }

        exchange.Body.AdvanceTo(read.Buffer.Start, read.Buffer.End);
        answered = Task.CompletedTask;
        return false;
    }

    private Task OnBody(HttpExchange exchange, in PendingWrite write, in ReadOnlySequence<byte> body)
    {
        ProblemKind? problem = null;
        string? detail = null;
        Command command = default;
        switch (write.Body)
        {
            case BodyKind.Bytes when body.Length > options.MaxValueBytes:
                problem = Problems.TooLarge;
                detail = Limits.ValueOver(options.MaxValueBytes);
                break;
            case BodyKind.Bytes:
                command = PutCommand(write.Key, body.ToArray(), write.Condition, write.TtlMs);
                break;
            case BodyKind.IdempotencyKeys:
                command = Command.LearnKeys(write.Key, body.ToArray());
                break;
            case BodyKind.Json:
                problem = JsonBody.TryParsePut(body, options.MaxValueBytes, out var put, out detail);
                if (problem is null && put.TtlMs != 0 && write.TtlMs != 0)
                {
                    problem = Problems.BadRequest;
                    detail = "\"ttlSeconds\" stands both in the body and in the query.";
                }

                command = PutCommand(write.Key, put.Value, write.Condition, Math.Max(put.TtlMs, write.TtlMs));
                break;
            default:
                problem = JsonBody.TryParseIncrement(body, out var increment, out detail);
                command = Command.Increment(write.Key, increment.Increment);
                break;
        }

        exchange.Body.AdvanceTo(body.End);
        return problem is null ? Execute(exchange, command with { Once = write.Once }, write.Call) : exchange.Fail(problem, detail);
    }

    private long MaxBody(BodyKind body) => body switch
    {
        BodyKind.Bytes => options.MaxValueBytes,
        BodyKind.IdempotencyKeys => Math.Min(options.MaxValueBytes, MaxKeysBytes),
        BodyKind.Json => options.MaxJsonBytes,
        _ => 4096,
    };

    private Task BodyTooLarge(HttpExchange exchange, BodyKind body) => exchange.Fail(Problems.TooLarge, body == BodyKind.Increment
        ? "The body of an increment is over 4096 bytes. Nothing was written."
        : Limits.ValueOver(options.MaxValueBytes));
}
