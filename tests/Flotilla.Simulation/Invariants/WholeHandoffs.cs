using System.Text;
using Flotilla.Data;
using Flotilla.Raft;
using Flotilla.Shards;
using Flotilla.Shards.Handoff;
using Flotilla.Topology;
using Version = Flotilla.Data.Version;

namespace Flotilla.Simulation.Invariants;

/// <summary>A target begins with exactly the records that its source froze, and not before the source's time (hazards 38, 41 and 43).</summary>
public sealed class WholeHandoffs(World world) : MeaningInvariant
{
    private readonly SortedDictionary<HandoffId, Frozen> _frozen = [];
    private readonly SortedDictionary<HandoffId, Attempt> _first = [];

    /// <inheritdoc/>
    public override void Applied(LogMeaning meaning, ShardGenesis shard, HandoffStep step, bool took)
    {
        if (!took)
        {
            return;
        }

        var machine = meaning.Of(shard.Shard);
        switch (step)
        {
            case HandoffStep.Open open:
                _first.TryAdd(open.Id, open.Attempt);
                break;
            case HandoffStep.Freeze freeze:
                var move = machine.Ownership.Outgoing.First(m => m.Begin == freeze.Move);
                _frozen[new HandoffId(shard.Group, freeze.Move)] = new Frozen(move.Slots.Slots, Dump(machine, move.Slots.Slots), machine.LogTimeMs);
                world.Count("frozen move");
                break;
            case HandoffStep.Unfreeze unfreeze:
                _frozen.Remove(new HandoffId(shard.Group, unfreeze.Move));
                world.Count("unfrozen move");
                break;
            case HandoffStep.Accept accept:
                Check(shard, machine, accept);
                break;
            default:
                break;
        }
    }

    private void Check(ShardGenesis shard, StateMachine machine, HandoffStep.Accept accept)
    {
        world.Count(accept.Attempt != _first[accept.Id] ? "accepted move of a later attempt" : "accepted move");
        if (!_frozen.Remove(accept.Id, out var frozen))
        {
            throw Broken($"shard {shard.Shard} accepts {accept.Id}, which is not frozen at its source (hazard 39)");
        }

        var here = Dump(machine, frozen.Slots);
        if (here != frozen.Records)
        {
            throw Broken($"shard {shard.Shard} accepts {accept.Id} with other records than were frozen (hazard 38):\n{here}--- frozen:\n{frozen.Records}");
        }

        if (machine.LogTimeMs < frozen.LogTimeMs)
        {
            throw Broken($"shard {shard.Shard} accepts {accept.Id} at log time {machine.LogTimeMs}, and it was frozen at {frozen.LogTimeMs} (hazard 43)");
        }
    }

    private static string Dump(StateMachine machine, SlotSet slots)
    {
        var visitor = new Dumper(slots, new StringBuilder());
        machine.Records.Visit([], ref visitor);
        return visitor.Text.ToString();
    }

    private sealed record Frozen(SlotSet Slots, string Records, long LogTimeMs);

    private readonly struct Dumper(SlotSet slots, StringBuilder text) : IRecordVisitor
    {
        public StringBuilder Text => text;

        public bool Visit(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, Version version, long expiresAtMs)
        {
            if (slots.Contains(Slot.Of(key)))
            {
                text.Append($"{Encoding.UTF8.GetString(key)} {Encoding.UTF8.GetString(value)} {version} {expiresAtMs}\n");
            }

            return true;
        }
    }
}
