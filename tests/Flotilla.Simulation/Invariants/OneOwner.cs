using Flotilla.Shards;
using Flotilla.Shards.Handoff;
using Flotilla.Topology;

namespace Flotilla.Simulation.Invariants;

/// <summary>
/// At no moment do two shards serve a slot, and at every moment some shard owns it, served or frozen (hazard 39): after each entry
/// that was committed in any of the logs.
/// </summary>
public sealed class OneOwner : MeaningInvariant
{
    /// <inheritdoc/>
    public override void Applied(LogMeaning meaning, ShardGenesis shard, HandoffStep step, bool took)
    {
        if (!took || step is not (HandoffStep.Freeze or HandoffStep.Accept or HandoffStep.Release or HandoffStep.Unfreeze))
        {
            return;
        }

        var served = SlotSet.Empty;
        var owned = SlotSet.Empty;
        foreach (var (number, machine) in meaning.Machines)
        {
            var ownership = machine.Ownership;
            var here = ownership.Slots.Slots.Except(ownership.Frozen);
            if (here.Overlaps(served))
            {
                throw Broken($"after {Transcript.Describe(step)} at shard {shard.Shard} the slots {here.Intersect(served)} are served by shard {number} and by another (hazard 39)");
            }

            served = served.Union(here);
            owned = owned.Union(ownership.Slots.Slots);
        }

        if (owned.Count != Slot.Count)
        {
            throw Broken($"after {Transcript.Describe(step)} at shard {shard.Shard} nobody owns the slots {SlotSet.All.Except(owned)} (hazard 39)");
        }
    }
}
