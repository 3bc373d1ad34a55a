using System.Buffers;
using System.Net;
using System.Net.Sockets;
using Flotilla.Contracts;

namespace Flotilla.Client;

/// <summary>How far a request got that has no answer. Decides whether it may be sent again.</summary>
internal enum Reached
{
    /// <summary>The server can't have seen a whole request: nothing was done.</summary>
    NotSent,

    /// <summary>The request may have been carried out, or may still be.</summary>
    Unclear,
}

/// <summary>An exchange that ended without an answer.</summary>
/// <param name="reached">Whether the request may have been carried out.</param>
/// <param name="timedOut">The time was over, rather than the connection broken.</param>
/// <param name="message">What happened, for people.</param>
/// <param name="cause">What the socket said.</param>
internal sealed class Http1Exception(Reached reached, bool timedOut, string message, Exception? cause) : IOException(message, cause)
{
    /// <summary>Nothing listens there: no process answered, rather than a slow one.</summary>
    public bool Refused => Reached == Reached.NotSent && InnerException is SocketException { SocketErrorCode: SocketError.ConnectionRefused };

    /// <summary>Whether the request may have been carried out.</summary>
    public Reached Reached { get; } = reached;

    /// <summary>The time was over, rather than the connection broken.</summary>
    public bool TimedOut { get; } = timedOut;
}

/// <summary>An answer. The body's memory is the connection's: valid until its next exchange.</summary>
internal readonly record struct Http1Response(int Status, ReadOnlyMemory<byte> Body, string? ETag, TimeSpan? RetryAfter);

/// <summary>
/// One HTTP/1.1 connection over a plain socket, carrying one request at a time: what a key-value client needs and no
/// more, at a fraction of <c>HttpClient</c>'s cost per request (measured: docs/cli.md). It exists for one more reason:
/// it knows whether a failed request can have reached the server. Not thread-safe: whoever has rented it uses it alone.
/// </summary>
internal sealed class Http1Connection : IDisposable
{
    private readonly Socket _socket;
    private readonly Http1ResponseParser _parser = new();
    private CancellationTokenSource _timer = new();

    private Http1Connection(Socket socket, HostPort endpoint)
    {
        _socket = socket;
        Endpoint = endpoint;
    }

    /// <summary>Who is at the other end.</summary>
    public HostPort Endpoint { get; }

    /// <summary>The request to send next: whoever rents the connection clears it and writes headers and body here.</summary>
    public ArrayBufferWriter<byte> Request { get; } = new(1024);

    /// <summary>False once anything has gone wrong or the server has asked for the end: dispose it then.</summary>
    public bool IsReusable { get; private set; } = true;

    /// <summary>Connects. Every failure is an <see cref="Http1Exception"/> that says <see cref="Reached.NotSent"/>, except that of <paramref name="cancel"/>.</summary>
    public static async ValueTask<Http1Connection> ConnectAsync(HostPort endpoint, TimeSpan timeout, CancellationToken cancel)
    {
        using var timer = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        timer.CancelAfter(timeout);
        Exception? last = null;
        try
        {
            // Names are resolved at each dial: a node may have moved.
            var addresses = IPAddress.TryParse(endpoint.Host, out var literal) ? [literal] : await Dns.GetHostAddressesAsync(endpoint.Host, timer.Token);
            foreach (var address in addresses)
            {
                var socket = new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
                try
                {
                    await socket.ConnectAsync(new IPEndPoint(address, endpoint.Port), timer.Token);
                    return new Http1Connection(socket, endpoint);
                }
                catch (SocketException failure)
                {
                    socket.Dispose();
                    last = failure;
                }
                catch
                {
                    socket.Dispose();
                    throw;
                }
            }
        }
        catch (SocketException failure)
        {
            last = failure;
        }
        catch (OperationCanceledException) when (!cancel.IsCancellationRequested)
        {
            throw new Http1Exception(Reached.NotSent, timedOut: true, $"{endpoint} did not accept a connection within {timeout.TotalSeconds:0.###} s", null);
        }

        var why = last is SocketException { SocketErrorCode: SocketError.ConnectionRefused } ? "nothing listens there" : last?.Message ?? "the name has no address";
        throw new Http1Exception(Reached.NotSent, timedOut: false, $"{endpoint} can't be reached: {why}", last);
    }

    /// <summary>
    /// False if the server has closed the idle connection, or has sent something unasked. Looking first turns most
    /// requests that would have been lost on a dying connection, with an unclear end, into ones that were never sent.
    /// </summary>
    public bool IsFresh()
    {
        try
        {
            return IsReusable && !_socket.Poll(0, SelectMode.SelectRead);
        }
        catch (SocketException)
        {
            return false;
        }
    }

    /// <summary>Sends <see cref="Request"/> and reads the answer. Any failure is an <see cref="Http1Exception"/> and ends the connection; cancellation counts as the time being over.</summary>
    public async ValueTask<Http1Response> ExchangeAsync(TimeSpan timeout, CancellationToken cancel)
    {
        IsReusable = false;
        if (!_timer.TryReset())
        {
            _timer.Dispose();
            _timer = new CancellationTokenSource();
        }

        _timer.CancelAfter(timeout < TimeSpan.FromMilliseconds(1) ? TimeSpan.FromMilliseconds(1) : timeout);
        var registration = cancel.CanBeCanceled ? cancel.UnsafeRegister(static timer => ((CancellationTokenSource)timer!).Cancel(), _timer) : default;
        var reached = Reached.NotSent;
        try
        {
            // An error while sending says that the kernel has not taken the last byte, so that the server can't have a
            // whole request. Cancellation does not say that: it may have come just after the last byte.
            await SendAllAsync();
            reached = Reached.Unclear;
            _parser.Reset();
            while (!_parser.Received(await _socket.ReceiveAsync(_parser.Space, SocketFlags.None, _timer.Token)))
            {
            }

            IsReusable = _parser.KeepAlive;
            return new Http1Response(_parser.Status, _parser.Body, _parser.ETag, _parser.RetryAfter);
        }
        catch (OperationCanceledException cause)
        {
            throw new Http1Exception(Reached.Unclear, timedOut: true, cancel.IsCancellationRequested
                ? $"interrupted while waiting for {Endpoint}"
                : $"{Endpoint} did not answer within {timeout.TotalSeconds:0.###} s", cause);
        }
        catch (Exception cause) when (cause is SocketException or ObjectDisposedException)
        {
            throw new Http1Exception(reached, timedOut: false, $"the connection to {Endpoint} broke: {cause.Message}", cause);
        }
        catch (Http1ProtocolException cause)
        {
            throw new Http1Exception(Reached.Unclear, timedOut: false, $"{Endpoint}: {cause.Message}", cause);
        }
        finally
        {
            await registration.DisposeAsync();
            _timer.CancelAfter(Timeout.InfiniteTimeSpan);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        IsReusable = false;
        _socket.Dispose();
        _timer.Dispose();
    }

    private async ValueTask SendAllAsync()
    {
        var rest = Request.WrittenMemory;
        while (!rest.IsEmpty)
        {
            rest = rest[await _socket.SendAsync(rest, SocketFlags.None, _timer.Token)..];
        }
    }
}
