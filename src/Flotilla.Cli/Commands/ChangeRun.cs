using System.Diagnostics;
using Flotilla.Cli.Flags;
using Flotilla.Cli.Output;
using Flotilla.Client;
using Flotilla.Contracts.Http;

namespace Flotilla.Cli.Commands;

/// <summary>Follows a change of the cluster to its end, and says on standard error how it stands whenever that changes.</summary>
internal static class ChangeRun
{
    /// <summary>How long to follow.</summary>
    public static Flag<TimeSpan> Wait { get; } = new("--wait", "TIME", "Follow it for so long; what is under way then goes on by itself", Readers.Time(TimeSpan.FromMilliseconds(1), TimeSpan.FromDays(1)), "10m");

    /// <summary>One shard alone.</summary>
    public static Flag<int> Shard { get; } = new("--shard", "N", "In this shard alone; in every shard by default", Readers.Number(1, 1_000_000));

    private const string GoesOn = "what was begun goes on by itself, and the same command again tells how it stands";

    private static readonly TimeSpan AtOnce = TimeSpan.FromSeconds(1);

    /// <summary>The shard that is meant, or null for every one.</summary>
    public static int? ShardOf(Invocation invocation) => invocation.TryGet(Shard, out var shard) ? shard : null;

    /// <summary>Asks until it is done. The result is the exit code.</summary>
    /// <param name="invocation">The command's.</param>
    /// <param name="ask">Asks, and lets the server wait for a while.</param>
    /// <param name="done">What to print at the end.</param>
    public static async Task<int> FollowAsync(Invocation invocation, Func<FlotillaClient, TimeSpan, CancellationToken, ValueTask<DocumentResult<ChangeDocument>>> ask, string done)
    {
        try
        {
            return await AskAgainAsync(invocation, ask, done);
        }
        catch (OperationCanceledException) when (invocation.Shell.Stop.IsCancellationRequested)
        {
            await invocation.Shell.Err.WriteLineAsync($"interrupted: {GoesOn}");
            return ExitCode.Interrupted;
        }
    }

    private static async Task<int> AskAgainAsync(Invocation invocation, Func<FlotillaClient, TimeSpan, CancellationToken, ValueTask<DocumentResult<ChangeDocument>>> ask, string done)
    {
        var shell = invocation.Shell;
        var wait = invocation.Get(Wait);
        var started = Stopwatch.GetTimestamp();

        // The server waits a little at each question, so an answer may take longer than that of a read.
        using var client = new FlotillaClient(CommonFlags.ClientOptions(invocation) with { ReadAttemptTimeout = TimeSpan.FromSeconds(5) });
        var said = new Dictionary<int, string>();
        while (true)
        {
            var result = await ask(client, AtOnce, shell.Stop);
            if (result.Document is not { Shards: not null } change)
            {
                // One shard refused it; the others may be done. Why is said last, and once.
                var refusal = result.Error?.Message ?? "";
                Tell(shell, said, result.Error?.Shards.Where(s => s.Done || s.Detail is not { Length: > 0 } detail || !refusal.Contains(detail, StringComparison.Ordinal)) ?? []);
                return End(shell, result.Outcome, result.Error, said.Count > 0);
            }

            Tell(shell, said, change.Shards);

            if (change.Done)
            {
                if (CommonFlags.Json(invocation))
                {
                    Json.WriteLine(shell.Out, change);
                }
                else
                {
                    shell.Out.WriteLine(done);
                }

                return ExitCode.Done;
            }

            if (Stopwatch.GetElapsedTime(started) >= wait)
            {
                shell.Err.WriteLine($"not done after {wait}: {GoesOn}");
                return ExitCode.Unavailable;
            }
        }
    }

    /// <summary>Says how each shard stands, if that is new.</summary>
    private static void Tell(Shell shell, Dictionary<int, string> said, IEnumerable<ShardChangeDocument> shards)
    {
        foreach (var shard in shards)
        {
            var text = shard.Detail ?? (shard.Done ? "done" : "under way");
            if (!said.TryGetValue(shard.Shard, out var before) || !string.Equals(before, text, StringComparison.Ordinal))
            {
                said[shard.Shard] = text;
                shell.Err.WriteLine($"shard {shard.Shard}: {text}");
            }
        }
    }

    /// <summary>Says why it ended before it was done. Unlike a write it may have been carried out in part, and to try again at once helps only if something changes meanwhile.</summary>
    private static int End(Shell shell, CallOutcome outcome, CallError? error, bool isBegun)
    {
        var why = error is null ? $"{outcome}." : $"{error.Message.TrimEnd('.')} ({error.Code}).";
        shell.Err.WriteLine((outcome, error?.Code) switch
        {
            (CallOutcome.NotFound, _) => $"not found: {error?.Message}",
            (CallOutcome.Unavailable, "unreachable") => $"unavailable: {why} Is the cluster running? `flotilla dev` starts one; --endpoint or FLOTILLA_ENDPOINT names another.{(isBegun ? $" If it is: {GoesOn}." : "")}",
            (CallOutcome.Unavailable, "not_joined") => $"unavailable: {why}",
            (CallOutcome.Unavailable, "replica_unavailable") => $"refused: {why} Once that is mended, the same command goes on with what is missing.",
            (CallOutcome.Unavailable, _) => $"unavailable: {why} Try again: {GoesOn}.",
            _ => $"failed: {why}",
        });
        return ExitCode.Of(outcome);
    }
}
