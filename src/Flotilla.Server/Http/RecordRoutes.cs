using Flotilla.Node;
using Flotilla.Shards;
using Microsoft.Extensions.Logging;

namespace Flotilla.Server.Http;

/// <summary>Everything that reads or writes one record: <c>/kv/{key}</c>, <c>/kv?keyBase64=</c> and the ancestors' routes.</summary>
internal sealed partial class RecordRoutes(IGateway gateway, HttpDoorOptions options, Limits limits, ILogger logger)
{
    private const string Bytes = "application/octet-stream";

    /// <summary>A body that <c>restore</c> sends: not a record but what is known of writes to its slot (docs/backup.md).</summary>
    private const string IdempotencyKeys = "application/vnd.flotilla.idempotency-keys";

    /// <summary><c>/kv/{key}</c>: the key is the rest of the path.</summary>
    public Task Record(HttpExchange exchange, RequestTarget target)
    {
        if (!QueryParameters.TryParse(target.Query, Known(exchange.Verb), strict: true, out var query, out var problem))
        {
            return exchange.Fail(Problems.BadRequest, problem);
        }

        return PercentEncoding.TryDecode(target.Path["/kv/".Length..], plusIsSpace: false, out var key)
            ? WithKey(exchange, key, query)
            : exchange.Fail(Problems.BadRequest, BadEncoding);
    }

    /// <summary><c>/kv?keyBase64=</c>: any key, also one that no path can carry.</summary>
    public Task RecordByBase64(HttpExchange exchange, RequestTarget target)
    {
        if (!QueryParameters.TryParse(target.Query, Known(exchange.Verb) | Parameters.KeyBase64, strict: true, out var query, out var problem))
        {
            return exchange.Fail(Problems.BadRequest, problem);
        }

        if (!query.Has(Parameters.KeyBase64))
        {
            return exchange.Fail(Problems.BadRequest, "The key is missing: it is the rest of the path, /kv/{key}, or /kv?keyBase64=….");
        }

        return PercentEncoding.TryDecodeBase64(query.KeyBase64, out var key)
            ? WithKey(exchange, key, query)
            : exchange.Fail(Problems.BadRequest, "\"keyBase64\" is not base64.");
    }

    /// <summary><c>/put?key=&amp;val=</c>, <c>/get?key=</c> and <c>/delete?key=</c>.</summary>
    public Task ByQuery(HttpExchange exchange, RequestTarget target)
    {
        const Parameters known = Parameters.Key | Parameters.Value | Parameters.Forward | Parameters.Consistency | Parameters.TtlSeconds;
        if (!QueryParameters.TryParse(target.Query, known, strict: false, out var query, out var problem))
        {
            return exchange.Fail(Problems.BadRequest, problem);
        }

        if (!query.Has(Parameters.Key) || (exchange.Route == Route.QueryPut && !query.Has(Parameters.Value)))
        {
            return exchange.Fail(Problems.BadRequest, exchange.Route == Route.QueryPut ? "Both must be given: /put?key=…&val=…." : "The key is missing: ?key=….");
        }

        if (!PercentEncoding.TryDecode(query.Key, plusIsSpace: true, out var key) || !PercentEncoding.TryDecode(query.Value, plusIsSpace: true, out var value))
        {
            return exchange.Fail(Problems.BadRequest, BadEncoding);
        }

        return exchange.Route switch
        {
            Route.QueryGet => WithKey(exchange, key, query, Verbs.Get),
            Route.QueryDelete => WithKey(exchange, key, query, Verbs.Delete),
            _ => PutFromTarget(exchange, key, value, query),
        };
    }

    /// <summary><c>/Get/{key}</c> and <c>/Put/{key}/{value}</c>.</summary>
    public Task ByPath(HttpExchange exchange, RequestTarget target)
    {
        if (!QueryParameters.TryParse(target.Query, Parameters.Forward | Parameters.Consistency | Parameters.TtlSeconds, strict: false, out var query, out var problem))
        {
            return exchange.Fail(Problems.BadRequest, problem);
        }

        // "/Get/" and "/Put/" are equally long.
        var rest = target.Path["/Get/".Length..];
        ReadOnlySpan<char> rawValue = default;
        if (exchange.Route == Route.PathPut)
        {
            var slash = rest.IndexOf('/');
            if (slash < 0)
            {
                return exchange.Fail(Problems.BadRequest, "The value is missing: /Put/{key}/{value}. A slash inside the key is written %2F.");
            }

            rawValue = rest[(slash + 1)..];
            rest = rest[..slash];
        }

        if (!PercentEncoding.TryDecode(rest, plusIsSpace: false, out var key) || !PercentEncoding.TryDecode(rawValue, plusIsSpace: false, out var value))
        {
            return exchange.Fail(Problems.BadRequest, BadEncoding);
        }

        return exchange.Route == Route.PathGet ? WithKey(exchange, key, query, Verbs.Get) : PutFromTarget(exchange, key, value, query);
    }

