using System.Collections.Immutable;
using Flotilla.Shards.Handoff;
using Flotilla.Topology.Descriptors;

namespace Flotilla.Node.Loops;

/// <summary>How far the moves of a shard are, for descriptors. On the thread of the state machine.</summary>
internal static class MoveStates
{
    /// <summary>A number that changes whenever a move begins, goes a step on or ends; 0 if there is none.</summary>
    public static ulong SignOf(Ownership ownership)
    {
        if (ownership.IsSettled)
        {
            return 0;
        }

        var sign = 1UL;
        foreach (var move in ownership.Outgoing)
        {
            sign = (sign * 1_000_003) ^ (move.Begin.Value << 4) ^ (ulong)move.Phase;
        }

        foreach (var move in ownership.Incoming)
        {
            sign = (sign * 1_000_033) ^ (move.Id.Begin.Value << 4) ^ move.Id.Source.Value ^ (ulong)move.Phase;
        }

        return sign == 0 ? 1 : sign;
    }

    /// <summary>Moves that are not decided or not told yet, from here.</summary>
    public static ImmutableArray<MoveProgress> Outgoing(Ownership ownership) =>
        [.. ownership.Outgoing.Where(static m => m.Phase is OutgoingPhase.Open or OutgoingPhase.Frozen).Take(DescriptorCodec.MaxMoves).Select(static m => new MoveProgress(
            new ShardKey(m.TargetShard, m.Target.Value), m.Phase == OutgoingPhase.Frozen ? MovePhase.Frozen : MovePhase.Staging, m.Slots.Count, 0, 0))];

    /// <summary>Moves that are not decided, to here.</summary>
    public static ImmutableArray<MoveProgress> Incoming(Ownership ownership) =>
        [.. ownership.Incoming.Where(static m => m.IsOpen).Take(DescriptorCodec.MaxMoves).Select(static m => new MoveProgress(
            new ShardKey(m.SourceShard, m.Id.Source.Value), m.Phase == IncomingPhase.Prepared ? MovePhase.Prepared : MovePhase.Staging, m.Slots.Count, (ulong)m.StagedRecords, 0))];
}
