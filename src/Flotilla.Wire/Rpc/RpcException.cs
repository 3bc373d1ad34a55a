using System.Net.Http;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;

namespace Flotilla.Wire.Rpc;

/// <summary>Where a call or a stream failed.</summary>
public enum RpcFailure
{
    /// <summary>The other side answered with a status.</summary>
    Status = 0,

    /// <summary>The connection was refused: the host is there and nobody listens, so the process that did is gone.</summary>
    Refused = 1,

    /// <summary>No connection came about for another reason: the name is unknown, there is no route, or no answer in time.</summary>
    Unreachable = 2,

    /// <summary>The connection or the stream was cut while in use.</summary>
    Closed = 3,

    /// <summary>The connection stands, or stood, and the time was over.</summary>
    TimedOut = 4,

    /// <summary>The other side broke the rules of the protocol, or a message was over the limit.</summary>
    Protocol = 5,

    /// <summary>The caller's token was cancelled.</summary>
    Cancelled = 6,
}

/// <summary>A call or a stream that did not end well. The one exception type of this binding, apart from programmer errors.</summary>
public sealed class RpcException : Exception
{
    /// <summary>What a door for HTTP/1.1 alone says to HTTP/2, before it reads any request (RFC 9113, section 7).</summary>
    private const long Http11Required = 0xd;

    /// <summary>A failure with its status.</summary>
    public RpcException(RpcFailure failure, RpcStatus status, Exception? inner = null)
        : base(status.ToString(), inner)
    {
        Failure = failure;
        Status = status;
    }

    /// <summary>A status that the other side sent or shall be sent.</summary>
    public RpcException(RpcStatus status)
        : this(RpcFailure.Status, status)
    {
    }

    /// <summary>An unknown failure.</summary>
    public RpcException()
        : this(new RpcStatus(RpcCode.Unknown, null))
    {
    }

    /// <summary>An unknown failure with a message.</summary>
    public RpcException(string message)
        : this(new RpcStatus(RpcCode.Unknown, message))
    {
    }

    /// <summary>An unknown failure with a message and its cause.</summary>
    public RpcException(string message, Exception innerException)
        : this(RpcFailure.Closed, new RpcStatus(RpcCode.Unknown, message), innerException)
    {
    }

    /// <summary>Where it failed.</summary>
    public RpcFailure Failure { get; }

    /// <summary>The status.</summary>
    public RpcStatus Status { get; }

    /// <summary>The status code.</summary>
    public RpcCode Code => Status.Code;

    internal static RpcException Protocol(RpcCode code, string message, string? flotillaCode = null) =>
        new(RpcFailure.Protocol, flotillaCode is null ? new RpcStatus(code, message) : RpcStatus.WithCode(code, flotillaCode, message));

    internal static RpcException Deadline() => new(RpcFailure.TimedOut, new RpcStatus(RpcCode.DeadlineExceeded, "the deadline of the call has passed"));

    internal static RpcException CancelledByCaller(Exception? inner = null) => new(RpcFailure.Cancelled, new RpcStatus(RpcCode.Cancelled, "the caller gave up"), inner);

    /// <summary>True for what a cut connection or stream throws, on either side.</summary>
    internal static bool IsTransport(Exception error) =>
        error is HttpRequestException or IOException or SocketException or ConnectionAbortedException or OperationCanceledException or ObjectDisposedException or InvalidOperationException;

    /// <summary>Says what a transport exception means.</summary>
    internal static RpcException FromTransport(Exception error, string target)
    {
        for (var e = error; e is not null; e = e.InnerException)
        {
            switch (e)
            {
                case RpcException rpc:
                    return rpc;
                case SocketException { SocketErrorCode: SocketError.ConnectionRefused }:
                    return new(RpcFailure.Refused, new RpcStatus(RpcCode.Unavailable, $"{target} refused the connection"), error);
                case HttpProtocolException { ErrorCode: Http11Required }:
                    return new(RpcFailure.Closed, new RpcStatus(RpcCode.Unavailable, $"{target} serves HTTP/1.1, not gRPC: it looks like the HTTP port of a node, and its RPC address is needed"), error);
                case HttpProtocolException { ErrorCode: 1 } when e.Message.Contains("ping", StringComparison.OrdinalIgnoreCase):
                    // The framework has no type of its own for an unanswered ping: its message alone tells it from other protocol errors.
                    return new(RpcFailure.TimedOut, new RpcStatus(RpcCode.Unavailable, $"{target} did not answer pings"), error);
                case TimeoutException when error is HttpRequestException:
                    return new(RpcFailure.Unreachable, new RpcStatus(RpcCode.Unavailable, $"no connection to {target} in time"), error);
                default:
                    break;
            }
        }

        return error is HttpRequestException { HttpRequestError: HttpRequestError.ConnectionError or HttpRequestError.NameResolutionError or HttpRequestError.SecureConnectionError }
            ? new(RpcFailure.Unreachable, new RpcStatus(RpcCode.Unavailable, $"cannot connect to {target}: {Deepest(error).Message}"), error)
            : new(RpcFailure.Closed, new RpcStatus(RpcCode.Unavailable, $"the connection to {target} was cut: {Deepest(error).Message}"), error);
    }

    private static Exception Deepest(Exception error)
    {
        while (error.InnerException is { } inner)
        {
            error = inner;
        }

        return error;
    }
}
