using Flotilla.Topology.Gossip;

namespace Flotilla.Topology.Descriptors;

/// <summary>
/// A descriptor with the bytes that it came in. Whoever passes it on passes these, so that what a later release added to it
/// survives nodes that do not know of it.
/// </summary>
public sealed class ShardItem : GossipItem
{
    private const ulong KeySeed = 'S';

    private ShardItem(ShardDescriptor descriptor, byte[] bytes)
        : base(bytes, KeyHashOf(descriptor.Key)) => Descriptor = descriptor;

    /// <summary>What it says.</summary>
    public ShardDescriptor Descriptor { get; }

    /// <summary>Which shard it speaks of.</summary>
    public ShardKey Key => Descriptor.Key;

    /// <summary>Seals a descriptor.</summary>
    /// <exception cref="ArgumentException">It breaks a rule that a descriptor has to keep.</exception>
    public static ShardItem Of(ShardDescriptor descriptor)
    {
        ArgumentNullException.ThrowIfNull(descriptor);
        return new ShardItem(descriptor, DescriptorCodec.Encode(descriptor));
    }

    /// <summary>Opens a sealed descriptor, which is copied. Null with the reason if it is refused.</summary>
    public static ShardItem? TryOpen(ReadOnlySpan<byte> bytes, out string? problem) =>
        DescriptorCodec.TryDecode(bytes, out var descriptor, out problem) ? new ShardItem(descriptor!, bytes.ToArray()) : null;

    /// <summary>
    /// Which of two descriptors of one shard stands: a retired one before any other, for ever; then the higher version; and of
    /// equal versions (never but by mistake) the one whose bytes are higher, so that all nodes agree. A total order: the merge
    /// of two tables is the higher of each pair, so neither order nor repetition nor grouping of merges matters.
    /// </summary>
    public static int Compare(ShardItem one, ShardItem other)
    {
        ArgumentNullException.ThrowIfNull(one);
        ArgumentNullException.ThrowIfNull(other);
        var c = (one.Descriptor.State == ShardState.Retired).CompareTo(other.Descriptor.State == ShardState.Retired);
        c = c == 0 ? one.Descriptor.Version.CompareTo(other.Descriptor.Version) : c;
        return c == 0 ? one.Bytes.Span.SequenceCompareTo(other.Bytes.Span) : c;
    }

    internal override bool IsOfSame(GossipItem other) => other is ShardItem shard && shard.Key == Key;

    internal override int CompareTo(GossipItem other) => Compare(this, (ShardItem)other);

    internal static ulong KeyHashOf(ShardKey key) => StableHash.Mix(StableHash.Mix(((ulong)key.Shard.Value << 8) | KeySeed) ^ key.Group);
}
