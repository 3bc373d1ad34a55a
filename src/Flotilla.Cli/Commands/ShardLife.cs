using Flotilla.Cli.Flags;
using Flotilla.Cli.Output;
using Flotilla.Client;
using Flotilla.Contracts.Http;

namespace Flotilla.Cli.Commands;

/// <summary>What adding and removing a shard have in common.</summary>
internal static class ShardLife
{
    private const int MaxShard = 1 << 20;

    /// <summary>The number, checked.</summary>
    public static int Number(int shard) => shard is >= 1 and <= MaxShard ? shard : throw new UsageException($"SHARD: give a number from 1 to {MaxShard}");

    /// <summary>Prints the answer. The result is the exit code.</summary>
    public static int Show(Invocation invocation, DocumentResult<ShardLifeDocument> result)
    {
        if (result.Document is not { } life)
        {
            if (result.Outcome == CallOutcome.NotFound)
            {
                invocation.Shell.Err.WriteLine($"not found: {result.Error?.Message}");
                return ExitCode.NotFound;
            }

            return CommonFlags.Explain(invocation, result.Outcome, result.Error);
        }

        if (CommonFlags.Json(invocation))
        {
            Json.WriteLine(invocation.Shell.Out, life);
        }
        else
        {
            invocation.Shell.Out.WriteLine($"shard {life.Shard} is {life.State}{(life.Node is { } node ? $", born at {node}" : "")}");
        }

        return ExitCode.Done;
    }
}
