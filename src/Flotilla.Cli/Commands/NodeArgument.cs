using Flotilla.Cli.Flags;

namespace Flotilla.Cli.Commands;

/// <summary>Nodes and shards on the command line.</summary>
internal static class NodeArgument
{
    /// <summary>Reads a node's name.</summary>
    public static string Read(string? text) =>
        Readers.NodeName(text ?? "", out var name, out var expected) ? name : throw new UsageException($"'{text}' can't name a node: {expected}");

    /// <summary>In words.</summary>
    public static string Shards(int? shard) => shard is { } one ? $"shard {one}" : "all shards";
}
