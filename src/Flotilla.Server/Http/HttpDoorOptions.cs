using System.Reflection;
using Flotilla.Contracts;
using Flotilla.Contracts.Http;
using Flotilla.Topology;

namespace Flotilla.Server.Http;

/// <summary>What the HTTP door is told at its start. Immutable.</summary>
public sealed record HttpDoorOptions
{
    /// <summary>Where to listen. <c>localhost</c> binds 127.0.0.1 and [::1]; port 0 asks for a free port.</summary>
    public required HostPort Listen { get; init; }

    /// <summary>The flag that set <see cref="Listen"/>, for the message about a port in use. Default <c>--http</c>.</summary>
    public string ListenFlag { get; init; } = "--http";

    /// <summary>
    /// Why this node belongs to no cluster yet, and what to do; null once it does, which it never ceases to. Until then everything but
    /// probes and metrics is answered 503 <c>not_joined</c>. Called for each request.
    /// </summary>
    public Func<string?> NotJoined { get; init; } = static () => null;

    /// <summary>Who this node is, for answers of <c>not_joined</c>: who is to add it need not be told. Null: they do not say.</summary>
    public Func<WaitingDocument>? Waiting { get; init; }

    /// <summary>The process is for this shard alone: a bare number names one of the shard's nodes. Null for any other process.</summary>
    public ShardId? Single { get; init; }

    /// <summary>What a request that says nothing of <c>forward</c> gets: false answers 409 <c>not_leader</c> where this node does not lead. Default true.</summary>
    public bool ForwardDefault { get; init; } = true;

    /// <summary>Longest key in bytes, as the replicas enforce it. Default 4 KiB.</summary>
    public int MaxKeyBytes { get; init; } = 4 << 10;

    /// <summary>Longest value in bytes, as the replicas enforce it; a body is read no further than such a value can need. Default 1 MiB.</summary>
    public int MaxValueBytes { get; init; } = 1 << 20;

    /// <summary>Requests under way before new ones are answered 429 (probes and metrics excepted). Default 10,000.</summary>
    public int MaxInFlight { get; init; } = 10_000;

    /// <summary>Bytes of request bodies held at once before more are answered 429. Default 256 MiB.</summary>
    public long MaxBodyBytesInFlight { get; init; } = 256L << 20;

    /// <summary>Open connections; more are closed at once. Default 20,000.</summary>
    public int MaxConnections { get; init; } = 20_000;

    /// <summary>Bytes of keys and values on one page of a listing (at least one record comes). Default 1 MiB.</summary>
    public int MaxPageBytes { get; init; } = 1 << 20;

    /// <summary>How long a body may stay below 240 bytes a second before the connection is closed; over 1 s. Default 5 s.</summary>
    public TimeSpan SlowBodyGrace { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>How long a door that stops still takes requests, each answer being its connection's last. Default 250 ms: a client that asks less often looks at its connection first.</summary>
    public TimeSpan Farewell { get; init; } = TimeSpan.FromMilliseconds(250);

    /// <summary>How often a watch is told how far it has come, whether or not anything happens. Default 5 s.</summary>
    public TimeSpan WatchHeartbeat { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>The program's version, for <c>/metrics</c>. Default what this assembly was built as, with the commit.</summary>
    public string Version { get; init; } = typeof(HttpDoorOptions).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "unknown";

    /// <summary>The longest JSON body: each byte of a value may be written as a six-byte escape, and the braces need room.</summary>
    internal long MaxJsonBytes => (6L * MaxValueBytes) + 4096;
}
