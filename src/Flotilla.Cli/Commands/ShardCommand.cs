using Flotilla.Cli.Flags;
using Flotilla.Contracts;
using Flotilla.Node;
using Flotilla.Shards;
using Flotilla.Topology;

namespace Flotilla.Cli.Commands;

/// <summary><c>flotilla shard</c>: a process of one shard, by the flags of an earlier program.</summary>
internal sealed class ShardCommand : CliCommand
{
    private const int MaxShard = 1 << 20;
    private const int MaxNode = 1000;

    private static readonly Flag<int> Shard = new("--shard-id", "S", "The shard's number", Readers.Number(1, MaxShard));
    private static readonly Flag<int> Node = new("--node-id", "N", "Which of the shard's nodes this is; the node is called S-N. Number 1 begins the shard, the others wait until they are added", Readers.Number(1, MaxNode));
    private static readonly Flag<int> Port = new("--port", "PORT", "HTTP port, on the host of --raft-addr", Readers.Number(0, 65535));
    private static readonly Flag<HostPort> RaftAddress = new("--raft-addr", "HOST:PORT", "Where it serves other nodes", Readers.Address);
    private static readonly Flag<IReadOnlyList<HostPort>> PeerShards = new("--peer-shards", "HOST:PORT,…", "HTTP addresses of nodes of other shards: whose cluster the first node of a shard enters. That of shard 1 begins one if none of them has one", Readers.Addresses);
    private static readonly Flag<HostPort?> Join = new("--join", "HOST:RPC|off", "Enter the cluster of the node with that RPC address, and get a seat in the shard; read until there is one", Readers.OrOff<HostPort>(Readers.Address), "off");
    private static readonly Flag<string> DataDir = new("--data-dir", "DIR", "Directory of its log; data/unified_S_N by default", Readers.SomeText);

    public ShardCommand()
        : base(
            "shard",
            "Runs a node of one shard, until Ctrl-C or SIGTERM. Several shards, each on nodes of its own, are one cluster without config servers.",
            "flotilla shard --shard-id 1 --node-id 1 --port 8011 --raft-addr localhost:18011 --peer-shards localhost:8021,localhost:8031", "begins a cluster; HTTP on localhost:8011",
            "flotilla shard --shard-id 1 --node-id 2 --port 8012 --raft-addr localhost:18012", "waits to be added: curl -d 'nodeid=2&addr=localhost:18012' localhost:8011/raft/join",
            "flotilla shard --shard-id 2 --node-id 1 --port 8021 --raft-addr localhost:18021 --peer-shards localhost:8011,localhost:8031", "another shard: takes its share of the slots by itself")
    {
        UseUnderscored(Shard, Node, Port, RaftAddress, PeerShards, Join, DataDir);
        Use(NodeFlags.Insecure, NodeCommand.ExitWithInput);
        Use(NodeFlags.Tuning);
    }

    /// <inheritdoc/>
    public override Task<int> RunAsync(Invocation invocation) => NodeCommand.SayAndRunAsync(invocation, Read(invocation));

    /// <summary>The node that the settings describe. Throws <see cref="UsageException"/> for what makes no sense.</summary>
    internal static NodeOptions Read(Invocation invocation)
    {
        var rpc = invocation.Get(RaftAddress);
        var http = rpc with { Port = invocation.Get(Port) };
        if (http.Port == rpc.Port && http.Port != 0)
        {
            throw new UsageException($"--port {http.Port} is the port of --raft-addr {rpc}: each needs one of its own");
        }

        var peers = invocation.TryGet(PeerShards, out var given) ? given : [];
        var join = invocation.Get(Join);
        var single = new SingleShard(new ShardId(invocation.Get(Shard)), invocation.Get(Node), [.. peers.Where(peer => peer != http)]);
        var begins = join is null && single is { IsFirst: true } && single.Shard == SingleShard.First;
        NodeFlags.CheckReach(invocation, ("--port", http), (RaftAddress.Name, rpc));
        return NodeFlags.Tune(invocation, new NodeOptions
        {
            NodeId = single.Name,
            Http = http,
            Rpc = rpc,
            RpcFlag = RaftAddress.Name,
            DataDir = invocation.TryGet(DataDir, out var directory) ? directory : Path.Combine("data", $"unified_{single.Shard}_{single.Number}"),
            InitialCluster = begins ? [new ClusterMember(single.Name, rpc.ToString())] : [],
            Shards = 1,
            Join = join,
            Single = single,
            Insecure = invocation.Get(NodeFlags.Insecure),
        });
    }
}
