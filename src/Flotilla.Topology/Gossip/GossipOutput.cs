using System.Collections.Immutable;
using Flotilla.Topology.Descriptors;

namespace Flotilla.Topology.Gossip;

/// <summary>A message and whom it goes to. Who cannot be reached is left out: the next exchanges heal it.</summary>
/// <param name="To">Node ids, or whatever name the asker came under.</param>
/// <param name="Message">The message: one object for all of them, to be encoded once.</param>
public readonly record struct GossipSend(ImmutableArray<string> To, GossipMessage Message);

/// <summary>What came of one step.</summary>
/// <param name="Sends">Messages to send, in order.</param>
/// <param name="Changed">What stands now and was not known before. If there is any, the table has to be kept on disk again, and views made anew.</param>
/// <param name="Findings">What people should know.</param>
public sealed record GossipOutput(ImmutableArray<GossipSend> Sends, IReadOnlyList<GossipItem> Changed, ImmutableArray<GossipFinding> Findings)
{
    /// <summary>Nothing to do.</summary>
    public static GossipOutput Nothing { get; } = new([], [], []);
}

/// <summary>Something that gossip came across and cannot mend.</summary>
public abstract record GossipFinding
{
    /// <summary>Two groups go by one shard number. Both are kept, neither takes part in a move; one that owns nothing has to be stopped by its operator.</summary>
    /// <param name="Shard">The number.</param>
    public sealed record DoubledShard(ShardId Shard) : GossipFinding;

    /// <summary>Somebody else spoke for this node: another process under its id, or this node before its disk was wiped. Once is nothing; again and again means two processes.</summary>
    /// <param name="Heard">What it said.</param>
    public sealed record Impostor(NodeRecord Heard) : GossipFinding;

    /// <summary>What was to be published is older than what others say of the shard: another leads it, or it is retired.</summary>
    /// <param name="Standing">What stands.</param>
    public sealed record Superseded(ShardDescriptor Standing) : GossipFinding;

    /// <summary>A message of another cluster; nothing of it was read.</summary>
    /// <param name="From">Who sent it.</param>
    /// <param name="ClusterId">Its cluster.</param>
    public sealed record Foreign(string From, ulong ClusterId) : GossipFinding;

    /// <summary>The table is full: a shard or a node that is not known yet was turned away.</summary>
    public sealed record Full : GossipFinding;
}
