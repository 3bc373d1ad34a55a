using System.Net;
using Flotilla.Contracts;
using Flotilla.Node.Cluster;
using Flotilla.Raft;

namespace Flotilla.Node.Members;

/// <summary>
/// What the address that an operator gave for a node is worth beside the one that the node itself says it has. Ports are compared, and
/// hosts where both are addresses; a name may be any of a host's, and is not looked up: then it is said that nobody compared.
/// </summary>
/// <param name="Objection">Another process was meant: in words, with what to do; null if it can be the same.</param>
/// <param name="Note">What could not be compared, to be said after how the change stands; empty for nothing.</param>
internal readonly record struct GivenAddress(string? Objection, string Note)
{
    /// <summary>Compares.</summary>
    /// <param name="node">The node.</param>
    /// <param name="given">The address that was given, or null.</param>
    /// <param name="known">The address that the node says it has, or null.</param>
    /// <param name="nodes">Where the nodes of the cluster are.</param>
    public static GivenAddress Compare(NodeId node, string? given, string? known, IReadOnlyDictionary<NodeId, NodeAddresses> nodes)
    {
        if (!HostPort.TryParse(given, out var meant, out _) || !HostPort.TryParse(known, out var there, out _))
        {
            return new GivenAddress(null, "");
        }

        var other = nodes.FirstOrDefault(n => n.Key != node && HostPort.TryParse(n.Value.Rpc, out var taken, out _) && taken.Port == meant.Port && IsSameHost(taken.Host, meant.Host) == true).Key;
        var isSame = meant.Port == there.Port ? IsSameHost(meant.Host, there.Host) : false;
        if (isSame == false || (isSame is null && !other.IsNone))
        {
            var whose = other.IsNone ? "" : $", where node {other} is";
            return new GivenAddress($"node {node} is at {known}, not at {given}{whose}: check the name and the address", "");
        }

        return new GivenAddress(null, isSame == true ? "" : $" (it says that it is at {known}; whether {given} is the same host was not compared)");
    }

    /// <summary>Null where that can't be told without looking a name up.</summary>
    private static bool? IsSameHost(string one, string other) =>
        string.Equals(one, other, StringComparison.OrdinalIgnoreCase) ? true
        : AddressesOf(one) is { } first && AddressesOf(other) is { } second ? first.Intersect(second).Any()
        : null;

    private static IPAddress[]? AddressesOf(string host) =>
        host.Equals("localhost", StringComparison.OrdinalIgnoreCase) ? [IPAddress.Loopback, IPAddress.IPv6Loopback]
        : IPAddress.TryParse(host, out var address) ? [address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address]
        : null;
}
