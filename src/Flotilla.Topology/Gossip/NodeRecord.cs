using Flotilla.Topology.Descriptors;
using Flotilla.Topology.Sealing;

namespace Flotilla.Topology.Gossip;

/// <summary>
/// What a node says of itself. Written by the node alone.
/// </summary>
/// <param name="Node">Its id.</param>
/// <param name="Incarnation">Of its data directory, never 0.</param>
/// <param name="Boot">Its boot number.</param>
/// <param name="Revision">The higher one is newer. Begins at boot number × 2^20 and grows with each change, and above whatever the node hears of itself (a wiped disk counts its boots from 1 again).</param>
/// <param name="Addresses">Where it listens.</param>
/// <param name="IsReluctant">It should rather not lead: its disk is nearly full, or it is about to stop.</param>
public sealed record NodeRecord(string Node, ulong Incarnation, ulong Boot, ulong Revision, NodeAddresses Addresses, bool IsReluctant = false)
{
    /// <summary>The revision with which a boot begins. Boots are counted up to 2^43.</summary>
    public static ulong FirstRevision(ulong boot) => checked(boot * (1UL << 20));
}

/// <summary>A node's record with the bytes that it came in.</summary>
public sealed class NodeItem : GossipItem
{
    internal const byte Kind = (byte)'N';

    private const int MaxBytes = 4096;
    private const byte ReluctantFlag = 1;

    private NodeItem(NodeRecord record, byte[] bytes)
        : base(bytes, KeyHashOf(record.Node)) => Record = record;

    /// <summary>What it says.</summary>
    public NodeRecord Record { get; }

    /// <summary>Seals a record.</summary>
    /// <exception cref="ArgumentException">A name or an address is too long or not visible ASCII, or there is no incarnation.</exception>
    public static NodeItem Of(NodeRecord record)
    {
        ArgumentNullException.ThrowIfNull(record);
        ArgumentOutOfRangeException.ThrowIfZero(record.Incarnation, nameof(record));
        var to = new SealWriter();
        to.Text(record.Node, DescriptorCodec.MaxNodeId);
        to.UInt64(record.Incarnation);
        to.Varint(record.Boot);
        to.Varint(record.Revision);
        DescriptorCodec.WriteAddresses(to, record.Addresses);
        to.Byte(record.IsReluctant ? ReluctantFlag : (byte)0);
        return new NodeItem(record, Seal.Close(Kind, to.Written));
    }

    /// <summary>Opens a sealed record, which is copied. Null with the reason if it is refused.</summary>
    public static NodeItem? TryOpen(ReadOnlySpan<byte> bytes, out string? problem)
    {
        if (bytes.Length > MaxBytes)
        {
            problem = $"it has more than {MaxBytes} bytes";
            return null;
        }

        if (!Seal.TryOpen(bytes, out var kind, out var body, out problem))
        {
            return null;
        }

        if (kind != Kind)
        {
            problem = "it is no node's record";
            return null;
        }

        // What may follow is of a later release.
        var from = new SealReader(body);
        var (node, incarnation, boot, revision) = (from.Name(DescriptorCodec.MaxNodeId), from.UInt64(), from.Varint(ulong.MaxValue), from.Varint(long.MaxValue));
        var addresses = DescriptorCodec.ReadAddresses(ref from);
        var flags = from.Byte();
        from.Require(incarnation != 0, "it has no incarnation");
        problem = from.Problem;
        return problem is null ? new NodeItem(new NodeRecord(node, incarnation, boot, revision, addresses, (flags & ReluctantFlag) != 0), bytes.ToArray()) : null;
    }

    /// <summary>Which of two records of one node stands: the higher revision, then the higher bytes.</summary>
    public static int Compare(NodeItem one, NodeItem other)
    {
        ArgumentNullException.ThrowIfNull(one);
        ArgumentNullException.ThrowIfNull(other);
        var c = one.Record.Revision.CompareTo(other.Record.Revision);
        return c == 0 ? one.Bytes.Span.SequenceCompareTo(other.Bytes.Span) : c;
    }

    internal override bool IsOfSame(GossipItem other) => other is NodeItem node && node.Record.Node == Record.Node;

    internal override int CompareTo(GossipItem other) => Compare(this, (NodeItem)other);

    internal static ulong KeyHashOf(string node)
    {
        var hash = new StableHash(Kind);
        foreach (var c in node)
        {
            hash.Add(c);
        }

        return hash.Value;
    }
}
