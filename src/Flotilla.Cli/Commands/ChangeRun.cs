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

    private static readonly TimeSpan AtOnce = TimeSpan.FromSeconds(1);

    /// <summary>The shard that is meant, or null for every one.</summary>
    public static int? ShardOf(Invocation invocation) => invocation.TryGet(Shard, out var shard) ? shard : null;

    /// <summary>Asks until it is done. The result is the exit code.</summary>
    /// <param name="invocation">The command's.</param>
    /// <param name="ask">Asks, and lets the server wait for a while.</param>
    /// <param name="done">What to print at the end.</param>
    public static async Task<int> FollowAsync(Invocation invocation, Func<FlotillaClient, TimeSpan, CancellationToken, ValueTask<DocumentResult<ChangeDocument>>> ask, string done)
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
                return result.Outcome == CallOutcome.NotFound ? NotFound(shell, result.Error) : CommonFlags.Explain(invocation, result.Outcome, result.Error);
            }

            foreach (var shard in change.Shards)
            {
                var text = shard.Detail ?? (shard.Done ? "done" : "under way");
                if (!said.TryGetValue(shard.Shard, out var before) || !string.Equals(before, text, StringComparison.Ordinal))
                {
                    said[shard.Shard] = text;
                    shell.Err.WriteLine($"shard {shard.Shard}: {text}");
                }
            }

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
                shell.Err.WriteLine($"not done after {wait}; it goes on by itself, and the same command again tells how it stands");
                return ExitCode.Unavailable;
            }
        }
    }

    private static int NotFound(Shell shell, CallError? error)
    {
        shell.Err.WriteLine($"not found: {error?.Message}");
        return ExitCode.NotFound;
    }
}
