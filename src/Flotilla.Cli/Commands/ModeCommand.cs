using System.CommandLine;
using Flotilla.Cli.Flags;
using Flotilla.Cli.Output;
using Flotilla.Client;
using Flotilla.Contracts.Http;

namespace Flotilla.Cli.Commands;

/// <summary><c>flotilla mode</c>.</summary>
internal sealed class ModeCommand : CliCommand
{
    private readonly Argument<string?> _mode = new("MODE") { Description = "raft, sync or chain; without it the modes are shown", Arity = ArgumentArity.ZeroOrOne };

    public ModeCommand()
        : base(
            "mode",
            "Shows how shards replicate, or switches them while clients read and write. raft: a write is acknowledged once a majority holds it on disk. sync: once every member of the in-sync set does; while one does not answer, writes fail at once. chain: as sync, and entries travel from the leader through one after the other, so that it sends each once.",
            "flotilla mode", "the mode of every shard, and who is in sync",
            "flotilla mode sync", "every shard",
            "flotilla mode raft --shard 2", "shard 2 alone")
    {
        Add(_mode);
        Use(ChangeRun.Shard, ChangeRun.Wait);
        Use(CommonFlags.Client);
    }

    /// <inheritdoc/>
    public override async Task<int> RunAsync(Invocation invocation)
    {
        var shard = ChangeRun.ShardOf(invocation);
        if (invocation.Argument(_mode) is not { } mode)
        {
            return await ShowAsync(invocation, shard);
        }

        if (mode is not ("raft" or "sync" or "chain"))
        {
            throw new UsageException(mode is "quorum" or "async" ? $"mode {mode} comes later; raft, sync and chain are built" : $"'{mode}' is no mode: raft, sync or chain");
        }

        return await ChangeRun.FollowAsync(invocation, (client, wait, cancel) => client.SetModeAsync(mode, shard, wait, cancel), $"{NodeArgument.Shards(shard)}: mode {mode}");
    }

    private static async Task<int> ShowAsync(Invocation invocation, int? only)
    {
        using var client = new FlotillaClient(CommonFlags.ClientOptions(invocation));
        var result = await client.ConfigAsync(invocation.Shell.Stop);
        if (result.Document is not { } config)
        {
            return CommonFlags.Explain(invocation, result.Outcome, result.Error);
        }

        ModeDocument[] modes = [.. config.Shards.Where(s => only is null || s.Id == only).Select(s => new ModeDocument(s.Id, s.Mode, s.Voters, s.InSync, ChainOf(s)))];
        if (only is not null && modes.Length == 0)
        {
            await invocation.Shell.Err.WriteLineAsync($"flotilla mode: there is no shard {only}");
            return ExitCode.NotFound;
        }

        if (CommonFlags.Json(invocation))
        {
            Json.WriteLine(invocation.Shell.Out, modes);
            return ExitCode.Done;
        }

        foreach (var shown in modes)
        {
            var missing = shown.Voters.Except(shown.InSync, StringComparer.Ordinal).ToArray();
            await invocation.Shell.Out.WriteLineAsync($"shard {shown.Shard}: {shown.Mode}{(shown.Chain is { } chain ? $" {string.Join(" → ", chain)}" : "")}{(missing.Length > 0 ? $", out of sync: {string.Join(", ", missing)}" : "")}");
        }

        return ExitCode.Done;
    }

    // The order of docs/modes.md: the leader, then the others in sync by their ids, from the next higher one round to the next lower.
    private static string[]? ChainOf(ShardDocument shard)
    {
        if (shard is not { Mode: "chain", Leader: { } leader })
        {
            return null;
        }

        string[] others = [.. shard.InSync.Where(id => id != leader).Order(StringComparer.Ordinal)];
        return [leader, .. others.Where(id => string.CompareOrdinal(id, leader) > 0), .. others.Where(id => string.CompareOrdinal(id, leader) < 0)];
    }
}

/// <summary>How a shard replicates; in mode chain, while it has a leader, also by which way.</summary>
internal sealed record ModeDocument(int Shard, string Mode, IReadOnlyList<string> Voters, IReadOnlyList<string> InSync, IReadOnlyList<string>? Chain);
