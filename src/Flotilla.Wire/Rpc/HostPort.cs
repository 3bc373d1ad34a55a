using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace Flotilla.Wire.Rpc;

/// <summary>An address as the operator wrote it. The name is resolved at each dial, never kept.</summary>
/// <param name="Host">A name or an IP address (IPv6 without brackets).</param>
/// <param name="Port">0 to 65535; 0 only to listen on a free port.</param>
public readonly record struct HostPort(string Host, int Port)
{
    /// <summary>True for <c>localhost</c> and loopback addresses.</summary>
    public bool IsLoopback => IsLocalhost || (IPAddress.TryParse(Host, out var ip) && IPAddress.IsLoopback(ip));

    /// <summary>The name <c>localhost</c>, which stands for both loopback addresses.</summary>
    public bool IsLocalhost => string.Equals(Host, "localhost", StringComparison.OrdinalIgnoreCase);

    /// <summary>Reads <c>HOST:PORT</c>, <c>[IPV6]:PORT</c> or <c>*:PORT</c>.</summary>
    public static bool TryParse(string? text, out HostPort address)
    {
        address = default;
        var colon = text?.LastIndexOf(':') ?? -1;
        if (colon <= 0 || !int.TryParse(text.AsSpan(colon + 1), NumberStyles.None, CultureInfo.InvariantCulture, out var port) || port > 65535)
        {
            return false;
        }

        var host = text![..colon];
        if (host.StartsWith('[') && host.EndsWith(']'))
        {
            host = host[1..^1];
            if (!IPAddress.TryParse(host, out var ip) || ip.AddressFamily != AddressFamily.InterNetworkV6)
            {
                return false;
            }
        }
        else if (host != "*" && Uri.CheckHostName(host) is UriHostNameType.Unknown or UriHostNameType.IPv6)
        {
            return false;
        }

        address = new HostPort(host, port);
        return true;
    }

    /// <summary>Reads <c>HOST:PORT</c>.</summary>
    /// <exception cref="FormatException">It is not one.</exception>
    public static HostPort Parse(string? text) => TryParse(text, out var address) ? address : throw new FormatException($"'{text}' is not an address of the form HOST:PORT");

    /// <summary>The end points to listen on. <c>localhost</c> gives both loopback addresses where the system has both.</summary>
    /// <exception cref="SocketException">The name is unknown.</exception>
    public async Task<IReadOnlyList<IPEndPoint>> ResolveListenAsync(CancellationToken cancellation = default)
    {
        var port = Port;
        if (IsLocalhost)
        {
            // A free port is drawn by the system for one socket: two sockets would get two ports.
            return Socket.OSSupportsIPv6 && port != 0 ? [new(IPAddress.Loopback, port), new(IPAddress.IPv6Loopback, port)] : [new(IPAddress.Loopback, port)];
        }

        if (Host == "*")
        {
            return [new(Socket.OSSupportsIPv6 ? IPAddress.IPv6Any : IPAddress.Any, port)];
        }

        if (IPAddress.TryParse(Host, out var ip))
        {
            return [new(ip, port)];
        }

        var found = await Dns.GetHostAddressesAsync(Host, cancellation).ConfigureAwait(false);
        return [.. found.Select(a => new IPEndPoint(a, port))];
    }

    /// <inheritdoc/>
    public override string ToString() => Host.Contains(':', StringComparison.Ordinal) ? $"[{Host}]:{Port}" : $"{Host}:{Port}";
}
