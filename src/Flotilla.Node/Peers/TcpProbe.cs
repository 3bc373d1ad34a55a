using System.Net;
using System.Net.Sockets;
using Flotilla.Contracts;

namespace Flotilla.Node.Peers;

/// <summary>A bare connect, to tell a process that is gone from one that is only slow.</summary>
internal static class TcpProbe
{
    /// <summary>True if the host answered that nobody listens there.</summary>
    public static async Task<bool> IsRefusedAsync(string? address, CancellationToken cancellation)
    {
        if (!HostPort.TryParse(address, out var target, out _))
        {
            return false;
        }

        using var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
        try
        {
            using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
            limit.CancelAfter(500);
            await socket.ConnectAsync(new DnsEndPoint(target.Host, target.Port), limit.Token);
            return false;
        }
        catch (SocketException e)
        {
            return e.SocketErrorCode == SocketError.ConnectionRefused;
        }
        catch (OperationCanceledException)
        {
            return false;
        }
    }
}
