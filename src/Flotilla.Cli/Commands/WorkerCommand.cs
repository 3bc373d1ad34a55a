using System.CommandLine;
using System.Globalization;
using Flotilla.Cli.Flags;
using Flotilla.Contracts;
using Flotilla.Node;
using Flotilla.Raft;

namespace Flotilla.Cli.Commands;

/// <summary><c>flotilla worker</c>: a node that waits to be adopted, by the command line of an earlier program.</summary>
internal sealed class WorkerCommand : CliCommand
{
    /// <summary>How far above its port for other nodes a worker serves HTTP.</summary>
    internal const int HttpAboveRpc = 10_000;

    private static readonly Flag<string> NodeName = new("--node-id", "ID", "Its name, unique in the cluster; wPORT by default", Readers.NodeName);
    private static readonly Flag<string> DataDir = new("--data-dir", "DIR", "Directory of its log; data/worker_PORT by default", Readers.SomeText);

    private readonly Argument<string> _port = new("PORT") { Description = "Where it serves other nodes, on this machine; HTTP is 10000 above" };

    public WorkerCommand()
        : base(
            "worker",
            "Runs a node that waits until a master, or flotilla add-node, gives it a cluster; until Ctrl-C or SIGTERM.",
            "flotilla worker 8001", "HTTP on localhost:18001, data in data/worker_8001")
    {
        Add(_port);
        Use(NodeName, DataDir, NodeCommand.HealAfter, NodeCommand.ExitWithInput);
        Use(NodeFlags.Tuning);
    }

    /// <inheritdoc/>
    public override Task<int> RunAsync(Invocation invocation)
    {
        var rpc = AddressOf(invocation.Argument(_port)!);
        return NodeCommand.SayAndRunAsync(invocation, NodeFlags.Tune(invocation, new NodeOptions
        {
            NodeId = new NodeId(invocation.TryGet(NodeName, out var name) ? name : $"w{rpc.Port}"),
            Http = HttpOf(rpc),
            Rpc = rpc,
            RpcFlag = "PORT",
            DataDir = invocation.TryGet(DataDir, out var directory) ? directory : Path.Combine("data", $"worker_{rpc.Port}"),
            InitialCluster = [],
            HealAfter = invocation.Get(NodeCommand.HealAfter),
        }));
    }

    /// <summary>A port of this machine.</summary>
    internal static HostPort AddressOf(string text) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var port) && port is > 0 and <= 65535 - HttpAboveRpc
            ? new HostPort("localhost", port)
            : throw new UsageException($"'{text}' is no port from 1 to {65535 - HttpAboveRpc}");

    /// <summary>Where a worker serves HTTP.</summary>
    internal static HostPort HttpOf(HostPort rpc) => rpc with { Port = rpc.Port + HttpAboveRpc };
}
