using System.CommandLine;

namespace Flotilla.Cli.Commands;

/// <summary><c>flotilla transfer-leader</c>.</summary>
internal sealed class TransferLeaderCommand : CliCommand
{
    private readonly Argument<int> _shard = new("SHARD") { Description = "The shard's number" };
    private readonly Argument<string?> _node = new("NODE") { Description = "Who is to lead; whoever is most caught up if left out", Arity = ArgumentArity.ZeroOrOne };

    public TransferLeaderCommand()
        : base(
            "transfer-leader",
            "Has another voter lead a shard. After a while it is led again by whoever is meant to.",
            "flotilla transfer-leader 1 n2", "n2 leads shard 1",
            "flotilla transfer-leader 1", "somebody else does")
    {
        Add(_shard);
        Add(_node);
        Use(ChangeRun.Wait);
        Use(CommonFlags.Client);
    }

    /// <inheritdoc/>
    public override Task<int> RunAsync(Invocation invocation)
    {
        var shard = invocation.Argument(_shard);
        var node = invocation.Argument(_node) is { } name ? NodeArgument.Read(name) : null;
        return ChangeRun.FollowAsync(
            invocation, (client, wait, cancel) => client.TransferLeadershipAsync(shard, node, wait, cancel), node is null ? $"shard {shard} has another leader" : $"{node} leads shard {shard}");
    }
}
