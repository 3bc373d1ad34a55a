using System.CommandLine;
using Flotilla.Cli.Flags;
using Flotilla.Client;
using Flotilla.Contracts;

namespace Flotilla.Cli.Commands;

/// <summary><c>flotilla add-shard</c>.</summary>
internal sealed class AddShardCommand : CliCommand
{
    private readonly Argument<int> _shard = new("SHARD") { Description = "Its number, which no shard has had before" };
    private readonly Argument<string?> _address = new("HOST:PORT") { Description = "HTTP or RPC address of the node where it is born; the one with the fewest replicas if left out", Arity = ArgumentArity.ZeroOrOne };

    public AddShardCommand()
        : base(
            "add-shard",
            "Adds a shard: born empty, it gets its replicas, turns active and takes its share of the slots by itself, while clients read and write.",
            "flotilla add-shard 4", "on the node with the fewest replicas",
            "flotilla add-shard 4 127.0.0.1:8002", "on that node")
    {
        Add(_shard);
        Add(_address);
        Use(CommonFlags.Client);
    }

    /// <inheritdoc/>
    public override async Task<int> RunAsync(Invocation invocation)
    {
        HostPort? address = null;
        if (invocation.Argument(_address) is { } text)
        {
            address = HostPort.TryParse(text, out var parsed, out var problem) ? parsed : throw new UsageException($"HOST:PORT: {problem}");
        }

        using var client = new FlotillaClient(CommonFlags.ClientOptions(invocation) with { ReadAttemptTimeout = TimeSpan.FromSeconds(5) });
        var result = await client.AddShardAsync(ShardLife.Number(invocation.Argument(_shard)), address, invocation.Shell.Stop);
        return ShardLife.Show(invocation, result);
    }
}
