using Flotilla.Contracts;
using Flotilla.Raft;
using Flotilla.Shards;
using Flotilla.Storage;
using Flotilla.Topology.Descriptors;

namespace Flotilla.Node;

/// <summary>
/// Everything a node is told at its start. Immutable; validated by the command line before it gets here, so a node only
/// checks what it alone can know (ports in use, whose data directory it is).
/// </summary>
public sealed record NodeOptions
{
    /// <summary>The node's name, unique in the cluster.</summary>
    public required NodeId NodeId { get; init; }

    /// <summary>Where clients reach it over HTTP, and where it listens. <c>localhost</c> binds both loopback addresses.</summary>
    public required HostPort Http { get; init; }

    /// <summary>Where other nodes reach it, and where it listens for them.</summary>
    public required HostPort Rpc { get; init; }

    /// <summary>The flag that set <see cref="Rpc"/>, for messages about it. Default <c>--rpc</c>.</summary>
    public string RpcFlag { get; init; } = "--rpc";

    /// <summary>The directory of its log and identity; created if missing. One process at a time may use it.</summary>
    public required string DataDir { get; init; }

    /// <summary>
    /// The initial nodes with their RPC addresses, this one among them; the same on every node. Read once, at the first
    /// start of a data directory. Empty for a node that enters a cluster: that of <see cref="Join"/>, or the one at whose member
    /// an operator adds it, for which it waits.
    /// </summary>
    public required IReadOnlyList<ClusterMember> InitialCluster { get; init; }

    /// <summary>HTTP addresses of nodes where the operator gave them (<c>--http-peers</c>): what leader hints say until a node has told its own.</summary>
    public IReadOnlyDictionary<NodeId, HostPort> PeerHttp { get; init; } = new Dictionary<NodeId, HostPort>();

    /// <summary>How many shards a new cluster has, 1 to 1000. Default 3. Read once, at the first start.</summary>
    public int Shards { get; init; } = 3;

    /// <summary>How many replicas a shard is meant to have, 1 to 7. Default 3; a target, never a condition for serving. Read once, at the first start.</summary>
    public int Replicas { get; init; } = 3;

    /// <summary>How a new cluster's shards replicate: raft (the default), sync or chain. Read once, at the first start; a running cluster is switched (docs/modes.md).</summary>
    public ShardMode Mode { get; init; } = ShardMode.Raft;

    /// <summary>
    /// The RPC address of a node whose cluster to join, or null. Asked at the first start of a data directory; <see cref="InitialCluster"/>,
    /// <see cref="Shards"/> and <see cref="Replicas"/> are then that cluster's.
    /// </summary>
    public HostPort? Join { get; init; }

    /// <summary>It begins no cluster, but enters one: it asks <see cref="Join"/>, or waits until it is added.</summary>
    public bool Enters => Join is not null || InitialCluster.Count == 0;

    /// <summary>How many shards begin at this node when it enters a cluster, 1 to 1000; null for none. In a cluster that begins, <see cref="Shards"/> says how many there are.</summary>
    public int? ShardsPerNode { get; init; }

    /// <summary>The process is for one shard alone (<c>flotilla shard</c>); null for a node that hosts whatever it is given.</summary>
    public SingleShard? Single { get; init; }

    /// <summary>False: a request for a shard that this node does not lead is answered 409 <c>not_leader</c> unless it says <c>?forward=true</c>. Default true.</summary>
    public bool Forward { get; init; } = true;

    /// <summary>After how long the in-sync set gives up an unreachable member; null for never (<c>off</c>). Default 10 s. Has no meaning in mode <c>raft</c>.</summary>
    public TimeSpan? HealAfter { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>The operator accepts that anyone who reaches the addresses may read and write. Needed for addresses beyond loopback.</summary>
    public bool Insecure { get; init; }

    /// <summary>Times and limits of each replica, Raft's among them.</summary>
    public ReplicaOptions Replica { get; init; } = new();

    /// <summary>Sizes of the write-ahead log.</summary>
    public WalOptions Wal { get; init; } = new();

    /// <summary>How many may watch records through this process at once; more are answered <c>overloaded</c>. Default 256.</summary>
    public int MaxWatches { get; init; } = 256;

    /// <summary>How long a client's call may take before it is answered <c>no_quorum</c> or <c>indeterminate</c>, unless it says otherwise. Default 5 s.</summary>
    public TimeSpan RequestTimeout { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>
    /// How long the replica of a retired shard stays after this node has learned that it is retired: so that calls under way and those who watch
    /// get from it what is left. Longer than calls take. Default 15 s.
    /// </summary>
    public TimeSpan RetiredPatience { get; init; } = TimeSpan.FromSeconds(15);

    /// <summary>Where to dial another node, given its RPC address: for tests that stand in between.</summary>
    internal Func<NodeId, string, string> Way { get; init; } = static (_, address) => address;
}

/// <summary>Everything a router is told at its start: a gateway without replicas.</summary>
public sealed record RouterOptions
{
    /// <summary>Where it listens for HTTP. Default 127.0.0.1:3000.</summary>
    public HostPort Listen { get; init; } = new("127.0.0.1", 3000);

    /// <summary>HTTP addresses of nodes to learn the cluster from; one that answers is enough. At least one.</summary>
    public required IReadOnlyList<HostPort> Nodes { get; init; }

    /// <summary>As <see cref="NodeOptions.Insecure"/>.</summary>
    public bool Insecure { get; init; }

    /// <summary>As <see cref="NodeOptions.MaxWatches"/>.</summary>
    public int MaxWatches { get; init; } = 256;

    /// <summary>As <see cref="NodeOptions.RequestTimeout"/>.</summary>
    public TimeSpan RequestTimeout { get; init; } = TimeSpan.FromSeconds(5);
}
