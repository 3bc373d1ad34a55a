using Flotilla.Raft;
using Flotilla.Topology;
using Flotilla.Topology.Descriptors;

namespace Flotilla.Shards.Handoff;

/// <summary>
/// One entry of a shard's log that decides about its slots or about its place in the cluster. A closed union. Whether a step has
/// an effect is decided when it is applied, by the state that it meets: a step that comes twice, too late, or from a leader that
/// was replaced has none. So anybody may propose anything; docs/handoff.md says who proposes what, and when.
/// </summary>
public abstract record HandoffStep
{
    private HandoffStep()
    {
    }

    /// <summary>Source: opens a move of slots that it owns under these epochs. It goes on serving them. The entry's index names the move.</summary>
    /// <param name="Source">The group whose log this is.</param>
    /// <param name="TargetShard">The shard that is to have them.</param>
    /// <param name="Target">Its group.</param>
    /// <param name="Slots">Not empty, each with the epoch that it has here.</param>
    public sealed record Begin(GroupId Source, ShardId TargetShard, GroupId Target, SlotEpochs Slots) : HandoffStep;

    /// <summary>Source: gives a move up that is not frozen.</summary>
    public sealed record Cancel(LogIndex Move) : HandoffStep;

    /// <summary>Source: from here on the move's slots are not served, and nothing changes them.</summary>
    public sealed record Freeze(LogIndex Move) : HandoffStep;

    /// <summary>Source: the target has accepted. The slots are gone.</summary>
    public sealed record Release(LogIndex Move) : HandoffStep;

    /// <summary>Source: the target's log holds the Abort. The slots are served again, under the epoch that they had.</summary>
    public sealed record Unfreeze(LogIndex Move) : HandoffStep;

    /// <summary>Source: the target knows that the move is over; it may be forgotten.</summary>
    public sealed record Close(LogIndex Move) : HandoffStep;

    /// <summary>Target: begins to take a move in, or begins anew with a later attempt.</summary>
    /// <param name="Id">The move.</param>
    /// <param name="Attempt">Which attempt; one that is not above the last has no effect.</param>
    /// <param name="SourceShard">The shard that gives the slots.</param>
    /// <param name="Slots">The slots, with the epochs that they have there.</param>
    /// <param name="Lineages">The same slots, split by which sessions answer for them there; equal in all attempts.</param>
    public sealed record Open(HandoffId Id, Attempt Attempt, ShardId SourceShard, SlotEpochs Slots, IReadOnlyList<SlotSet> Lineages) : HandoffStep;

    /// <summary>Target: what a chunk brought, staged and not served.</summary>
    /// <param name="Id">The move.</param>
    /// <param name="Attempt">The attempt that sent it; any but the newest is refused.</param>
    /// <param name="Number">Which chunk of the attempt, from 0; only the next one has an effect.</param>
    /// <param name="Items">What it brings (<see cref="ChunkItem"/>); it must never change.</param>
    public sealed record Stage(HandoffId Id, Attempt Attempt, uint Number, ReadOnlyMemory<byte> Items) : HandoffStep;

    /// <summary>Target: promises that it will accept.</summary>
    public sealed record Prepare(HandoffId Id, Attempt Attempt) : HandoffStep;

    /// <summary>Target: takes the slots over, each under the epoch after the source's, if exactly what was sent is staged.</summary>
    /// <param name="Id">The move.</param>
    /// <param name="Attempt">The attempt that froze them, or brought the rest since.</param>
    /// <param name="Chunks">How many chunks that attempt sent.</param>
    /// <param name="Digest">Of everything that belongs to the slots (<see cref="ItemDigest"/>).</param>
    /// <param name="LogTimeMs">The source's log time when they were frozen.</param>
    public sealed record Accept(HandoffId Id, Attempt Attempt, uint Chunks, UInt128 Digest, long LogTimeMs) : HandoffStep;

    /// <summary>Target: will never accept this move; also one that it has never heard of.</summary>
    public sealed record Abort(HandoffId Id) : HandoffStep;

    /// <summary>Target: every move of this source up to the floor is over there. Their outcomes are forgotten, and none of them is ever taken in.</summary>
    public sealed record Settle(GroupId Source, LogIndex Floor) : HandoffStep;

    /// <summary>Either: removes what is left of slots that are not here, for one stretch of a walk over all records.</summary>
    /// <param name="Walk">Which walk, from 1.</param>
    /// <param name="From">The key where the walk stands, empty at its beginning; else the step has no effect.</param>
    /// <param name="To">The key where it stands then; empty if that is the end.</param>
    public sealed record Purge(uint Walk, ReadOnlyMemory<byte> From, ReadOnlyMemory<byte> To) : HandoffStep;

    /// <summary>Puts the shard into another state, if it may go there.</summary>
    public sealed record SetState(ShardState State) : HandoffStep;

    /// <summary>Sets the shard's weight on the ring, 1 to <see cref="Ring.MaxWeight"/>.</summary>
    public sealed record SetWeight(int Weight) : HandoffStep;

    /// <summary>Replicates in another mode from the next entry on; of the log family alone. Coming from raft everybody is in sync.</summary>
    public sealed record SetMode(ShardMode Mode) : HandoffStep;

    /// <summary>Takes a voter out of the in-sync set, or puts it back (docs/modes.md). Who is in it only matters to acknowledgements: voters, elections and commit never change by it.</summary>
    public sealed record SetInSync(NodeId Node, bool IsIn) : HandoffStep;
}
