using Flotilla.Contracts;

namespace Flotilla.Client;

/// <summary>Where a client finds the cluster, and how patient it is.</summary>
public sealed record FlotillaClientOptions
{
    /// <summary>Nodes or routers, in order of preference; at least one.</summary>
    public required IReadOnlyList<HostPort> Endpoints { get; init; }

    /// <summary>The longest a call may take with all its attempts. Default 10 s.</summary>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>
    /// Sends each write under an <c>Idempotency-Key</c> of its own, so that one whose outcome is unknown is sent again, within
    /// <see cref="Timeout"/>, and takes effect once. A key costs each replica a microsecond, 50 bytes of log and 60 of memory, and
    /// is kept for <see cref="Timeout"/> and 10 s more; a shard keeps a million keys, enough for some 50,000 new ones a second,
    /// and answers 429 beyond that. Off: a write goes without, and its first unclear attempt is its last. Default on.
    /// </summary>
    public bool ExactlyOnce { get; init; } = true;

    /// <summary>How long one attempt of a write may wait for its answer before its outcome is unknown. Default 6 s: a little more than a node's own limit, so that its definite answer still arrives.</summary>
    public TimeSpan WriteAttemptTimeout { get; init; } = TimeSpan.FromSeconds(6);

    /// <summary>How long one attempt of a read may wait before another endpoint is asked. Default 2 s.</summary>
    public TimeSpan ReadAttemptTimeout { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>Give up after so long, before <see cref="Timeout"/>, if nothing at all listens at any endpoint: that is no election, but a cluster that does not run. Default 2 s.</summary>
    public TimeSpan RefusedPatience { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>How long a connection may take to stand. Default 1 s.</summary>
    public TimeSpan ConnectTimeout { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>Sends each request to the node that leads the key's shard, learned from <c>/config</c> and kept up to date by hints: saves a hop. Off by default: any node forwards.</summary>
    public bool DirectRouting { get; init; }

    /// <summary>Spreads requests over all endpoints in turn instead of preferring the first. Off by default.</summary>
    public bool Spread { get; init; }

    /// <summary>Idle connections kept per endpoint. Default 256.</summary>
    public int MaxIdleConnections { get; init; } = 256;
}
