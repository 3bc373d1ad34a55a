using System.Globalization;
using Flotilla.Cli.Output;
using Flotilla.Cli.Status;
using Flotilla.Client;

namespace Flotilla.Cli.Commands;

/// <summary><c>flotilla status</c>.</summary>
internal sealed class StatusCommand : CliCommand
{
    public StatusCommand()
        : base(
            "status",
            "Shows nodes and shards: who leads, who is alive, how many records, who is behind.",
            "flotilla status", "two tables",
            "flotilla status --output json", "all of it as one JSON document, replicas with their indexes among it") =>
        Use(CommonFlags.Client);

    /// <inheritdoc/>
    public override async Task<int> RunAsync(Invocation invocation)
    {
        var shell = invocation.Shell;
        var json = CommonFlags.Json(invocation);
        using var client = new FlotillaClient(CommonFlags.ClientOptions(invocation));
        var result = await ClusterOverview.CollectAsync(client, shell.Stop);
        if (result.Document is not { } overview)
        {
            return CommonFlags.Explain(invocation, result.Outcome, result.Error);
        }

        if (overview.Shards.Count == 0)
        {
            // A router, or a node that has just joined, before it has heard of anybody.
            await shell.Err.WriteLineAsync($"unavailable: {(overview.Router ? "router" : "node")} {overview.Asked} has not learned yet which shards there are; try again in a moment, or ask another with --endpoint");
            return ExitCode.Unavailable;
        }

        if (json)
        {
            Json.WriteLine(shell.Out, overview);
            return ExitCode.Done;
        }

        Nodes(overview).Write(shell);
        shell.Out.WriteLine();
        Shards(overview).Write(shell);
        foreach (var shard in overview.Shards.Where(s => s.Leader is null))
        {
            shell.Err.WriteLine($"shard {shard.Id} has no leader known to {overview.Asked}: it can't take writes");
        }

        foreach (var warning in overview.Warnings)
        {
            shell.Err.WriteLine(warning);
        }

        return ExitCode.Done;
    }

    /// <summary>The nodes as rows.</summary>
    internal static Grid Nodes(ClusterOverview overview)
    {
        var grid = new Grid($"cluster {overview.ClusterId}, asked {(overview.Router ? "router" : "node")} {overview.Asked}", "node", "http", "rpc", "alive", "leads", "replicas", "keys");
        foreach (var node in overview.Nodes)
        {
            var alive = (node.Alive, node.Answers) switch
            {
                (true, true) => "yes",
                (true, false) => "no answer",
                (false, true) => "cut off",
                _ => "no",
            };
            grid.Add(node.Id, node.Http ?? "-", node.Rpc ?? "-", alive, Text(node.Leads), node.Answers ? Text(node.Replicas) : "-", node.Answers ? Text(node.Keys) : "-");
        }

        return grid;
    }

    /// <summary>The shards as rows.</summary>
    internal static Grid Shards(ClusterOverview overview)
    {
        var grid = new Grid("shards", "shard", "state", "mode", "leader", "term", "voters", "slots", "keys", "commit", "lag");
        foreach (var shard in overview.Shards)
        {
            grid.Add(
                Text(shard.Id), shard.State, shard.Mode, shard.Leader ?? "-", Text((long)shard.Term), shard.MembersText(),
                Text(shard.Slots), Text(shard.Keys), Text((long)shard.CommitIndex), shard.LagText());
        }

        return grid;
    }

    private static string Text(long number) => number.ToString(CultureInfo.InvariantCulture);
}
