using System.CommandLine;

namespace Flotilla.Cli.Commands;

/// <summary><c>flotilla remove-node</c>.</summary>
internal sealed class RemoveNodeCommand : CliCommand
{
    private readonly Argument<string> _node = new("ID") { Description = "The node's name; it may be dead" };

    public RemoveNodeCommand()
        : base(
            "remove-node",
            "Takes a node's seats away, and waits until they are. A living node knows it and serves as a gateway; one that was wiped may be given its seats anew.",
            "flotilla remove-node n1", "it is a member of no shard any more",
            "flotilla remove-node n1 --shard 2", "of shard 2 no more")
    {
        Add(_node);
        Use(ChangeRun.Shard, ChangeRun.Wait);
        Use(CommonFlags.Client);
    }

    /// <inheritdoc/>
    public override Task<int> RunAsync(Invocation invocation)
    {
        var node = NodeArgument.Read(invocation.Argument(_node));
        var shard = ChangeRun.ShardOf(invocation);
        return ChangeRun.FollowAsync(invocation, (client, wait, cancel) => client.RemoveNodeAsync(node, shard, wait, cancel), shard is null ? $"{node} is a member of no shard" : $"{node} is no member of shard {shard}");
    }
}
