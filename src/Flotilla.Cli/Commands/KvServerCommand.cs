using Flotilla.Cli.Flags;
using Flotilla.Contracts;
using Flotilla.Node;
using Flotilla.Raft;
using Flotilla.Shards;

namespace Flotilla.Cli.Commands;

/// <summary><c>flotilla kvserver</c>: a node by the flags of an earlier program, with one shard.</summary>
internal sealed class KvServerCommand : CliCommand
{
    private const int FirstHttpPort = 9000;
    private const int HttpBelowRpc = 1000;

    private static readonly Flag<HostPort> Address = new("--address", "HOST:RPC", "Where it serves other nodes and gRPC clients", Readers.Address) { OneDash = true };
    private static readonly Flag<string> Id = new("--id", "ID", "The node's name, unique in the cluster", Readers.NodeName) { OneDash = true };
    private static readonly Flag<bool> Bootstrap = new("--bs", "true|false", "Begin a cluster; every other node waits until it is added to one", Readers.OnOff, "false") { Alone = "true", OneDash = true };
    private static readonly Flag<HostPort> Http = new("--http", "HOST:PORT", "Where it serves HTTP; with --bs port 9000 by default, else the RPC port - 1000, on the host of --address", Readers.Address) { OneDash = true };
    private static readonly Flag<string> DataDir = new("--data-dir", "DIR", "Directory of its log; data/ID by default", Readers.SomeText) { OneDash = true };

    public KvServerCommand()
        : base(
            "kvserver",
            "Runs a node of a cluster with one shard, until Ctrl-C or SIGTERM: the first one begins the cluster, the others wait until they are added.",
            "flotilla kvserver --address localhost:10001 --id node1 --bs true", "begins a cluster; HTTP on localhost:9000",
            "flotilla kvserver --address localhost:10002 --id node2", "waits to be added: curl localhost:9000/AddVoter/localhost:10002/node2")
    {
        Use(Address, Id, Bootstrap, Http, DataDir, NodeFlags.Insecure, NodeCommand.ExitWithInput);
        Use(NodeFlags.Tuning);
    }

    /// <inheritdoc/>
    public override Task<int> RunAsync(Invocation invocation) => NodeCommand.SayAndRunAsync(invocation, Read(invocation));

    /// <summary>The node that the settings describe. Throws <see cref="UsageException"/> for what makes no sense.</summary>
    internal static NodeOptions Read(Invocation invocation)
    {
        var rpc = invocation.Get(Address);
        var id = invocation.Get(Id);
        var begins = invocation.Get(Bootstrap);
        var options = new NodeOptions
        {
            NodeId = new NodeId(id),
            Http = invocation.TryGet(Http, out var http) ? http : rpc with { Port = begins ? FirstHttpPort : BelowRpc(rpc) },
            Rpc = rpc,
            RpcFlag = Address.Name,
            DataDir = invocation.TryGet(DataDir, out var directory) ? directory : Path.Combine("data", id),
            InitialCluster = begins ? [new ClusterMember(new NodeId(id), rpc.ToString())] : [],
            Shards = 1,
            Insecure = invocation.Get(NodeFlags.Insecure),
        };
        NodeFlags.CheckReach(invocation, ("--http", options.Http), ("--address", rpc));
        return NodeFlags.Tune(invocation, options);
    }

    private static int BelowRpc(HostPort rpc) => rpc.Port > HttpBelowRpc
        ? rpc.Port - HttpBelowRpc
        : throw new UsageException($"--address {rpc}: HTTP takes the RPC port - {HttpBelowRpc}, and there is none: give --http HOST:PORT");
}