    private const string BadEncoding = "The request target is not percent-encoded as it should be: a % must be followed by two hex digits. A literal % is written %25.";

    private static Parameters Known(Verbs verb) => verb switch
    {
        Verbs.Get or Verbs.Head => Parameters.Forward | Parameters.Consistency,
        Verbs.Put => Parameters.Forward | Parameters.TtlSeconds,
        _ => Parameters.Forward,
    };

    private Task WithKey(HttpExchange exchange, byte[] key, in QueryParameters query) => WithKey(exchange, key, query, exchange.Verb);

    private Task WithKey(HttpExchange exchange, byte[] key, in QueryParameters query, Verbs verb)
    {
        if (Refusal(key, out var kind, out var detail))
        {
            return exchange.Fail(kind, detail);
        }

        if (CallParameters.TryParse(query, options, out var call) is { } wrong)
        {
            return exchange.Fail(Problems.BadRequest, wrong);
        }

        if (verb is Verbs.Get or Verbs.Head)
        {
            return Get(exchange, key, call);
        }

        if (!TryCondition(exchange, verb, out var condition, out detail) || !TryOnce(exchange, ref call, out var once, out detail))
        {
            return exchange.Fail(Problems.BadRequest, detail);
        }

        if (verb == Verbs.Delete)
        {
            var delete = condition.Kind == ConditionKind.VersionIs ? Command.CompareAndDelete(key, condition.Version) : Command.Delete(key);
            return Execute(exchange, delete with { Once = once }, call);
        }

        var ttlMs = 0L;
        if (query.Has(Parameters.TtlSeconds) && !JsonBody.TryTtl(query.TtlSeconds, out ttlMs))
        {
            return exchange.Fail(Problems.BadRequest, BadTtl);
        }

        var body = verb == Verbs.Post ? BodyKind.Increment : IsOfType(exchange, Bytes) ? BodyKind.Bytes : IsOfType(exchange, IdempotencyKeys) ? BodyKind.IdempotencyKeys : BodyKind.Json;
        if (body == BodyKind.IdempotencyKeys && (condition.Kind != ConditionKind.None || once is not null || query.Has(Parameters.TtlSeconds)))
        {
            return exchange.Fail(Problems.BadRequest, "Idempotency keys are put without a condition, a time to live or a key of their own.");
        }

        return ReadBody(exchange, new PendingWrite(key, condition, once, ttlMs, call, body));
    }

    private const string BadTtl = "\"ttlSeconds\" must be a number of seconds, above 0 and at most 3153600000.";

    private Task PutFromTarget(HttpExchange exchange, byte[] key, byte[] value, in QueryParameters query)
    {
        if (Refusal(key, out var kind, out var detail))
        {
            return exchange.Fail(kind, detail);
        }

        if (value.Length > options.MaxValueBytes)
        {
            return exchange.Fail(Problems.TooLarge, Limits.ValueOver(options.MaxValueBytes));
        }

        if (CallParameters.TryParse(query, options, out var call) is { } wrong)
        {
            return exchange.Fail(Problems.BadRequest, wrong);
        }

        var ttlMs = 0L;
        if (query.Has(Parameters.TtlSeconds) && !JsonBody.TryTtl(query.TtlSeconds, out ttlMs))
        {
            return exchange.Fail(Problems.BadRequest, BadTtl);
        }

        if (!TryCondition(exchange, Verbs.Put, out var condition, out detail) || !TryOnce(exchange, ref call, out var once, out detail))
        {
            return exchange.Fail(Problems.BadRequest, detail);
        }

        return Execute(exchange, PutCommand(key, value, condition, ttlMs) with { Once = once }, call);
    }

