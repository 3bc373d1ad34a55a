using System.CommandLine;
using Flotilla.Cli.Flags;
using Flotilla.Contracts;

namespace Flotilla.Cli.Commands;

/// <summary><c>flotilla add-node</c>.</summary>
internal sealed class AddNodeCommand : CliCommand
{
    private readonly Argument<string> _node = new("ID") { Description = "The node's name; it must run, started with --join" };
    private readonly Argument<string> _address = new("HOST:RPC") { Description = "Its RPC address" };

    public AddNodeCommand()
        : base(
            "add-node",
            "Makes a node a voter of every shard, as a learner first, and waits until it is. Shards that have fewer than --replicas replicas get nodes that joined by themselves.",
            "flotilla add-node n4 127.0.0.1:50054", "every shard gets a replica more",
            "flotilla add-node n4 127.0.0.1:50054 --shard 2", "shard 2 alone")
    {
        Add(_node);
        Add(_address);
        Use(ChangeRun.Shard, ChangeRun.Wait);
        Use(CommonFlags.Client);
    }

    /// <inheritdoc/>
    public override Task<int> RunAsync(Invocation invocation)
    {
        var node = NodeArgument.Read(invocation.Argument(_node));
        if (!HostPort.TryParse(invocation.Argument(_address), out var address, out var problem))
        {
            throw new UsageException($"HOST:RPC: {problem}");
        }

        var shard = ChangeRun.ShardOf(invocation);
        return ChangeRun.FollowAsync(invocation, (client, wait, cancel) => client.AddNodeAsync(node, address, shard, wait, cancel), $"{node} votes in {NodeArgument.Shards(shard)}");
    }
}
