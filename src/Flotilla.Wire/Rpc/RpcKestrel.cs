using System.Net;
using Flotilla.Contracts;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace Flotilla.Wire.Rpc;

/// <summary>
/// How Kestrel must be set for this binding. Its limits hold for a whole server, not for one listener: give the RPC
/// listener a server of its own (<see cref="RpcListener"/>), or all HTTP listeners share these.
/// </summary>
public static class RpcKestrel
{
    /// <summary>Unread bytes that one stream may have under way, both ways.</summary>
    public const int StreamWindowBytes = 4 << 20;

    /// <summary>Unread bytes that one connection may have under way.</summary>
    public const int ConnectionWindowBytes = 16 << 20;

    /// <summary>
    /// Streams that one connection may have open. It also bounds rapid reset (CVE-2023-44487, hazard 61): .NET 10's Kestrel
    /// counts a reset stream until its handler has ended, tracks no more than twice this many, answers more with
    /// ENHANCE_YOUR_CALM, and closes a connection that goes on (20 times within five seconds).
    /// </summary>
    public const int MaxStreamsPerConnection = 256;

    /// <summary>Connections that one listener has open; more are closed at once.</summary>
    public const int MaxConnections = 10_000;

    /// <summary>Sets windows, pings and limits.</summary>
    public static void Configure(KestrelServerLimits limits)
    {
        ArgumentNullException.ThrowIfNull(limits);
        limits.Http2.InitialStreamWindowSize = StreamWindowBytes;
        limits.Http2.InitialConnectionWindowSize = ConnectionWindowBytes;
        limits.Http2.MaxStreamsPerConnection = MaxStreamsPerConnection;
        limits.Http2.KeepAlivePingDelay = TimeSpan.FromSeconds(5);
        limits.Http2.KeepAlivePingTimeout = TimeSpan.FromSeconds(10);
        limits.MaxConcurrentConnections = MaxConnections;
        limits.MaxRequestHeadersTotalSize = 16 << 10;
        limits.MaxResponseBufferSize = 1 << 20;

        // A peer that is stopped for a while, or a monitor that looks away, is not cut for its slowness: pings find the dead.
        limits.MinResponseDataRate = null;
    }

    /// <summary>
    /// Listens for HTTP/2 without TLS, with prior knowledge (RFC 9113, section 3.3). <c>localhost</c> stands for both loopback
    /// addresses, a name for all that it resolves to.
    /// </summary>
    /// <exception cref="System.Net.Sockets.SocketException">The name is unknown.</exception>
    public static async Task ListenAsync(KestrelServerOptions options, HostPort address, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(options);
        static void Http2(ListenOptions listen) => listen.Protocols = HttpProtocols.Http2;
        if (string.Equals(address.Host, "localhost", StringComparison.OrdinalIgnoreCase))
        {
            // The system draws a free port for one socket only. With a given one Kestrel goes on if just one of the two is there.
            if (address.Port == 0)
            {
                options.Listen(IPAddress.Loopback, 0, Http2);
            }
            else
            {
                options.ListenLocalhost(address.Port, Http2);
            }
        }
        else if (IPAddress.TryParse(address.Host, out var ip))
        {
            options.Listen(ip, address.Port, Http2);
        }
        else
        {
            foreach (var found in await Dns.GetHostAddressesAsync(address.Host, cancellation).ConfigureAwait(false))
            {
                options.Listen(found, address.Port, Http2);
            }
        }
    }
}
