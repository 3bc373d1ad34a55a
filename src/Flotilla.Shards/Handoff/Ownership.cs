using Flotilla.Raft;
using Flotilla.Topology;
using Flotilla.Topology.Descriptors;

namespace Flotilla.Shards.Handoff;

/// <summary>
/// What a shard's log says about the shard itself: which slots it owns under which epochs, its moves, its state and its weight. A
/// part of the state machine, changed by <see cref="HandoffStep"/>s alone; read it on the state machine's thread.
/// </summary>
public sealed class Ownership
{
    /// <summary>So many moves at most are kept in each direction, those included that wait to be settled. The same for ever and on all nodes.</summary>
    public const int MaxMoves = 1024;

    private readonly Dictionary<ushort, Departure> _departures = [];
    private readonly Dictionary<ushort, int> _lineages = []; // of owned slots that came with sessions
    private byte[]? _encoded;

    internal Ownership(SlotEpochs slots)
    {
        Slots = slots;
        State = slots.Count > 0 ? ShardState.Active : ShardState.Joining;
    }

    /// <summary>The group of this shard; none until a first move began here, and nothing depends on it before.</summary>
    public GroupId Group { get; internal set; }

    /// <summary>Where the shard stands in its life. One that is born with slots is active, one without is joining.</summary>
    public ShardState State { get; internal set; }

    /// <summary>Its weight on the ring.</summary>
    public int Weight { get; internal set; } = Ring.NormalWeight;

    /// <summary>How it replicates.</summary>
    public ShardMode Mode { get; internal set; } = ShardMode.Raft;

    /// <summary>Voters that were taken out of the in-sync set; all others are in it. In order, some perhaps no voters any more.</summary>
    public SortedSet<NodeId> OutOfSync { get; } = [];

    /// <summary>The slots that this shard owns, the frozen ones included.</summary>
    public SlotEpochs Slots { get; private set; }

    /// <summary>Owned and served nowhere, until their move is decided.</summary>
    public SlotSet Frozen { get; private set; } = SlotSet.Empty;

    /// <summary>In a move from here that is not decided.</summary>
    public SlotSet Leaving { get; private set; } = SlotSet.Empty;

    /// <summary>In a move to here that is not decided.</summary>
    public SlotSet Staged { get; private set; } = SlotSet.Empty;

    /// <summary>Not here, and their data is still to be removed.</summary>
    public SlotSet ToPurge => Purge.Pending;

    /// <summary>Moves from here, by age: those under way, and those of which the target is still to be told.</summary>
    public IEnumerable<OutgoingMove> Outgoing => OutgoingByBegin.Values;

    /// <summary>Moves to here, by source and age: those under way, and outcomes that are still to be settled.</summary>
    public IEnumerable<IncomingMove> Incoming => IncomingById.Values;

    /// <summary>Something is under way, owed, or to be purged.</summary>
    internal bool HasMoves => !IsSettled || !ToPurge.IsEmpty;

    /// <summary>Nothing is under way and no outcome is owed to anybody.</summary>
    public bool IsSettled => OutgoingByBegin.Count == 0 && IncomingById.Count == 0;

    // Gone through several times in each pass of the loop while something moves: lists, since a tree allocates for it.
    internal SortedList<LogIndex, OutgoingMove> OutgoingByBegin { get; } = [];

    internal SortedList<HandoffId, IncomingMove> IncomingById { get; } = [];

    internal SortedDictionary<ulong, LogIndex> Floors { get; } = [];

    internal PurgeWalk Purge { get; } = new();

    internal int LastLineage { get; set; }

    internal IReadOnlyDictionary<ushort, Departure> Departures => _departures;

    internal IReadOnlyDictionary<ushort, int> Lineages => _lineages;

    /// <summary>Slots of which nothing may change but by the move that they are in.</summary>
    internal SlotSet Held => Frozen.Union(Staged);

