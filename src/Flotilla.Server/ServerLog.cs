using Flotilla.Contracts;
using Flotilla.Raft;
using Microsoft.Extensions.Logging;

namespace Flotilla.Server;

/// <summary>What the composition root logs. Event ids are stable: 3000 and up.</summary>
internal static partial class ServerLog
{
    [LoggerMessage(EventId = 3000, Level = LogLevel.Warning, Message = "{Difference} Give the flag its first value to end this warning; to start over with another, use an empty data directory on every node.")]
    public static partial void FlagIgnored(this ILogger log, string difference);

    [LoggerMessage(EventId = 3001, Level = LogLevel.Information, Message = "Node {Node} has joined cluster {ClusterId:x16}, of which {Contact} told it ({Nodes} nodes). It hosts no replica until a shard wants one.")]
    public static partial void Joined(this ILogger log, NodeId node, ulong clusterId, string contact, int nodes);

    [LoggerMessage(EventId = 3002, Level = LogLevel.Information, Message = "HTTP on {Http} and RPC on {Rpc} answer not_joined so far. {Next}")]
    public static partial void WaitsToBeAdded(this ILogger log, HostPort http, HostPort rpc, string next);

    [LoggerMessage(EventId = 3003, Level = LogLevel.Information, Message = "Node {Node} was added to cluster {ClusterId:x16} at node {Caller}, which told it of {Nodes} nodes. It hosts no replica until a shard wants one.")]
    public static partial void Adopted(this ILogger log, NodeId node, ulong clusterId, NodeId caller, int nodes);
}
