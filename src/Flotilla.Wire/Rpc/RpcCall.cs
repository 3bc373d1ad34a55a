using System.Diagnostics;
using Microsoft.AspNetCore.Http;

namespace Flotilla.Wire.Rpc;

/// <summary>A call as its handler sees it.</summary>
public sealed class RpcCall : IDisposable
{
    private readonly long _deadline;
    private readonly CancellationTokenSource? _source;
    private readonly HttpContext _context;

    internal RpcCall(HttpContext context, TimeSpan? timeout)
    {
        _context = context;
        if (timeout is { } time)
        {
            // A timer takes no more than about 49 days; nobody waits so long.
            time = TimeSpan.FromMilliseconds(Math.Min(time.TotalMilliseconds, int.MaxValue));
            _deadline = Stopwatch.GetTimestamp() + (long)(time.TotalSeconds * Stopwatch.Frequency);
            _source = CancellationTokenSource.CreateLinkedTokenSource(context.RequestAborted);
            _source.CancelAfter(time);
            Cancellation = _source.Token;
        }
        else
        {
            _deadline = long.MaxValue;
            Cancellation = context.RequestAborted;
        }
    }

    /// <summary>Cancelled when the caller gives up, the connection is cut or the deadline passes.</summary>
    public CancellationToken Cancellation { get; }

    /// <summary>What is left until the caller's deadline, 0 or more; null if it gave none.</summary>
    public TimeSpan? Remaining => _deadline == long.MaxValue ? null : TimeSpan.FromTicks(Math.Max(0, Stopwatch.GetElapsedTime(Stopwatch.GetTimestamp(), _deadline).Ticks));

    /// <summary>The deadline has passed. The timer decides, and not the clock: a timer may go off a little early.</summary>
    public bool IsPastDeadline => _source is { IsCancellationRequested: true } && !_context.RequestAborted.IsCancellationRequested;

    /// <summary>The remote end, as <c>ADDRESS:PORT</c>.</summary>
    public string Peer => new System.Net.IPEndPoint(_context.Connection.RemoteIpAddress ?? System.Net.IPAddress.None, _context.Connection.RemotePort).ToString();

    /// <summary>The method, as <c>/package.Service/Method</c>.</summary>
    public string Path => _context.Request.Path.Value ?? "";

    /// <summary>A header that the caller sent, or null.</summary>
    public string? Header(string name) => _context.Request.Headers.TryGetValue(name, out var values) ? values.ToString() : null;

    /// <inheritdoc/>
    public void Dispose() => _source?.Dispose();
}
