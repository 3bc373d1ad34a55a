using Flotilla.Topology;
using Flotilla.Raft;

namespace Flotilla.Shards.Handoff;

/// <summary>
/// Which moves a shard's leader should begin and cancel, so that its slots walk to where the ring wants them. A pure function of what
/// is applied and of the leader's view of the cluster; the view may be wrong, which costs time and nothing else.
/// </summary>
public static class HandoffPlan
{
    /// <summary>Steps to be proposed now; none if all is well or enough is under way.</summary>
    /// <param name="ownership">What is applied.</param>
    /// <param name="self">The shard.</param>
    /// <param name="group">Its group.</param>
    /// <param name="ring">The active shards of this node's view, with this one or without it.</param>
    /// <param name="groupOf">The group of a shard that answers; null for one that does not, or of which two groups are known: nothing is begun towards it.</param>
    /// <param name="limits">How much at a time.</param>
    public static IReadOnlyList<HandoffStep> Next(Ownership ownership, ShardId self, GroupId group, Ring ring, Func<ShardId, GroupId?> groupOf, HandoffLimits limits)
    {
        ArgumentNullException.ThrowIfNull(ownership);
        ArgumentNullException.ThrowIfNull(ring);
        ArgumentNullException.ThrowIfNull(groupOf);
        ArgumentNullException.ThrowIfNull(limits);
        var steps = new List<HandoffStep>();
        if (ring.Members.Count == 0)
        {
            return steps; // With no active shard nothing moves.
        }

        var open = 0;
        foreach (var move in ownership.Outgoing)
        {
            var isUnderWay = move.Phase is OutgoingPhase.Open or OutgoingPhase.Frozen;
            open += isUnderWay ? 1 : 0;
            if (move.Phase == OutgoingPhase.Open && !MeantFor(ring, move.TargetShard, move.Slots.Slots))
            {
                steps.Add(new HandoffStep.Cancel(move.Begin)); // The ring has changed its mind.
            }
        }

        var byTarget = new SortedDictionary<ShardId, List<Slot>>();
        foreach (var slot in ownership.Slots.Slots.Except(ownership.Leaving).Slots())
        {
            var target = ring.Owner(slot);
            if (target != self)
            {
                if (!byTarget.TryGetValue(target, out var slots))
                {
                    byTarget.Add(target, slots = []);
                }

                slots.Add(slot);
            }
        }

        foreach (var (target, slots) in byTarget)
        {
            // One that has still to hear that a move is over does not listen now: it gets no other until it has.
            var isDeaf = ownership.Outgoing.Any(m => m.TargetShard == target && m.Phase == OutgoingPhase.Cancelled);
            var busy = ownership.Outgoing.Count(m => m.TargetShard == target && m.Phase is OutgoingPhase.Open or OutgoingPhase.Frozen);
            if (open < limits.Moves && busy < limits.MovesPerTarget && !isDeaf && groupOf(target) is { } there && there != group)
            {
                steps.Add(new HandoffStep.Begin(group, target, there, ownership.Slots.Only(SlotSet.Of(slots.Take(limits.SlotsPerMove)))));
                open++;
            }
        }

        return steps;
    }

    private static bool MeantFor(Ring ring, ShardId shard, SlotSet slots)
    {
        foreach (var slot in slots.Slots())
        {
            if (ring.Owner(slot) != shard)
            {
                return false;
            }
        }

        return true;
    }
}

/// <summary>How much of a shard moves at a time.</summary>
/// <param name="Moves">Moves from the shard that are under way at once.</param>
/// <param name="MovesPerTarget">Of these, to one target.</param>
/// <param name="SlotsPerMove">Slots in one move: all that it costs to look at every record once, and how much is frozen together.</param>
public sealed record HandoffLimits(int Moves = 2, int MovesPerTarget = 1, int SlotsPerMove = 1024);
