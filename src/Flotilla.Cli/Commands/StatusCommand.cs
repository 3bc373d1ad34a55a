using System.Globalization;
using Flotilla.Cli.Output;
using Flotilla.Cli.Status;
using Flotilla.Client;
using Flotilla.Contracts.Http;

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
        if (overview.Shards.Any(static s => s.Moves.Count > 0))
        {
            shell.Out.WriteLine();
            Moves(overview, DateTimeOffset.UtcNow).Write(shell);
        }

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

    /// <summary>The moves of slots as rows: each once, by its source's word, or by its target's where the source says nothing of it.</summary>
    internal static Grid Moves(ClusterOverview overview, DateTimeOffset now)
    {
        var grid = new Grid("slots on their way", "from", "to", "stage", "slots", "records", "sent", "for");
        var rows = overview.Shards.SelectMany(static s => s.Moves.Select(move => (From: IsOut(move) ? s.Id : move.Shard, To: IsOut(move) ? move.Shard : s.Id, Move: move))).ToList();
        var told = rows.Where(static r => IsOut(r.Move)).Select(static r => (r.From, r.To)).ToHashSet();
        foreach (var (from, to, move) in rows.Where(r => IsOut(r.Move) || !told.Contains((r.From, r.To))).OrderBy(static r => (r.From, r.To)))
        {
            grid.Add(
                Text(from), Text(to), move.Stage, Text(move.Slots), move.RecordsTotal is { } all ? $"{Text(move.Records)} of ~{Text(all)}" : Text(move.Records),
                move.Bytes is { } bytes ? string.Create(CultureInfo.InvariantCulture, $"{bytes / 1048576.0:0.0} MiB") : "-", Age(move.BeganMs, now));
        }

        return grid;
    }

    private static bool IsOut(MoveDocument move) => string.Equals(move.Direction, "out", StringComparison.Ordinal);

    // Clocks differ from machine to machine, so it may come out below nothing.
    private static string Age(long? beganMs, DateTimeOffset now) =>
        beganMs is { } began ? string.Create(CultureInfo.InvariantCulture, $"{Math.Max(0, now.ToUnixTimeMilliseconds() - began) / 1000.0:0.0}s") : "-";

    private static string Text(long number) => number.ToString(CultureInfo.InvariantCulture);
}
