using Flotilla.Topology.Descriptors;

namespace Flotilla.Topology.Ownership;

/// <summary>
/// Who of some shards owns each slot, by what all of them claim: apart from the view, since most news is of who leads and who is a
/// member, and changes no claim. Immutable; any thread may read it.
/// </summary>
internal sealed class Claims
{
    private readonly (ShardKey Shard, SlotEpochs Slots)[] _claims;
    private readonly ushort[] _owners = new ushort[Slot.Count]; // By slot: a place among the shards, and 1; 0 if nobody owns it.

    /// <summary>The claims of these shards.</summary>
    /// <param name="shards">In order, so that of equal claims the lower key's stands, on every node.</param>
    public Claims(IReadOnlyList<ShardDescriptor> shards)
    {
        _claims = [.. shards.Select(static shard => (shard.Key, shard.Slots))];
        var areEqual = false;
        for (var place = 0; place < _claims.Length; place++)
        {
            var claimed = _claims[place].Slots;
            var at = 0;
            foreach (var slot in claimed.Slots.Slots())
            {
                var epoch = claimed.At(at++);
                ref var owner = ref _owners[slot.Value];
                if (owner > 0)
                {
                    AreContended = true;
                    var other = _claims[owner - 1].Slots[slot];
                    areEqual |= epoch == other;
                    if (epoch <= other)
                    {
                        continue;
                    }
                }

                owner = checked((ushort)(place + 1));
            }
        }

        Unowned = SlotSet.Where(slot => _owners[slot.Value] == 0);
        Conflicts = areEqual ? FindConflicts() : [];
    }

    /// <summary>Some slot is claimed by more than one, be it under the same epoch or another.</summary>
    public bool AreContended { get; }

    /// <summary>Slots that nobody claims.</summary>
    public SlotSet Unowned { get; }

    /// <summary>Slots claimed twice under one epoch.</summary>
    public IReadOnlyList<SlotConflict> Conflicts { get; }

    /// <summary>The owner's place among the shards; below 0 if nobody owns the slot.</summary>
    public int PlaceOf(Slot slot) => _owners[slot.Value] - 1;

    /// <summary>These shards claim the very same.</summary>
    public bool AreOf(IReadOnlyList<ShardDescriptor> shards)
    {
        if (shards.Count != _claims.Length)
        {
            return false;
        }

        for (var place = 0; place < _claims.Length; place++)
        {
            if (shards[place].Key != _claims[place].Shard || !shards[place].Slots.Equals(_claims[place].Slots))
            {
                return false;
            }
        }

        return true;
    }

    private SlotConflict[] FindConflicts()
    {
        var both = new SortedDictionary<(int Owner, int Other), List<Slot>>();
        for (var place = 0; place < _claims.Length; place++)
        {
            foreach (var (slot, epoch) in _claims[place].Slots.Entries())
            {
                var pair = (PlaceOf(slot), place);
                if (pair.Item1 != place && epoch == _claims[pair.Item1].Slots[slot])
                {
                    if (!both.TryGetValue(pair, out var slots))
                    {
                        both[pair] = slots = [];
                    }

                    slots.Add(slot);
                }
            }
        }

        return [.. both.Select(pair => new SlotConflict(_claims[pair.Key.Owner].Shard, _claims[pair.Key.Other].Shard, SlotSet.Of(pair.Value)))];
    }
}
