namespace Flotilla.Storage;

/// <summary>What to do about damage that no crash explains, as every message of it ends.</summary>
internal static class Rebuilding
{
    /// <summary>The next commands.</summary>
    public const string Advice =
        "Rebuild this node from its peers, which go on without it: keep its data directory aside, run 'flotilla remove-node ID' against one of them, "
        + "then start the node with an empty directory and '--join HOST:RPC' of one of them. Never do so on two nodes of a cluster at once. "
        + "A copy of the directory from before the damage will do only if nothing was written since.";
}
