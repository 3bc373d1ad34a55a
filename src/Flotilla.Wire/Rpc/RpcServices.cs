using Google.Protobuf;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace Flotilla.Wire.Rpc;

/// <summary>
/// The methods that a server answers, and the way from an HTTP/2 request to one of them. Register all methods first, then
/// serve; serving is thread-safe.
/// </summary>
public sealed partial class RpcServices(ILoggerFactory? loggers = null)
{
    private readonly Dictionary<string, RpcMethod> _methods = new(StringComparer.Ordinal);
    private readonly ILogger _log = (loggers ?? NullLoggerFactory.Instance).CreateLogger<RpcServices>();

    /// <summary>
    /// Asked for each call, with its path, before its handler: a status ends the call, null lets it pass. Null (the default) lets
    /// all pass. Set before serving.
    /// </summary>
    public Func<string, RpcStatus?>? Objection { get; init; }

    /// <summary>The paths that are served.</summary>
    public IReadOnlyCollection<string> Paths => _methods.Keys;

    /// <summary>One message in, one out.</summary>
    /// <param name="path"><c>/package.Service/Method</c>.</param>
    /// <param name="parser">Of the request.</param>
    /// <param name="handler">Answers; a status other than Ok is a value. May throw <see cref="RpcException"/>.</param>
    /// <param name="maxRequestBytes">Longer requests are refused with RESOURCE_EXHAUSTED.</param>
    public RpcServices Unary<TRequest, TResponse>(string path, MessageParser<TRequest> parser, Func<TRequest, RpcCall, ValueTask<RpcReply<TResponse>>> handler, int maxRequestBytes = RpcFraming.DefaultMaxMessageBytes)
        where TRequest : class, IMessage<TRequest>
        where TResponse : class, IMessage<TResponse>
    {
        ArgumentNullException.ThrowIfNull(parser);
        return Add(path, new RpcUnaryMethod<TRequest, TResponse>(parser.WithDiscardUnknownFields(true), handler, maxRequestBytes));
    }

    /// <summary>One message in, many out.</summary>
    /// <param name="path"><c>/package.Service/Method</c>.</param>
    /// <param name="parser">Of the request.</param>
    /// <param name="handler">Writes messages until it returns, with the status that ends the call.</param>
    /// <param name="maxRequestBytes">Longer requests are refused with RESOURCE_EXHAUSTED.</param>
    public RpcServices ServerStreaming<TRequest, TResponse>(string path, MessageParser<TRequest> parser, Func<TRequest, RpcStreamWriter<TResponse>, RpcCall, Task<RpcStatus>> handler, int maxRequestBytes = RpcFraming.DefaultMaxMessageBytes)
        where TRequest : class, IMessage<TRequest>
        where TResponse : class, IMessage<TResponse>
    {
        ArgumentNullException.ThrowIfNull(parser);
        return Add(path, new RpcServerStreamingMethod<TRequest, TResponse>(parser.WithDiscardUnknownFields(true), handler, maxRequestBytes));
    }

    /// <summary>
    /// Messages both ways for as long as both like. Limits on the body's size and rate are lifted: the stream's own frame
    /// limit and HTTP/2's pings and windows hold instead.
    /// </summary>
    /// <param name="path"><c>/package.Service/Method</c>.</param>
    /// <param name="handler">Owns the stream until it returns, with the status that ends the call.</param>
    /// <param name="maxFrameBytes">The limit on one message, both ways.</param>
    public RpcServices Duplex(string path, Func<RpcDuplex, RpcCall, Task<RpcStatus>> handler, int maxFrameBytes = RpcFraming.DefaultMaxFrameBytes) =>
        Add(path, new RpcDuplexMethod(handler, maxFrameBytes));

