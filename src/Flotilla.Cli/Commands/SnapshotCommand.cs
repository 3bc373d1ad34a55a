using System.CommandLine;

namespace Flotilla.Cli.Commands;

/// <summary><c>flotilla snapshot</c>.</summary>
internal sealed class SnapshotCommand : CliCommand
{
    private readonly Argument<int?> _shard = new("SHARD") { Description = "The shard's number; every shard if left out", Arity = ArgumentArity.ZeroOrOne };

    public SnapshotCommand()
        : base(
            "snapshot",
            "Has the leaders of shards write everything applied to a snapshot, so that the log before it can go. They do so by themselves as the log grows.",
            "flotilla snapshot", "every shard",
            "flotilla snapshot 2", "shard 2 alone")
    {
        Add(_shard);
        Use(ChangeRun.Wait);
        Use(CommonFlags.Client);
    }

    /// <inheritdoc/>
    public override Task<int> RunAsync(Invocation invocation)
    {
        var shard = invocation.Argument(_shard);
        return ChangeRun.FollowAsync(invocation, (client, wait, cancel) => client.SnapshotAsync(shard, wait, cancel), $"{NodeArgument.Shards(shard)}: snapshots taken");
    }
}
