using System.Collections.Immutable;

namespace Flotilla.Topology.Gossip;

/// <summary>
/// What nodes say to each other. An exchange is <see cref="Digest"/>, then <see cref="Difference"/> back, then
/// <see cref="News"/>; a broadcast is <see cref="News"/> alone. No message waits for another: each may be lost, repeated or
/// come late, and does no harm.
/// </summary>
/// <param name="ClusterId">The sender's cluster; 0 if it does not know yet.</param>
public abstract record GossipMessage(ulong ClusterId)
{
    /// <summary>Begins an exchange: "this is what I know, in short."</summary>
    /// <param name="ClusterId">The sender's cluster.</param>
    /// <param name="Table">What the sender knows.</param>
    public sealed record Digest(ulong ClusterId, TableDigest Table) : GossipMessage(ClusterId);

    /// <summary>
    /// Answers a digest: "in these buckets I differ from you, and this is all that I have there." None if the tables are the
    /// same, which is an answer too: the asker is up to date.
    /// </summary>
    /// <param name="ClusterId">The sender's cluster.</param>
    /// <param name="Bits">There are 2^<paramref name="Bits"/> buckets, as the digest said.</param>
    /// <param name="Buckets">Of these buckets this message, with those before it, has all that the sender has; in order.</param>
    /// <param name="Items">What the sender has in them.</param>
    public sealed record Difference(ulong ClusterId, int Bits, ImmutableArray<ushort> Buckets, ImmutableArray<GossipItem> Items) : GossipMessage(ClusterId);

    /// <summary>Ends an exchange, or tells everybody at once: "you should know this."</summary>
    /// <param name="ClusterId">The sender's cluster.</param>
    /// <param name="Items">What.</param>
    public sealed record News(ulong ClusterId, ImmutableArray<GossipItem> Items) : GossipMessage(ClusterId);
}
