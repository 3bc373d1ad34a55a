using Flotilla.Contracts;

namespace Flotilla.Client;

/// <summary>The idle connections to one endpoint, and what is known of its health. Thread-safe.</summary>
internal sealed class ConnectionPool(HostPort endpoint, int maxIdle) : IDisposable
{
    private readonly Lock _gate = new();
    private readonly Stack<Http1Connection> _idle = new();
    private bool _disposed;
    private long _suspectUntil;

    /// <summary>The endpoint.</summary>
    public HostPort Endpoint { get; } = endpoint;

    /// <summary>Its <c>HOST:PORT</c>, as the Host header says it.</summary>
    public string Name { get; } = endpoint.ToString();

    /// <summary>It failed a moment ago: others come first for a while.</summary>
    public bool IsSuspect => Environment.TickCount64 < Volatile.Read(ref _suspectUntil);

    /// <summary>Puts the endpoint behind the others for a while.</summary>
    public void Suspect(TimeSpan time) => Volatile.Write(ref _suspectUntil, Environment.TickCount64 + (long)time.TotalMilliseconds);

    /// <summary>It answers.</summary>
    public void Trust()
    {
        if (Volatile.Read(ref _suspectUntil) != 0)
        {
            Volatile.Write(ref _suspectUntil, 0);
        }
    }

    /// <summary>An idle connection that still stands, or a new one. Return it or dispose it.</summary>
    public ValueTask<Http1Connection> RentAsync(TimeSpan connectTimeout, CancellationToken cancel)
    {
        while (true)
        {
            Http1Connection? idle;
            lock (_gate)
            {
                ObjectDisposedException.ThrowIf(_disposed, this);
                _ = _idle.TryPop(out idle);
            }

            if (idle is null)
            {
                return Http1Connection.ConnectAsync(Endpoint, connectTimeout, cancel);
            }

            if (idle.IsFresh())
            {
                return ValueTask.FromResult(idle);
            }

            idle.Dispose();
        }
    }

    /// <summary>Takes a connection back; one that can't be used again is closed.</summary>
    public void Return(Http1Connection connection)
    {
        if (connection.IsReusable)
        {
            lock (_gate)
            {
                if (!_disposed && _idle.Count < maxIdle)
                {
                    _idle.Push(connection);
                    return;
                }
            }
        }

        connection.Dispose();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (_gate)
        {
            _disposed = true;
            while (_idle.TryPop(out var connection))
            {
                connection.Dispose();
            }
        }
    }
}
