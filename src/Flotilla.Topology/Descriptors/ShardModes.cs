namespace Flotilla.Topology.Descriptors;

/// <summary>How modes are written, at every door and on the disk alike.</summary>
public static class ShardModes
{
    /// <summary>The name of a mode: <c>raft</c>, <c>sync</c>, <c>chain</c>, <c>quorum</c> or <c>async</c>.</summary>
    public static string NameOf(ShardMode mode) => mode switch
    {
        ShardMode.Sync => "sync",
        ShardMode.Chain => "chain",
        ShardMode.Quorum => "quorum",
        ShardMode.Async => "async",
        _ => "raft",
    };

    /// <summary>The mode of a name; false if there is none.</summary>
    public static bool TryParse(string? name, out ShardMode mode)
    {
        foreach (var candidate in Enum.GetValues<ShardMode>())
        {
            if (string.Equals(NameOf(candidate), name, StringComparison.Ordinal))
            {
                mode = candidate;
                return true;
            }
        }

        mode = ShardMode.Raft;
        return false;
    }
}
