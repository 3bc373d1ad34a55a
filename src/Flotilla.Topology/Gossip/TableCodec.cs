using Flotilla.Topology.Sealing;

namespace Flotilla.Topology.Gossip;

/// <summary>
/// A whole table as the bytes of a file. Gossip is a hint: a file that is damaged, of another cluster or of another release is
/// as good as none, and what was in it is learned again from the first node that answers.
/// </summary>
public static class TableCodec
{
    private const byte Kind = (byte)'T';

    /// <summary>Seals a table.</summary>
    /// <param name="table">What to keep.</param>
    /// <param name="clusterId">Whose it is.</param>
    public static byte[] Encode(GossipTable table, ulong clusterId)
    {
        ArgumentNullException.ThrowIfNull(table);
        var to = new SealWriter();
        to.UInt64(clusterId);
        GossipCodec.WriteItems(to, [.. table.Items()]);
        return Seal.Close(Kind, to.Written);
    }

    /// <summary>Opens a sealed table.</summary>
    /// <param name="bytes">Any bytes.</param>
    /// <param name="clusterId">Whose it has to be; 0 for anybody's.</param>
    /// <param name="problem">Why it, or the first item left out, was refused; null if all is there.</param>
    /// <returns>The table; the empty one if it was refused.</returns>
    public static GossipTable Decode(ReadOnlySpan<byte> bytes, ulong clusterId, out string? problem)
    {
        if (!Seal.TryOpen(bytes, out var kind, out var body, out problem))
        {
            return GossipTable.Empty;
        }

        if (kind != Kind)
        {
            problem = "it is no table";
            return GossipTable.Empty;
        }

        var from = new SealReader(body);
        var cluster = from.UInt64();
        if (clusterId != 0 && cluster != clusterId)
        {
            problem = $"it belongs to cluster {cluster:x16}, not to {clusterId:x16}";
            return GossipTable.Empty;
        }

        var items = GossipCodec.ReadItems(ref from, out var leftOut);
        problem = from.Problem ?? leftOut;
        return from.Problem is null ? GossipTable.Empty.Merge(items, out _) : GossipTable.Empty;
    }
}
