using System.Collections.Immutable;
using Flotilla.Raft;
using Flotilla.Shards;
using Flotilla.Shards.Handoff;
using Flotilla.Topology.Descriptors;

namespace Flotilla.Node.Loops;

/// <summary>
/// The moves of one shard as its replica here sees them go by: since when each is there, how long slots were frozen, how moves end.
/// For people and metrics; nothing is decided by it. Every replica keeps one, so that the next leader knows the beginnings;
/// only the leader's is counted and told. On the loop's thread.
/// </summary>
internal sealed class MoveBook
{
    private readonly Dictionary<HandoffId, Seen> _seen = [];
    private readonly List<HandoffId> _gone = [];
    private ulong _round;

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

    /// <summary>Looks at what is applied, after each flush.</summary>
    /// <param name="replica">The replica.</param>
    /// <param name="leads">It leads: what has changed is counted.</param>
    /// <param name="now">The monotonic clock.</param>
    public void Note(Replica replica, bool leads, Instant now)
    {
        var ownership = replica.Ownership;
        if (ownership.IsSettled && _seen.Count == 0)
        {
            return;
        }

        _round++;
        foreach (var move in ownership.Outgoing)
        {
            Note(SeenOf(new HandoffId(ownership.Group, move.Begin), replica.LogTimeMs), move.Phase, leads, now);
        }

        foreach (var move in ownership.Incoming)
        {
            var seen = SeenOf(move.Id, replica.LogTimeMs);
            if (leads && move.StagedRecords > seen.Staged)
            {
                NodeMetrics.MovedRecords.Add(move.StagedRecords - seen.Staged);
            }

            seen.Staged = move.StagedRecords;
        }

        foreach (var (id, seen) in _seen)
        {
            if (seen.Round != _round)
            {
                _gone.Add(id);
            }
        }

        foreach (var id in _gone)
        {
            _seen.Remove(id);
        }

        _gone.Clear();
    }

    /// <summary>Moves from here that are not settled.</summary>
    public ImmutableArray<MoveProgress> Outgoing(Replica replica)
    {
        var ownership = replica.Ownership;
        if (ownership.IsSettled)
        {
            return [];
        }

        var driven = replica.HandoffProgress().ToDictionary(static p => p.Id.Begin);
        var slots = Math.Max(1, ownership.Slots.Count);
        return
        [
            .. ownership.Outgoing.Take(DescriptorCodec.MaxMoves).Select(move =>
            {
                driven.TryGetValue(move.Begin, out var known);
                return new MoveProgress(
                    new ShardKey(move.TargetShard, move.Target.Value), PhaseOf(move.Phase, known.Stage), move.Slots.Count, (ulong)known.RecordsSent,
                    (ulong)(replica.Records.Count * move.Slots.Count / slots), (ulong)known.BytesSent, BeganMs(new HandoffId(ownership.Group, move.Begin)));
            }),
        ];
    }

    /// <summary>Moves to here that are not settled.</summary>
    public ImmutableArray<MoveProgress> Incoming(Replica replica) => replica.Ownership.IsSettled
        ? []
        :
        [
            // One that was aborted before it was heard of names no shard.
            .. replica.Ownership.Incoming.Where(static m => m.SourceShard.Value > 0).Take(DescriptorCodec.MaxMoves).Select(move => new MoveProgress(
                new ShardKey(move.SourceShard, move.Id.Source.Value),
                move.Phase switch { IncomingPhase.Staging => MovePhase.Staging, IncomingPhase.Prepared => MovePhase.Prepared, _ => MovePhase.Ending },
                move.Slots.Count, (ulong)move.StagedRecords, 0, 0, BeganMs(move.Id))),
        ];

    private static MovePhase PhaseOf(OutgoingPhase phase, HandoffStage stage) => (phase, stage) switch
    {
        (OutgoingPhase.Frozen, _) => MovePhase.Frozen,
        (OutgoingPhase.Open, HandoffStage.Offering) => MovePhase.Offering,
        (OutgoingPhase.Open, HandoffStage.Comparing) => MovePhase.Comparing,
        (OutgoingPhase.Open, HandoffStage.Copying) => MovePhase.Staging,
        (OutgoingPhase.Open, HandoffStage.CatchingUp) => MovePhase.CatchingUp,
        (OutgoingPhase.Open, _) => MovePhase.Prepared,
        _ => MovePhase.Ending,
    };

    private static void Note(Seen seen, OutgoingPhase phase, bool leads, Instant now)
    {
        var before = seen.Phase;
        if (phase == before)
        {
            return;
        }

        seen.Phase = phase;
        if (phase == OutgoingPhase.Frozen)
        {
            seen.FrozenAt = now;
            return;
        }

        if (!leads || phase is not (OutgoingPhase.Released or OutgoingPhase.Cancelled))
        {
            return;
        }

        NodeMetrics.MoveEnded(phase == OutgoingPhase.Released ? "done" : before == OutgoingPhase.Frozen ? "aborted" : "cancelled");
        if (before == OutgoingPhase.Frozen)
        {
            NodeMetrics.MoveFrozenSeconds.Record(now.MsSince(seen.FrozenAt) / 1000);
        }
    }

    private ulong BeganMs(HandoffId id) => _seen.TryGetValue(id, out var seen) ? (ulong)Math.Max(0, seen.BeganMs) : 0;

    private Seen SeenOf(HandoffId id, long logTimeMs)
    {
        if (!_seen.TryGetValue(id, out var seen))
        {
            seen = new Seen(logTimeMs);
            _seen.Add(id, seen);
        }

        seen.Round = _round;
        return seen;
    }

    private sealed class Seen(long beganMs)
    {
        public long BeganMs { get; } = beganMs;

        public ulong Round { get; set; }

        public OutgoingPhase Phase { get; set; } = OutgoingPhase.Open;

        public Instant FrozenAt { get; set; }

        public long Staged { get; set; }
    }
}
