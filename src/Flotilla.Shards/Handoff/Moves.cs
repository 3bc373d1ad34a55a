using Flotilla.Data;
using Flotilla.Raft;
using Flotilla.Topology;

namespace Flotilla.Shards.Handoff;

/// <summary>How far a move is at its source. Explicit and append-only: in images.</summary>
public enum OutgoingPhase : byte
{
    /// <summary>The slots are served here, and copied.</summary>
    Open = 1,

    /// <summary>The slots are served nowhere, or at the target already.</summary>
    Frozen = 2,

    /// <summary>The target has them; it is yet to hear that this is known here.</summary>
    Released = 3,

    /// <summary>They stay here; the target is yet to hear of it.</summary>
    Cancelled = 4,
}

/// <summary>How far a move is at its target. Explicit and append-only: in images.</summary>
public enum IncomingPhase : byte
{
    /// <summary>Some of it may be staged.</summary>
    Staging = 1,

    /// <summary>It will be accepted, once all of it is staged, unless the source has it aborted first.</summary>
    Prepared = 2,

    /// <summary>The slots are owned here (or were, and have moved on).</summary>
    Accepted = 3,

    /// <summary>They will never come by this move.</summary>
    Aborted = 4,
}

/// <summary>A move of slots that this shard gives away. Belongs to the state machine: read it on its thread only.</summary>
public sealed class OutgoingMove
{
    internal OutgoingMove(LogIndex begin, ShardId targetShard, GroupId target, SlotEpochs slots)
    {
        Begin = begin;
        TargetShard = targetShard;
        Target = target;
        Slots = slots;
    }

    /// <summary>The entry that began it; with the group, its id.</summary>
    public LogIndex Begin { get; }

    /// <summary>Who is to have the slots.</summary>
    public ShardId TargetShard { get; }

    /// <summary>The group of that shard.</summary>
    public GroupId Target { get; }

    /// <summary>The slots with their epochs here; none once the move is over.</summary>
    public SlotEpochs Slots { get; internal set; }

    /// <summary>How far it is.</summary>
    public OutgoingPhase Phase { get; internal set; } = OutgoingPhase.Open;

    /// <summary>The entry that froze the slots; 0 before.</summary>
    public LogIndex FrozenAt { get; internal set; }

    /// <summary>The log time then, in milliseconds since the Unix epoch.</summary>
    public long FrozenTimeMs { get; internal set; }

    /// <summary>The sessions as they were then; none but while it is frozen.</summary>
    internal IReadOnlyList<CopiedSession> Sessions { get; set; } = [];
}

/// <summary>A move of slots that this shard takes in. Belongs to the state machine: read it on its thread only.</summary>
public sealed class IncomingMove
{
    internal IncomingMove(HandoffId id, ShardId sourceShard)
    {
        Id = id;
        SourceShard = sourceShard;
    }

    /// <summary>The move.</summary>
    public HandoffId Id { get; }

    /// <summary>Who gives the slots; 0 if it was aborted before it was heard of.</summary>
    public ShardId SourceShard { get; }

    /// <summary>How far it is.</summary>
    public IncomingPhase Phase { get; internal set; }

    /// <summary>It has not been decided.</summary>
    public bool IsOpen => Phase is IncomingPhase.Staging or IncomingPhase.Prepared;

    /// <summary>Whose data is taken.</summary>
    public Attempt Attempt { get; internal set; }

    /// <summary>How many chunks of that attempt are staged.</summary>
    public uint Chunks { get; internal set; }

    /// <summary>The slots with their epochs at the source; none once it is decided.</summary>
    public SlotEpochs Slots { get; internal set; } = SlotEpochs.Empty;

    /// <summary>The slots by the sessions that answer for them; none once it is decided.</summary>
    internal IReadOnlyList<SlotSet> Lineages { get; set; } = [];

    /// <summary>The digest of what is staged of each slot, by the slot's place. Follows from the records and keys: not in images.</summary>
    internal UInt128[] Digests { get; set; } = [];

    /// <summary>The keys of what is staged, by slot's place, to find the records of one slot. One that went again may still be among them, or be there twice. Not in images either.</summary>
    internal List<byte[]>?[] StagedKeys { get; set; } = [];

    /// <summary>Sessions that are staged.</summary>
    internal List<CopiedSession> Sessions { get; } = [];

    /// <summary>Records that are staged.</summary>
    public long StagedRecords { get; internal set; }

    internal UInt128 SessionsDigest()
    {
        UInt128 sum = 0;
        foreach (var session in Sessions)
        {
            sum += session.Digest();
        }

        return sum;
    }

    /// <summary>Only the outcome is kept.</summary>
    internal void Decide(IncomingPhase outcome)
    {
        Phase = outcome;
        Attempt = default;
        Chunks = 0;
        Slots = SlotEpochs.Empty;
        Lineages = [];
        Digests = [];
        StagedKeys = [];
        StagedRecords = 0;
        Sessions.Clear();
    }
}

/// <summary>Where a slot went when it last left this shard.</summary>
/// <param name="Epoch">The epoch that it got there.</param>
/// <param name="Shard">The shard that took it.</param>
/// <param name="Group">Its group.</param>
/// <param name="FrozenAt">The entry of this shard's log that froze it: sessions that were opened here before do not answer for the slot any more, even if it comes back.</param>
public sealed record Departure(SlotEpoch Epoch, ShardId Shard, GroupId Group, LogIndex FrozenAt);