    private bool Refusal(byte[] key, out ProblemKind kind, out string? detail)
    {
        kind = key.Length == 0 ? Problems.BadRequest : Problems.TooLarge;
        detail = key.Length == 0 ? "The key is empty." : key.Length > options.MaxKeyBytes ? Limits.KeyOver(key.Length, options.MaxKeyBytes) : null;
        return detail is not null;
    }

    private static bool TryCondition(HttpExchange exchange, Verbs verb, out Condition condition, out string? detail)
    {
        if (!Condition.TryParse(exchange.Headers, out condition, out detail))
        {
            return false;
        }

        if (verb == Verbs.Post && condition.Kind != ConditionKind.None)
        {
            detail = "An increment takes no condition: it adds to whatever is there.";
        }
        else if (verb == Verbs.Delete && condition.Kind == ConditionKind.Absent)
        {
            detail = "A delete takes no If-None-Match.";
        }

        return detail is null;
    }

    private static bool TryOnce(HttpExchange exchange, ref CallOptions call, out Once? once, out string? detail)
    {
        detail = IdempotencyHeader.TryParse(Header(exchange, IdempotencyHeader.Name), Header(exchange, IdempotencyHeader.RetryName), out once, out var isRetry);
        call = call with { IsRetry = isRetry };
        return detail is null;
    }

    private static string? Header(HttpExchange exchange, string name) => exchange.Headers.TryGetValue(name, out var values) ? values.ToString() : null;

    private static bool IsOfType(HttpExchange exchange, string wanted)
    {
        var type = exchange.Headers.ContentType;
        return type.Count == 1 && type[0].AsSpan().StartsWith(wanted, StringComparison.OrdinalIgnoreCase);
    }

    private static Command PutCommand(byte[] key, ReadOnlyMemory<byte> value, Condition condition, long ttlMs) => condition.Kind switch
    {
        ConditionKind.VersionIs => Command.CompareAndSwap(key, condition.Version, value, ttlMs),
        ConditionKind.Absent => Command.PutIfAbsent(key, value, ttlMs),
        _ => Command.Put(key, value, ttlMs),
    };

    private Task Get(HttpExchange exchange, byte[] key, CallOptions call)
    {
        ValueTask<Answer> pending;
        try
        {
            pending = gateway.GetAsync(key, call);
        }
        catch (Exception e)
        {
            pending = ValueTask.FromException<Answer>(e);
        }

        return pending.IsCompletedSuccessfully ? RecordAnswers.Got(exchange, key, pending.Result) : GetSlowly(exchange, key, pending);
    }

    private async Task GetSlowly(HttpExchange exchange, byte[] key, ValueTask<Answer> pending)
    {
        Answer answer;
        try
        {
            answer = await pending;
        }
        catch (Exception e)
        {
            LogGatewayThrew(logger, e, exchange.Route);
            await exchange.Fail(Problems.Internal);
            return;
        }

        await RecordAnswers.Got(exchange, key, answer);
    }

    private Task Execute(HttpExchange exchange, in Command command, CallOptions call)
    {
        ValueTask<Answer> pending;
        try
        {
            pending = gateway.ExecuteAsync(command, call);
        }
        catch (Exception e)
        {
            pending = ValueTask.FromException<Answer>(e);
        }

        return pending.IsCompletedSuccessfully
            ? RecordAnswers.Done(exchange, command.Kind, command.Key, pending.Result)
            : ExecuteSlowly(exchange, command.Kind, command.Key, pending);
    }

    // No token of the connection goes along: once proposed, a write is not undone by a client that hangs up.
    private async Task ExecuteSlowly(HttpExchange exchange, CommandKind kind, ReadOnlyMemory<byte> key, ValueTask<Answer> pending)
    {
        Answer answer;
        try
        {
            answer = await pending;
        }
        catch (Exception e)
        {
            LogGatewayThrew(logger, e, exchange.Route);
            await exchange.Fail(Problems.Indeterminate);
            return;
        }

        await RecordAnswers.Done(exchange, kind, key, answer);
    }

    [LoggerMessage(1010, LogLevel.Error, "The gateway threw for {Route}, which it never should: the client got indeterminate (a write) or internal (a read). This is a defect; please report it with this line.")]
    private static partial void LogGatewayThrew(ILogger logger, Exception exception, Route route);
}
