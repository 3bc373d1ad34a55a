using System.Collections.Immutable;

namespace Flotilla.Topology.Descriptors;

/// <summary>
/// One shard for ever: its number and its Raft group. Two groups under one number are two shards that somebody numbered alike;
/// they are told apart and reported, and never merged.
/// </summary>
/// <param name="Shard">The number, 1 and up.</param>
/// <param name="Group">The Raft group, never 0.</param>
public readonly record struct ShardKey(ShardId Shard, ulong Group) : IComparable<ShardKey>
{
    /// <inheritdoc/>
    public int CompareTo(ShardKey other)
    {
        var c = Shard.CompareTo(other.Shard);
        return c == 0 ? Group.CompareTo(other.Group) : c;
    }

    /// <inheritdoc/>
    public override string ToString() => $"{Shard}/g{Group:x}";
}

/// <summary>Where a node listens, each as <c>HOST:PORT</c>; null if not known, or off.</summary>
/// <param name="Http">HTTP.</param>
/// <param name="Rpc">The other nodes' door.</param>
/// <param name="Resp">Redis protocol, all slots served (forwarding).</param>
/// <param name="RespCluster">Redis protocol, as a node of a Redis cluster.</param>
public readonly record struct NodeAddresses(string? Http, string? Rpc, string? Resp, string? RespCluster);

/// <summary>A replica of a shard.</summary>
/// <param name="Node">The node's id.</param>
/// <param name="Addresses">Its addresses as the shard's leader knew them; the node's own record knows better.</param>
public readonly record struct ShardMember(string Node, NodeAddresses Addresses)
{
    /// <inheritdoc/>
    public override string ToString() => Node;
}

/// <summary>A seat that was taken from a node, so that it can be told.</summary>
/// <param name="Node">The node's id.</param>
/// <param name="Incarnation">Which incarnation of the node sat there; never 0.</param>
public readonly record struct FormerMember(string Node, ulong Incarnation);

/// <summary>How far a move of slots has come. Explicit and append-only; of a later release there may be numbers that have no name here.</summary>
public enum MovePhase : byte
{
    /// <summary>The source serves, the target stages.</summary>
    Staging = 1,

    /// <summary>The target is ready for the end.</summary>
    Prepared = 2,

    /// <summary>Nobody serves the slots, for milliseconds.</summary>
    Frozen = 3,

    /// <summary>The target serves them.</summary>
    Accepted = 4,

    /// <summary>The source has let go and removes the data.</summary>
    Purging = 5,

    /// <summary>The source asks the target whether it will.</summary>
    Offering = 6,

    /// <summary>The source looks for what the target has already, from before its leader changed.</summary>
    Comparing = 7,

    /// <summary>What was there is staged; the source sends what has changed meanwhile.</summary>
    CatchingUp = 8,

    /// <summary>It is decided; what is left is that both ends know that the other one knows.</summary>
    Ending = 9,
}

/// <summary>A move of slots as one of its two ends sees it. For people, and for nothing that is decided.</summary>
/// <param name="Other">The other end.</param>
/// <param name="Phase">How far it is.</param>
/// <param name="Slots">How many slots move, 0 to 16384.</param>
/// <param name="RecordsDone">Records sent or staged so far.</param>
/// <param name="RecordsTotal">Records to move, about; 0 if not known.</param>
/// <param name="Bytes">Bytes sent so far, as far as the shard's present leader knows; 0 at the target.</param>
/// <param name="BeganMs">The shard's log time when it began, in milliseconds since the Unix epoch; 0 if not known.</param>
public readonly record struct MoveProgress(ShardKey Other, MovePhase Phase, int Slots, ulong RecordsDone, ulong RecordsTotal, ulong Bytes = 0, ulong BeganMs = 0);

/// <summary>
/// What a shard says of itself. Written by its leader only, spread by gossip, never the authority: the shard's log is.
/// Immutable; any thread may read it.
/// </summary>
public sealed record ShardDescriptor
{
    /// <summary>The shard's number and group.</summary>
    public required ShardKey Key { get; init; }

    /// <summary>How new this is.</summary>
    public required DescriptorVersion Version { get; init; }

    /// <summary>Where it stands in its life. A retired shard owns no slot.</summary>
    public required ShardState State { get; init; }

    /// <summary>How it replicates.</summary>
    public ShardMode Mode { get; init; } = ShardMode.Raft;

    /// <summary>Its share of the ring, 1 to <see cref="Ring.MaxWeight"/>.</summary>
    public int Weight { get; init; } = Ring.NormalWeight;

    /// <summary>The node that leads it in the version's term; null if nobody does any more.</summary>
    public string? Leader { get; init; }

    /// <summary>The log index of the configuration below.</summary>
    public ulong ConfigurationIndex { get; init; }

    /// <summary>Who votes, ordered by node id; voters and learners are at most <see cref="DescriptorCodec.MaxMembers"/>.</summary>
    public ImmutableArray<ShardMember> Voters { get; init; } = [];

    /// <summary>Who only learns, ordered by node id.</summary>
    public ImmutableArray<ShardMember> Learners { get; init; } = [];

    /// <summary>Voters whose acknowledgement sync and chain wait for, ordered.</summary>
    public ImmutableArray<string> InSync { get; init; } = [];

    /// <summary>Seats taken lately, at most <see cref="DescriptorCodec.MaxFormer"/>.</summary>
    public ImmutableArray<FormerMember> Former { get; init; } = [];

    /// <summary>The slots that it owns by its log.</summary>
    public SlotEpochs Slots { get; init; } = SlotEpochs.Empty;

    /// <summary><see cref="Ring.Digest"/> of the ring that its leader sees; slots move only between shards that see the same.</summary>
    public ulong RingDigest { get; init; }

    /// <summary>Moves that give slots away, at most <see cref="DescriptorCodec.MaxMoves"/>.</summary>
    public ImmutableArray<MoveProgress> Outgoing { get; init; } = [];

    /// <summary>Moves that bring slots, at most <see cref="DescriptorCodec.MaxMoves"/>.</summary>
    public ImmutableArray<MoveProgress> Incoming { get; init; } = [];

    /// <summary>The number alone.</summary>
    public ShardId Shard => Key.Shard;

    /// <summary>All that is in it, by value.</summary>
    public bool Equals(ShardDescriptor? other) => other is not null && DescriptorCodec.Encode(this).AsSpan().SequenceEqual(DescriptorCodec.Encode(other));

    /// <inheritdoc/>
    public override int GetHashCode() => (int)StableHash.Mix((ulong)Key.Shard.Value ^ Key.Group ^ (Version.Term << 32) ^ Version.Index);

    /// <inheritdoc/>
    public override string ToString() => $"shard {Key} {State} at {Version}, leader {Leader ?? "-"}, {Slots}";
}