    /// <summary>Serves one request: the whole application of a listener of its own (see <see cref="RpcListener"/>).</summary>
    public async Task InvokeAsync(HttpContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        var request = context.Request;
        if (!HttpMethods.IsPost(request.Method) || !IsGrpc(request.ContentType) || !HttpProtocol.IsHttp2(request.Protocol))
        {
            // The protocol asks for 415 here, so that a client of another kind sees an HTTP error.
            context.Response.StatusCode = StatusCodes.Status415UnsupportedMediaType;
            context.Response.ContentType = "text/plain";
            await context.Response.WriteAsync("This is a gRPC listener: POST /package.Service/Method over HTTP/2 with content-type application/grpc.\n", context.RequestAborted).ConfigureAwait(false);
            return;
        }

        context.Response.ContentType = "application/grpc";
        if (request.Headers.TryGetValue("grpc-encoding", out var encoding) && encoding != "identity" && !string.IsNullOrEmpty(encoding))
        {
            context.Response.Headers["grpc-accept-encoding"] = "identity";
            Finish(context, new RpcStatus(RpcCode.Unimplemented, $"grpc-encoding {encoding} is not understood; only identity is"));
            return;
        }

        if (!_methods.TryGetValue(request.Path.Value ?? "", out var method))
        {
            Finish(context, new RpcStatus(RpcCode.Unimplemented, $"there is no method {request.Path.Value}"));
            return;
        }

        if (Objection?.Invoke(request.Path.Value!) is { } refused)
        {
            Finish(context, refused);
            return;
        }

        TimeSpan? timeout = null;
        if (request.Headers.TryGetValue("grpc-timeout", out var text))
        {
            if (!RpcText.TryParseTimeout(text.ToString(), out var time))
            {
                Finish(context, RpcStatus.WithCode(RpcCode.InvalidArgument, "bad_request", $"'{text}' is not a grpc-timeout"));
                return;
            }

            timeout = time;
        }

        await InvokeAsync(context, method, timeout).ConfigureAwait(false);
    }

    /// <summary>Maps every method onto a router, beside other routes; unknown methods are then the router's to answer.</summary>
    public void Map(IEndpointRouteBuilder routes)
    {
        ArgumentNullException.ThrowIfNull(routes);
        foreach (var path in _methods.Keys)
        {
            routes.MapPost(path, InvokeAsync);
        }
    }

    private static bool IsGrpc(string? contentType) =>
        contentType is not null
        && contentType.StartsWith("application/grpc", StringComparison.OrdinalIgnoreCase)
        && (contentType.Length == 16 || contentType[16] is ';' || contentType.AsSpan(16).StartsWith("+proto", StringComparison.OrdinalIgnoreCase));

    private static void Finish(HttpContext context, RpcStatus status)
    {
        // A failure without any message goes out in one block of headers ("Trailers-Only").
        var response = context.Response;
        var target = status.IsOk || response.HasStarted
            ? context.Features.GetRequiredFeature<IHttpResponseTrailersFeature>().Trailers
            : response.Headers;
        target["grpc-status"] = ((int)status.Code).ToString();
        if (!string.IsNullOrEmpty(status.Message))
        {
            target["grpc-message"] = RpcText.PercentEncode(status.Message);
        }

        if (status.Trailers is not null)
        {
            foreach (var (name, value) in status.Trailers)
            {
                target[name] = RpcText.PercentEncode(value);
            }
        }
    }

    private async Task InvokeAsync(HttpContext context, RpcMethod method, TimeSpan? timeout)
    {
        RpcStatus status;
        using var call = new RpcCall(context, timeout);
        try
        {
            status = await method.InvokeAsync(context, call).ConfigureAwait(false);
        }
        catch (RpcException e)
        {
            status = e.Status;
        }
        catch (Exception) when (context.RequestAborted.IsCancellationRequested)
        {
            // The caller has gone: whatever the handler met then, nobody is left to hear a status.
            return;
        }
        catch (OperationCanceledException) when (call.IsPastDeadline)
        {
            status = new RpcStatus(RpcCode.DeadlineExceeded, "the deadline of the call has passed");
        }
        catch (Exception e)
        {
            HandlerFailed(call.Path, e);
            status = new RpcStatus(RpcCode.Internal, "the server failed to answer; its log says why");
        }

        if (!context.RequestAborted.IsCancellationRequested)
        {
            Finish(context, status);
        }
    }

    private RpcServices Add(string path, RpcMethod method)
    {
        ArgumentNullException.ThrowIfNull(path);
        if (path.Length < 4 || path[0] != '/' || path.IndexOf('/', 1) < 2)
        {
            throw new ArgumentException($"'{path}' is not of the form /package.Service/Method", nameof(path));
        }

        _methods.Add(path, method);
        return this;
    }

    [LoggerMessage(EventId = 5001, Level = LogLevel.Error, Message = "The handler of {Path} failed, so its caller got INTERNAL and does not know whether anything was done. This is a defect: report it with this trace.")]
    private partial void HandlerFailed(string path, Exception error);
}
