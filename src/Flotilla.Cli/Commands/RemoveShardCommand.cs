using System.CommandLine;
using Flotilla.Client;

namespace Flotilla.Cli.Commands;

/// <summary><c>flotilla remove-shard</c>.</summary>
internal sealed class RemoveShardCommand : CliCommand
{
    private readonly Argument<int> _shard = new("SHARD") { Description = "Its number" };

    public RemoveShardCommand()
        : base(
            "remove-shard",
            "Removes a shard: it hands its slots to the others and retires then by itself, while clients read and write. Its number is not used again.",
            "flotilla remove-shard 4", "it is leaving; flotilla status shows how many slots it still owns")
    {
        Add(_shard);
        Use(CommonFlags.Client);
    }

    /// <inheritdoc/>
    public override async Task<int> RunAsync(Invocation invocation)
    {
        using var client = new FlotillaClient(CommonFlags.ClientOptions(invocation) with { ReadAttemptTimeout = TimeSpan.FromSeconds(8) });
        var result = await client.RemoveShardAsync(ShardLife.Number(invocation.Argument(_shard)), invocation.Shell.Stop);
        return ShardLife.Show(invocation, result);
    }
}