    /// <summary>All of this but the epochs, as <see cref="OwnershipCodec"/> writes it. Made once after each change: snapshots are many, and moves few.</summary>
    internal byte[] Encoded => _encoded ??= OwnershipCodec.Encode(this);

    /// <summary>The epoch of a slot; 0 if it is not owned.</summary>
    internal uint EpochOf(Slot slot) => Slots[slot].Value;

    /// <summary>Some slot has left.</summary>
    internal bool HasGiven => _departures.Count > 0;

    /// <summary>Where a slot went when it last left; null if it never did.</summary>
    public Departure? DepartureOf(Slot slot) => _departures.GetValueOrDefault(slot.Value);

    /// <summary>Whether a move from here is past its Freeze; null if it is not known, or not any more.</summary>
    public bool? HasFrozen(LogIndex move) => OutgoingByBegin.TryGetValue(move, out var known) ? known.Phase != OutgoingPhase.Open : null;

    /// <summary>Every move of this source up to this one is over there; 0 if none is known to be.</summary>
    public LogIndex FloorOf(GroupId source) => Floors.GetValueOrDefault(source.Value);

    /// <summary>With which sessions a slot came; 0 if with none.</summary>
    internal int LineageOf(Slot slot) => _lineages.GetValueOrDefault(slot.Value);

    /// <summary>The move that a frozen slot is in.</summary>
    internal OutgoingMove FrozenBy(Slot slot) => Outgoing.First(m => m.Phase == OutgoingPhase.Frozen && m.Slots.Slots.Contains(slot));

    /// <summary>The slots that are served: owned and not frozen.</summary>
    internal SlotSet Served => Slots.Slots.Except(Frozen);

    /// <summary>Every slot of these is owned here under that epoch.</summary>
    internal bool Owns(SlotEpochs slots)
    {
        foreach (var (slot, epoch) in slots.Entries())
        {
            if (Slots[slot] != epoch)
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>None of these slots is here, and none was here since it had that epoch.</summary>
    internal bool MayTake(SlotEpochs slots)
    {
        foreach (var (slot, epoch) in slots.Entries())
        {
            if (Slots.Slots.Contains(slot) || (DepartureOf(slot) is { } left && left.Epoch > epoch))
            {
                return false;
            }
        }

        return true;
    }

    internal void Take(SlotEpochs slots, IReadOnlyList<SlotSet> lineages)
    {
        Slots = Slots.With(slots.Next());
        foreach (var set in lineages)
        {
            LastLineage++;
            foreach (var slot in set.Slots())
            {
                _lineages[slot.Value] = LastLineage;
            }
        }
    }

    internal void Give(OutgoingMove move)
    {
        Slots = Slots.Without(move.Slots.Slots);
        foreach (var (slot, epoch) in move.Slots.Entries())
        {
            _lineages.Remove(slot.Value);
            _departures[slot.Value] = new Departure(epoch.Next, move.TargetShard, move.Target, move.FrozenAt);
        }
    }

    /// <summary>Something of this was changed.</summary>
    internal void Changed() => _encoded = null;

    /// <summary>Reckons anew which slots are in which kind of move.</summary>
    internal void Recount()
    {
        Leaving = Union(Outgoing.Where(m => m.Phase is OutgoingPhase.Open or OutgoingPhase.Frozen).Select(m => m.Slots.Slots));
        Frozen = Union(Outgoing.Where(m => m.Phase == OutgoingPhase.Frozen).Select(m => m.Slots.Slots));
        Staged = Union(Incoming.Where(m => m.IsOpen).Select(m => m.Slots.Slots));
    }

    internal void RestoreDeparture(Slot slot, Departure departure) => _departures[slot.Value] = departure;

    internal void RestoreLineage(Slot slot, int lineage) => _lineages[slot.Value] = lineage;

    private static SlotSet Union(IEnumerable<SlotSet> sets) => sets.Aggregate(SlotSet.Empty, (a, b) => a.Union(b));
}
