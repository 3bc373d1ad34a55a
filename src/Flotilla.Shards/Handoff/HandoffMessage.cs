using Flotilla.Raft;
using Flotilla.Topology;

namespace Flotilla.Shards.Handoff;

/// <summary>
/// What the leaders of two shards say to each other about a move. A closed union. Messages may be lost, late, repeated and out of
/// order, and may come from leaders that were replaced: nothing depends on that but time.
/// </summary>
/// <param name="Id">The move.</param>
/// <param name="From">The shard that says it: answers go there.</param>
public abstract record HandoffMessage(HandoffId Id, ShardId From)
{
    /// <summary>Source: begin to take these slots in, or begin anew with this attempt.</summary>
    public sealed record Offer(HandoffId Id, ShardId From, Attempt Attempt, SlotEpochs Slots, IReadOnlyList<SlotSet> Lineages) : HandoffMessage(Id, From);

    /// <summary>Source: a chunk to be staged.</summary>
    public sealed record Data(HandoffId Id, ShardId From, Attempt Attempt, uint Number, ReadOnlyMemory<byte> Items) : HandoffMessage(Id, From);

    /// <summary>Source: nearly everything is there; promise to accept.</summary>
    public sealed record Ready(HandoffId Id, ShardId From, Attempt Attempt) : HandoffMessage(Id, From);

    /// <summary>Source: the slots are frozen and everything was sent; accept.</summary>
    public sealed record Decide(HandoffId Id, ShardId From, Attempt Attempt, uint Chunks, UInt128 Digest, long LogTimeMs) : HandoffMessage(Id, From);

    /// <summary>Source: it takes too long; abort, unless it is accepted already.</summary>
    public sealed record GiveUp(HandoffId Id, ShardId From) : HandoffMessage(Id, From);

    /// <summary>Source: this move is over here, and so is every other one of this group up to the floor.</summary>
    public sealed record Over(HandoffId Id, ShardId From, LogIndex Floor) : HandoffMessage(Id, From);

    /// <summary>Target: how far the move is in what it has applied.</summary>
    /// <param name="Id">The move.</param>
    /// <param name="From">The target.</param>
    /// <param name="State">How far.</param>
    /// <param name="Attempt">Whose data it takes.</param>
    /// <param name="Chunks">How many chunks of that attempt are staged.</param>
    /// <param name="Digests">Of what is staged of each slot, in the order of the slots; only in the answer to an offer, before the first chunk.</param>
    public sealed record Answer(HandoffId Id, ShardId From, TargetState State, Attempt Attempt, uint Chunks, IReadOnlyList<UInt128>? Digests) : HandoffMessage(Id, From);
}

/// <summary>How a target stands to a move. Explicit and append-only: on the wire.</summary>
public enum TargetState : byte
{
    /// <summary>It has not heard of it.</summary>
    Unknown = 0,

    /// <summary>It takes chunks.</summary>
    Staging = 1,

    /// <summary>It takes chunks, and will accept.</summary>
    Prepared = 2,

    /// <summary>It owns the slots.</summary>
    Accepted = 3,

    /// <summary>It will never accept.</summary>
    Aborted = 4,

    /// <summary>It knows that the move is over.</summary>
    Over = 5,

    /// <summary>Not now: by its ring the slots are not meant for it.</summary>
    NotMeant = 6,

    /// <summary>Not now: it leaves, or it has the slots in another move or is still to purge them.</summary>
    Busy = 7,
}
