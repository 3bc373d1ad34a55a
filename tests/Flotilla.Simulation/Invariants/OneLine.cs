using Flotilla.Shards;
using Flotilla.Shards.Handoff;
using Flotilla.Topology;

namespace Flotilla.Simulation.Invariants;

/// <summary>Each slot's epoch grows by one with each owner, and belongs to that owner for ever (hazard 40).</summary>
public sealed class OneLine : MeaningInvariant
{
    private readonly uint[] _newest = new uint[Slot.Count];
    private readonly Dictionary<(ushort Slot, uint Epoch), ShardId> _owners = [];

    /// <inheritdoc/>
    public override void Applied(LogMeaning meaning, ShardGenesis shard, HandoffStep step, bool took)
    {
        if (!took || step is not (HandoffStep.Accept or HandoffStep.Release or HandoffStep.Unfreeze))
        {
            return;
        }

        var ownership = meaning.Of(shard.Shard).Ownership;
        foreach (var (slot, epoch) in ownership.Slots.Entries())
        {
            var newest = Math.Max(1, _newest[slot.Value]);
            if (epoch.Value == 1)
            {
                Claim(shard.Shard, slot, 1);
            }
            else if (epoch.Value == newest + 1 && step is HandoffStep.Accept)
            {
                _newest[slot.Value] = epoch.Value;
                Claim(shard.Shard, slot, epoch.Value);
            }
            else if (epoch.Value > newest)
            {
                throw Broken($"slot {slot} goes from epoch {newest} to {epoch.Value} by {Transcript.Describe(step)} at shard {shard.Shard} (hazard 40)");
            }
            else
            {
                Claim(shard.Shard, slot, epoch.Value);
            }

            if (epoch.Value < _newest[slot.Value] && !ownership.Frozen.Contains(slot))
            {
                throw Broken($"slot {slot} is served by shard {shard.Shard} under epoch {epoch.Value}, though {_newest[slot.Value]} is out (hazard 40)");
            }
        }
    }

    private void Claim(ShardId shard, Slot slot, uint epoch)
    {
        if (!_owners.TryAdd((slot.Value, epoch), shard) && _owners[(slot.Value, epoch)] != shard)
        {
            throw Broken($"slot {slot} is owned under epoch {epoch} by shard {shard} and by shard {_owners[(slot.Value, epoch)]} (hazard 40)");
        }
    }
}
