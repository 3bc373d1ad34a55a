using System.IO.Pipelines;
using Google.Protobuf;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core.Features;

namespace Flotilla.Wire.Rpc;

/// <summary>One method of a server.</summary>
internal abstract class RpcMethod
{
    /// <summary>Answers one call, up to but not including the trailers.</summary>
    public abstract Task<RpcStatus> InvokeAsync(HttpContext context, RpcCall call);
}

/// <summary>One message in, one out.</summary>
internal sealed class RpcUnaryMethod<TRequest, TResponse>(MessageParser<TRequest> parser, Func<TRequest, RpcCall, ValueTask<RpcReply<TResponse>>> handler, int maxRequestBytes) : RpcMethod
    where TRequest : class, IMessage<TRequest>
    where TResponse : class, IMessage<TResponse>
{
    public override async Task<RpcStatus> InvokeAsync(HttpContext context, RpcCall call)
    {
        var request = await new RpcMessageReader(context.Request.BodyReader, maxRequestBytes, "the caller").ReadSingleAsync(parser, call.Cancellation).ConfigureAwait(false);
        var reply = await handler(request, call).ConfigureAwait(false);
        if (!reply.Status.IsOk)
        {
            return reply.Status;
        }

        // No flush: message and trailers leave together when the response completes.
        RpcFraming.Write(context.Response.BodyWriter, reply.Message ?? throw new InvalidOperationException($"the handler of {call.Path} answered Ok without a message"));
        return RpcStatus.Ok;
    }
}

/// <summary>One message in, many out.</summary>
internal sealed class RpcServerStreamingMethod<TRequest, TResponse>(MessageParser<TRequest> parser, Func<TRequest, RpcStreamWriter<TResponse>, RpcCall, Task<RpcStatus>> handler, int maxRequestBytes) : RpcMethod
    where TRequest : class, IMessage<TRequest>
    where TResponse : class, IMessage<TResponse>
{
    public override async Task<RpcStatus> InvokeAsync(HttpContext context, RpcCall call)
    {
        var request = await new RpcMessageReader(context.Request.BodyReader, maxRequestBytes, "the caller").ReadSingleAsync(parser, call.Cancellation).ConfigureAwait(false);
        return await handler(request, new RpcStreamWriter<TResponse>(context.Response.BodyWriter, call.Cancellation), call).ConfigureAwait(false);
    }
}

/// <summary>Writes the answers of a server-streaming call. One writer at a time.</summary>
/// <typeparam name="T">The type of the messages.</typeparam>
public sealed class RpcStreamWriter<T>
    where T : class, IMessage<T>
{
    private readonly PipeWriter _output;
    private readonly CancellationToken _cancellation;

    internal RpcStreamWriter(PipeWriter output, CancellationToken cancellation)
    {
        _output = output;
        _cancellation = cancellation;
    }

    /// <summary>Sends one message; waits while the caller does not read.</summary>
    /// <exception cref="OperationCanceledException">The call is over.</exception>
    public async ValueTask WriteAsync(T message)
    {
        _cancellation.ThrowIfCancellationRequested();
        RpcFraming.Write(_output, message);
        var result = await _output.FlushAsync(_cancellation).ConfigureAwait(false);
        if (result.IsCompleted)
        {
            throw new OperationCanceledException(_cancellation);
        }
    }
}

/// <summary>Messages both ways.</summary>
internal sealed class RpcDuplexMethod(Func<RpcDuplex, RpcCall, Task<RpcStatus>> handler, int maxFrameBytes) : RpcMethod
{
    public override async Task<RpcStatus> InvokeAsync(HttpContext context, RpcCall call)
    {
        // Kestrel cuts a body after 30 MB and one that is slower than 240 bytes a second: this stream lives for weeks.
        if (context.Features.Get<IHttpMaxRequestBodySizeFeature>() is { IsReadOnly: false } size)
        {
            size.MaxRequestBodySize = null;
        }

        if (context.Features.Get<IHttpMinRequestBodyDataRateFeature>() is { } rate)
        {
            rate.MinDataRate = null;
        }

        // The headers go out at once: the dialling end takes them as "the stream stands".
        await context.Response.StartAsync(call.Cancellation).ConfigureAwait(false);
        await context.Response.BodyWriter.FlushAsync(call.Cancellation).ConfigureAwait(false);
        await using var duplex = new RpcDuplex(context.Request.BodyReader, context.Response.BodyWriter, new ServerEnd(context, call), maxFrameBytes);
        return await handler(duplex, call).ConfigureAwait(false);
    }

    private sealed class ServerEnd(HttpContext context, RpcCall call) : RpcDuplexEnd
    {
        private readonly string _target = call.Peer;

        public override string Target => _target;

        public override CancellationToken Closed => call.Cancellation;

        public override RpcStatus Status => RpcStatus.Ok;

        public override ValueTask CompleteWritingAsync() => throw new InvalidOperationException("the accepting end completes by returning from its handler");

        // The dialling end will say no more; this one may.
        public override void ReadToEnd()
        {
        }

        public override void Abort() => context.Abort();

        // The stream ends with the handler's return.
        public override ValueTask DisposeAsync() => default;
    }
}
