using System.CommandLine;
using Flotilla.Cli.Flags;
using Flotilla.Contracts;
using Flotilla.Node;
using Flotilla.Node.Members;
using Flotilla.Topology.Descriptors;

namespace Flotilla.Cli.Commands;

/// <summary><c>flotilla master</c>: makes a cluster of workers, and is a router to it, by the command line of an earlier program.</summary>
internal sealed class MasterCommand : CliCommand
{
    private static readonly Flag<string> Mode = new("--mode", "MODE", "How the shards replicate at first: raft, sync or chain; flotilla mode switches them later", Readers.OneOf("raft", "sync", "chain", "quorum", "async"), "sync") { OneDash = true };
    private static readonly Flag<HostPort> Http = new("--http", "HOST:PORT", "Where it serves clients", Readers.Address, "localhost:8080");

    private readonly Argument<string> _port = new("RPCPORT") { Description = "Taken and not used: workers have nothing to ask a master" };
    private readonly Argument<string[]> _workers = new("WORKER:PORT") { Description = "Where each worker serves other nodes", Arity = ArgumentArity.OneOrMore };

    public MasterCommand()
        : base(
            "master",
            "Makes a cluster of workers, with one shard for each, and routes requests to it, until Ctrl-C or SIGTERM. The workers need it for nothing else: it may end, and several may run.",
            "flotilla master -mode=chain 8000 localhost:8001 localhost:8002 localhost:8003", "HTTP on localhost:8080")
    {
        Add(_port);
        Add(_workers);
        Use(Mode, Http, NodeFlags.Insecure, NodeCommand.ExitWithInput);
    }

    /// <inheritdoc/>
    public override async Task<int> RunAsync(Invocation invocation)
    {
        _ = WorkerCommand.AddressOf(invocation.Argument(_port)!);
        var mode = NodeFlags.ModeOf(invocation.Get(Mode));
        HostPort[] workers = [.. (invocation.Argument(_workers) ?? []).Select(AddressOf)];
        if (workers.Distinct().Count() != workers.Length || workers.Length < 2)
        {
            throw new UsageException("at least two workers are needed, each named once; a cluster of one node is: flotilla node");
        }

        var listen = invocation.Get(Http);
        NodeFlags.CheckReach(invocation, ("--http", listen));
        var shell = invocation.Shell;
        using var stop = InputWatch.Start(invocation.Get(NodeCommand.ExitWithInput), shell);
        try
        {
            await ClusterFormer.FormAsync([.. workers.Select(static rpc => (rpc, WorkerCommand.HttpOf(rpc)))], mode, shell.Err, stop.Token);
        }
        catch (OperationCanceledException) when (stop.Token.IsCancellationRequested)
        {
            return ExitCode.Done;
        }

        await shell.Runner.RunRouterAsync(new RouterOptions { Listen = listen, Nodes = [.. workers.Select(WorkerCommand.HttpOf)], Insecure = invocation.Get(NodeFlags.Insecure) }, shell.Err, stop.Token);
        return ExitCode.Done;
    }

    private static HostPort AddressOf(string text) =>
        HostPort.TryParse(text, out var address, out var problem) && address.Port is > 0 and <= 65535 - WorkerCommand.HttpAboveRpc
            ? address
            : throw new UsageException($"'{text}' is no worker's HOST:PORT{(problem is { Length: > 0 } ? $": {problem}" : "")}");
}
