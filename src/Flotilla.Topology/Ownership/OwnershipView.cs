using Flotilla.Topology.Descriptors;
using Flotilla.Topology.Gossip;

namespace Flotilla.Topology.Ownership;

/// <summary>Slots that two shards claim under the same epoch, which the logs never allow: somebody restored an old disk, or there is a bug.</summary>
/// <param name="Owner">The one that the view goes by: the lower number and group.</param>
/// <param name="Other">The other.</param>
/// <param name="Slots">What they both claim.</param>
public sealed record SlotConflict(ShardKey Owner, ShardKey Other, SlotSet Slots);

/// <summary>Why slots stay where they are though they should live elsewhere.</summary>
public enum MoveObstacle
{
    /// <summary>Nothing: the move may begin.</summary>
    None = 0,

    /// <summary>The two ends do not see the same ring yet: one has news that the other has not.</summary>
    RingsDiffer = 1,

    /// <summary>Two groups go by the number of one of the ends.</summary>
    Doubled = 2,

    /// <summary>Nobody is known to lead the target.</summary>
    NoLeader = 3,
}

/// <summary>Slots that a shard owns and another should.</summary>
/// <param name="Target">Their rightful owner.</param>
/// <param name="Slots">Which.</param>
/// <param name="Obstacle">Why they do not move; <see cref="MoveObstacle.None"/> if they may.</param>
public sealed record WantedMove(ShardKey Target, SlotSet Slots, MoveObstacle Obstacle);

/// <summary>
/// What a table of descriptors says about slots: who owns each, who should, and what follows from the difference. A hint, as
/// all of gossip: a shard that is asked for a slot that it does not own says so. Immutable; any thread may read it.
/// </summary>
public sealed class OwnershipView
{
    private readonly Claims _claims;
    private readonly Dictionary<ShardKey, ShardDescriptor> _byKey;
    private readonly HashSet<ShardId> _doubled;
    private readonly Dictionary<ShardId, ShardDescriptor> _onRing;

    private OwnershipView(GossipTable table, OwnershipView? previous)
    {
        Table = table;
        Shards = [.. table.Shards.Select(s => s.Descriptor)];
        _byKey = Shards.ToDictionary(d => d.Key);
        _doubled = [.. table.Doubled];

        // Of two active groups under one number the lower stands on the ring. Slots neither come to it nor go from it, but
        // the other shards' rings must agree about it too.
        _onRing = [];
        foreach (var active in Shards.Where(d => d.State == ShardState.Active))
        {
            _onRing.TryAdd(active.Shard, active);
        }

        RingMember[] members = [.. _onRing.Values.OrderBy(d => d.Shard).Select(d => new RingMember(d.Shard, d.Weight))];
        Ring = previous is not null && previous.Ring.Members.SequenceEqual(members) ? previous.Ring : new Ring(members);
        _claims = previous is not null && previous._claims.AreOf(Shards) ? previous._claims : new Claims(Shards);
    }

    /// <summary>The table that this is the view of.</summary>
    public GossipTable Table { get; }

    /// <summary>All shards, by number and group, retired ones included.</summary>
    public IReadOnlyList<ShardDescriptor> Shards { get; }

    /// <summary>The ring of the active shards.</summary>
    public Ring Ring { get; }

    /// <summary>Slots claimed twice; empty unless something is badly wrong.</summary>
    public IReadOnlyList<SlotConflict> Conflicts => _claims.Conflicts;

    /// <summary>Shard numbers that two groups go by; empty unless something is badly wrong.</summary>
    public IReadOnlyList<ShardId> Doubled => Table.Doubled;

    /// <summary>The slots that nobody is known to own: not heard of yet, or on their way.</summary>
    public SlotSet Unowned => _claims.Unowned;

    /// <summary>The view of a table.</summary>
    /// <param name="table">What is known.</param>
    /// <param name="previous">An earlier view, of which is used again what is still the same; null if there is none.</param>
    public static OwnershipView Of(GossipTable table, OwnershipView? previous = null)
    {
        ArgumentNullException.ThrowIfNull(table);
        return new OwnershipView(table, previous);
    }

    /// <summary>The shard that owns a slot: of all that claim it the one with the highest slot epoch. Null if none does.</summary>
    public ShardDescriptor? OwnerOf(Slot slot) => _claims.PlaceOf(slot) is >= 0 and var place ? Shards[place] : null;

    /// <summary>The slots that a shard of this view owns.</summary>
    /// <param name="shard">One of <see cref="Shards"/>.</param>
    public SlotSet OwnedBy(ShardDescriptor shard)
    {
        ArgumentNullException.ThrowIfNull(shard);
        return _claims.AreContended ? SlotSet.Of(shard.Slots.Slots.Slots().Where(slot => ReferenceEquals(OwnerOf(slot), shard))) : shard.Slots.Slots;
    }

    /// <summary>The epoch under which a slot is owned; none if it is not.</summary>
    public SlotEpoch EpochOf(Slot slot) => OwnerOf(slot)?.Slots[slot] ?? SlotEpoch.None;

    /// <summary>A shard, or null.</summary>
    public ShardDescriptor? Find(ShardKey key) => _byKey.GetValueOrDefault(key);

    /// <summary>
    /// What a shard should give away, by target. To be asked by the shard's leader, whose ring this is: a move may begin if the
    /// target's descriptor says that it sees the same ring, so that slots never go to and fro between two opinions.
    /// </summary>
    /// <param name="source">The shard.</param>
    /// <param name="owned">The slots that it owns by its own log, without those that are in a move already.</param>
    /// <returns>Ordered by target; empty while no shard is active.</returns>
    public IReadOnlyList<WantedMove> MovesOf(ShardKey source, SlotSet owned)
    {
        ArgumentNullException.ThrowIfNull(owned);
        var byTarget = new SortedDictionary<ShardId, List<Slot>>();
        foreach (var slot in owned.Slots())
        {
            var target = Ring.Owner(slot);
            if (target == default || (target == source.Shard && !_doubled.Contains(target)))
            {
                continue;
            }

            if (!byTarget.TryGetValue(target, out var slots))
            {
                byTarget[target] = slots = [];
            }

            slots.Add(slot);
        }

        var moves = new List<WantedMove>();
        foreach (var (shard, slots) in byTarget)
        {
            var target = _onRing[shard];
            if (target.Key != source)
            {
                moves.Add(new WantedMove(target.Key, SlotSet.Of(slots), ObstacleOf(source, target)));
            }
        }

        return moves;
    }

    /// <summary>
    /// The slots that should come to a shard. While there are any, its descriptor has to name the ring of this view, or nobody
    /// may begin to send them; while there are none, which ring it names is of no interest, and it need not speak because of a
    /// change elsewhere.
    /// </summary>
    /// <param name="shard">The shard.</param>
    /// <param name="owned">The slots that it owns by its own log.</param>
    public SlotSet ExpectedBy(ShardKey shard, SlotSet owned)
    {
        ArgumentNullException.ThrowIfNull(owned);
        return _onRing.TryGetValue(shard.Shard, out var onRing) && onRing.Key == shard ? Ring.SlotsOf(shard.Shard).Except(owned) : SlotSet.Empty;
    }

    private MoveObstacle ObstacleOf(ShardKey source, ShardDescriptor target) =>
        _doubled.Contains(source.Shard) || _doubled.Contains(target.Shard) ? MoveObstacle.Doubled
        : target.RingDigest != Ring.Digest ? MoveObstacle.RingsDiffer
        : target.Leader is null ? MoveObstacle.NoLeader
        : MoveObstacle.None;
}
