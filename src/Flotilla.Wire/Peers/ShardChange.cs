using Flotilla.Raft;
using Flotilla.Topology.Descriptors;

namespace Flotilla.Wire.Peers;

/// <summary>What an operator wants of a shard. Explicit and append-only.</summary>
public enum ChangeKind : byte
{
    /// <summary>A node is to vote; as a learner first.</summary>
    AddMember = 1,

    /// <summary>A node, by one data directory of it, is to be no member any more.</summary>
    RemoveMember = 2,

    /// <summary>Nothing: who has a node's seat?</summary>
    Inspect = 3,

    /// <summary>Another voter is to lead.</summary>
    Transfer = 4,

    /// <summary>The leader is to take a snapshot.</summary>
    Snapshot = 5,

    /// <summary>A node that is asked, and no leader, is to bear the shard, of which it is the first voter.</summary>
    BearShard = 6,

    /// <summary>The shard is to hand its slots over and to retire.</summary>
    RetireShard = 7,

    /// <summary>The shard is to replicate in another mode.</summary>
    SetMode = 8,
}

/// <summary>How a change stands. Explicit and append-only.</summary>
public enum ChangeCode : byte
{
    /// <summary>It is as wished, and committed.</summary>
    Done = 0,

    /// <summary>Begun, and going on by itself: asking again tells how it stands.</summary>
    UnderWay = 1,

    /// <summary>Whoever was asked does not lead: nothing was changed.</summary>
    NotLeader = 2,

    /// <summary>The leader has committed nothing yet, or is handing over: ask again shortly.</summary>
    NotReady = 3,

    /// <summary>Another change is under way: nothing was changed.</summary>
    Busy = 4,

    /// <summary>Another data directory has the seat: nothing was changed.</summary>
    SeatIsTaken = 5,

    /// <summary>The last voter can't be removed.</summary>
    LastVoter = 6,

    /// <summary>The shard has as many members as it may have.</summary>
    TooManyMembers = 7,

    /// <summary>The leader has no stream with the node: nothing was changed.</summary>
    Unreachable = 8,

    /// <summary>The voters that would be left could not go on, since too many of them are down: nothing was changed.</summary>
    WouldStop = 9,

    /// <summary>Nobody knows such a node, or such a shard.</summary>
    Unknown = 10,

    /// <summary>It makes no sense for this shard as it is; nothing was changed.</summary>
    Refused = 11,

    /// <summary>Another node than the one that is meant answers at the address: nothing was changed.</summary>
    WrongNode = 12,

    /// <summary>The node at the address belongs to another cluster: nothing was changed.</summary>
    OtherCluster = 13,

    /// <summary>The node is a process of one shard, and this is another one: nothing was changed.</summary>
    OtherShard = 14,
}

/// <summary>A change that a shard's leader is asked for. Idempotent: what is done, or under way, is not begun again.</summary>
/// <param name="Kind">What is wished.</param>
/// <param name="Node">The node that is meant; none for a snapshot, and for a transfer to whoever is most caught up.</param>
/// <param name="Address">Where the node is, if known to the asker; else null.</param>
/// <param name="Incarnation">The data directory that is to go; none for whichever has the seat.</param>
/// <param name="Index">For a snapshot: up to where it is to reach, from the first answer; 0 at first.</param>
/// <param name="Mode">For a switch: the mode.</param>
public sealed record ShardChange(ChangeKind Kind, NodeId Node, string? Address = null, Incarnation Incarnation = default, LogIndex Index = default, ShardMode Mode = ShardMode.Raft);

/// <summary>How a change stands; the words are in <see cref="CallReply.Detail"/>.</summary>
/// <param name="Code">In short.</param>
/// <param name="Incarnation">The data directory that has the node's seat, or none.</param>
/// <param name="Index">For a snapshot: up to where it is to reach.</param>
public sealed record ChangeReply(ChangeCode Code, Incarnation Incarnation = default, LogIndex Index = default);
