using System.Globalization;
using Flotilla.Cli.Flags;
using Flotilla.Contracts;
using Flotilla.Node;

namespace Flotilla.Cli.Commands;

/// <summary><c>flotilla router</c>.</summary>
internal sealed class RouterCommand : CliCommand
{
    private static readonly Flag<HostPort> Listen = new("--listen", "HOST:PORT", "Where it serves clients over HTTP", Readers.Address, "127.0.0.1:3000");
    private static readonly Flag<IReadOnlyList<HostPort>> Nodes = new("--nodes", "HOST:PORT,…", "HTTP addresses of nodes to learn the cluster from; one that answers is enough", Readers.Addresses) { Repeatable = true };
    private static readonly Flag<string> ShardPorts = new("--shard-ports", "PORT,…", "The same as ports on this machine", Readers.SomeText);
    private static readonly Flag<TimeSpan> RequestTimeout = new("--request-timeout", "TIME", "How long a client's call may take", Readers.Time(TimeSpan.FromMilliseconds(1), TimeSpan.FromHours(1)), "5s");

    public RouterCommand()
        : base(
            "router",
            "Runs a router until Ctrl-C or SIGTERM: a node without data that passes requests on to the leaders.",
            "flotilla router --nodes 127.0.0.1:8001,127.0.0.1:8002,127.0.0.1:8003", "on 127.0.0.1:3000",
            "flotilla router --listen 127.0.0.1:3001 --shard-ports 8011,8021,8031", "nodes as ports on this machine")
    {
        Use(Listen, Nodes);
        UseUnderscored(ShardPorts);
        Use(RequestTimeout, NodeFlags.Insecure, NodeCommand.ExitWithInput);
    }

    /// <inheritdoc/>
    public override async Task<int> RunAsync(Invocation invocation)
    {
        var options = Read(invocation);
        var shell = invocation.Shell;
        using var stop = InputWatch.Start(invocation.Get(NodeCommand.ExitWithInput), shell);
        await shell.Runner.RunRouterAsync(options, shell.Err, stop.Token);
        return ExitCode.Done;
    }

    /// <summary>The router that the settings describe.</summary>
    internal static RouterOptions Read(Invocation invocation)
    {
        var nodes = invocation.TryGet(Nodes, out var given) ? given.ToList() : [];
        if (invocation.TryGet(ShardPorts, out var ports))
        {
            foreach (var port in ports.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
            {
                nodes.Add(int.TryParse(port, NumberStyles.None, CultureInfo.InvariantCulture, out var number) && number is > 0 and <= 65535
                    ? new HostPort("127.0.0.1", number)
                    : throw new UsageException($"--shard-ports: ports such as 8011,8021 are needed, not '{port}'"));
            }
        }

        if (nodes.Count == 0)
        {
            throw new UsageException("--nodes is needed: the HTTP address of at least one node (or --shard-ports)");
        }

        var listen = invocation.Get(Listen);
        NodeFlags.CheckReach(invocation, ("--listen", listen));
        return new RouterOptions { Listen = listen, Nodes = nodes, Insecure = invocation.Get(NodeFlags.Insecure), RequestTimeout = invocation.Get(RequestTimeout) };
    }
}
