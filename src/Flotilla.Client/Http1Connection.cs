using System.Buffers;
using System.Net;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
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
/// One HTTP/1.1 connection over a plain socket, carrying one request at a time. It exists because it must know whether a
/// failed request can have reached the server, which a general client doesn't tell; and it does no more than a key-value
/// client needs. Not thread-safe, but for <see cref="AbortIfLate"/>: whoever has rented it uses it alone.
/// </summary>
internal sealed class Http1Connection : IDisposable
{
    /// <summary>A server closes a connection after an idle time far beyond this; up to here looking first is not worth a system call.</summary>
    private const int TrustedIdleMs = 50;

    private const long Idle = long.MaxValue;
    private const long TimedOut = -1;
    private const long Cancelled = -2;

    private readonly Socket _socket;
    private readonly Http1ResponseParser _parser = new();

    /// <summary>When the exchange under way must have ended; or one of the three below. Whoever swaps it decides between an end and an abortion.</summary>
    private long _deadline = Idle;
    private long _usedAt = Environment.TickCount64;

    private Http1Connection(Socket socket, HostPort endpoint)
    {
        _socket = socket;
        Endpoint = endpoint;
        DeadlineSweeper.Add(this);
    }

    /// <summary>Who is at the other end.</summary>
    public HostPort Endpoint { get; }

    /// <summary>The request to send next: whoever rents the connection clears it and writes headers and body here.</summary>
    public ArrayBufferWriter<byte> Request { get; } = new(1024);

    /// <summary>False once anything has gone wrong or the server has asked for the end: dispose it then.</summary>
    public bool IsReusable { get; private set; } = true;

    /// <summary>Its place with the sweeper, which alone may change it; -1 once it is not there.</summary>
    internal int SweeperIndex { get; set; } = -1;

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
            return IsReusable && (Environment.TickCount64 - _usedAt <= TrustedIdleMs || !_socket.Poll(0, SelectMode.SelectRead));
        }
        catch (Exception failure) when (failure is SocketException or ObjectDisposedException)
        {
            return false;
        }
    }

    /// <summary>Sends <see cref="Request"/> and reads the answer. Any failure is an <see cref="Http1Exception"/> and ends the connection; cancellation counts as the time being over, unless it came before anything was sent.</summary>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public async ValueTask<Http1Response> ExchangeAsync(TimeSpan timeout, CancellationToken cancel)
    {
        cancel.ThrowIfCancellationRequested();
        IsReusable = false;
        Volatile.Write(ref _deadline, Environment.TickCount64 + Math.Max(1, (long)timeout.TotalMilliseconds));
        var registration = cancel.CanBeCanceled ? cancel.UnsafeRegister(static connection => ((Http1Connection)connection!).Cancel(), this) : default;
        var sent = false;
        try
        {
            for (var rest = Request.WrittenMemory; !rest.IsEmpty;)
            {
                rest = rest[await _socket.SendAsync(rest, SocketFlags.None, CancellationToken.None)..];
            }

            sent = true;
            _parser.Reset();
            while (!_parser.Received(await _socket.ReceiveAsync(_parser.Space, SocketFlags.None, CancellationToken.None)))
            {
            }

            IsReusable = Interlocked.Exchange(ref _deadline, Idle) >= 0 && _parser.KeepAlive;
            return new Http1Response(_parser.Status, _parser.Body, _parser.ETag, _parser.RetryAfter);
        }
        catch (Exception cause) when (cause is SocketException or ObjectDisposedException or Http1ProtocolException)
        {
            throw Explain(cause, sent, timeout);
        }
        finally
        {
            Volatile.Write(ref _deadline, Idle);
            _usedAt = Environment.TickCount64;
            await registration.DisposeAsync();
        }
    }

    /// <summary>Ends the exchange under way if it should have ended by now, from any thread. An exchange that has just ended, or the next one, is left alone.</summary>
    public void AbortIfLate(long now)
    {
        var deadline = Volatile.Read(ref _deadline);
        if (now >= deadline && deadline >= 0 && Interlocked.CompareExchange(ref _deadline, TimedOut, deadline) == deadline)
        {
            _socket.Dispose();
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        IsReusable = false;
        DeadlineSweeper.Remove(this);
        _socket.Dispose();
    }

    /// <summary>Ends the exchange under way, if there is one.</summary>
    private void Cancel()
    {
        var deadline = Volatile.Read(ref _deadline);
        if (deadline is >= 0 and not Idle && Interlocked.CompareExchange(ref _deadline, Cancelled, deadline) == deadline)
        {
            _socket.Dispose();
        }
    }

    private Http1Exception Explain(Exception cause, bool sent, TimeSpan timeout) => Volatile.Read(ref _deadline) switch
    {
        // The time may have been over just after the last byte had left.
        TimedOut => new Http1Exception(Reached.Unclear, timedOut: true, $"{Endpoint} did not answer within {timeout.TotalSeconds:0.###} s", cause),
        Cancelled => new Http1Exception(Reached.Unclear, timedOut: true, $"interrupted while waiting for {Endpoint}", cause),
        _ when cause is Http1ProtocolException => new Http1Exception(Reached.Unclear, timedOut: false, $"{Endpoint}: {cause.Message}", cause),

        // An error while sending says that the kernel has not taken the last byte: the server can't have a whole request.
        _ => new Http1Exception(sent ? Reached.Unclear : Reached.NotSent, timedOut: false, $"the connection to {Endpoint} broke: {cause.Message}", cause),
    };
}
