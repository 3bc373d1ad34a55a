using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Net;

namespace Flotilla.Contracts;

/// <summary>
/// An address as flags, documents and messages write it: <c>HOST:PORT</c>. The host is a name, an IPv4 address or an
/// IPv6 address in square brackets; names are resolved at each dial, never here.
/// </summary>
/// <param name="Host">The name or address, without brackets; never empty.</param>
/// <param name="Port">0 to 65535; 0 asks the system for a free port where one listens.</param>
public readonly record struct HostPort(string Host, int Port)
{
    /// <summary>True if only this machine can reach it: <c>localhost</c>, 127.0.0.0/8 or <c>::1</c>.</summary>
    public bool IsLoopback => Host.Equals("localhost", StringComparison.OrdinalIgnoreCase)
        || (IPAddress.TryParse(Host, out var address) && IPAddress.IsLoopback(address));

    /// <summary>Reads <c>HOST:PORT</c>. False, with what is wrong in words, for anything else.</summary>
    public static bool TryParse([NotNullWhen(true)] string? text, out HostPort result, out string problem)
    {
        result = default;
        var colon = text?.LastIndexOf(':') ?? -1;
        if (text is null || colon <= 0)
        {
            problem = $"'{text}' is not HOST:PORT, for example 127.0.0.1:8001";
            return false;
        }

        var host = text[..colon];
        if (host is ['[', .. var inner, ']'])
        {
            if (!IPAddress.TryParse(inner, out var address) || address.AddressFamily != System.Net.Sockets.AddressFamily.InterNetworkV6)
            {
                problem = $"'{inner}' in '{text}' is not an IPv6 address";
                return false;
            }

            host = inner;
        }
        else if (host.Contains(':', StringComparison.Ordinal))
        {
            problem = $"'{text}': an IPv6 address goes into brackets, for example [::1]:8001, and a URL's http:// does not belong here";
            return false;
        }
        else if (Uri.CheckHostName(host) == UriHostNameType.Unknown)
        {
            problem = $"'{host}' in '{text}' is not a host name";
            return false;
        }

        if (!int.TryParse(text.AsSpan(colon + 1), NumberStyles.None, CultureInfo.InvariantCulture, out var port) || port > 65535)
        {
            problem = $"'{text[(colon + 1)..]}' in '{text}' is not a port (0 to 65535)";
            return false;
        }

        problem = "";
        result = new HostPort(host, port);
        return true;
    }

    /// <summary>Reads <c>HOST:PORT</c>, or throws <see cref="FormatException"/> saying what is wrong.</summary>
    public static HostPort Parse(string text) => TryParse(text, out var result, out var problem) ? result : throw new FormatException(problem);

    /// <summary><c>HOST:PORT</c>, with brackets around an IPv6 address.</summary>
    public override string ToString() => Host.Contains(':', StringComparison.Ordinal) ? $"[{Host}]:{Port}" : $"{Host}:{Port}";
}
