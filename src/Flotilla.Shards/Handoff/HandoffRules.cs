using Flotilla.Data;
using Flotilla.Raft;
using Flotilla.Shards.ExactlyOnce;
using Flotilla.Topology;
using Flotilla.Topology.Descriptors;

namespace Flotilla.Shards.Handoff;

/// <summary>
/// What each <see cref="HandoffStep"/> does to a shard's state when it is applied: the whole of the protocol's safety. Drivers
/// (<see cref="HandoffDriver"/>) only make things happen; they may forget, repeat and be wrong.
/// </summary>
/// <remarks>
/// <para>Invariants, over the states of all shards after any number of applied entries (DESIGN section 6):</para>
/// <list type="number">
/// <item><b>One owner.</b> A slot is owned under an epoch by one shard at most, and is <em>served</em> (owned and not frozen) by one
/// shard at most.</item>
/// <item><b>One line.</b> Each slot's epochs grow by one with each owner, and each owner's state begins with what the one before had
/// at its Freeze.</item>
/// <item><b>One outcome.</b> Of Accept and Abort of one id a log applies one at most, and a source ends a frozen move only by what
/// the target's log holds.</item>
/// </list>
/// <para><em>Why never two owners.</em> Epoch e + 1 of a slot comes into being only by an Accept at the target that the Begin of
/// the owner under e names. While that move is open or frozen the slot is in no other (Begin); it is cancelled only before its
/// Freeze, and no Accept is asked for before Freeze is applied, since Freeze alone makes the digest that Accept must show
/// definite; after Freeze it is unfrozen only on an Abort which the target's log holds, and after an Abort there is never an
/// Accept: the outcome is kept until the source says that the move is over there, and then a floor stands for it. So for each
/// epoch there is one Accept at most. Between Freeze and Accept nobody serves; a source's Freeze comes before the target's Accept
/// in time, so at no moment do both.</para>
/// <para><em>Why nothing is lost.</em> Accept has an effect only if the digest of what is staged (records with versions and expiry,
/// sessions with marks and results) is that of the source's state after Freeze, and every chunk of the attempt is there. Nothing changes either side's
/// meanwhile: the source refuses writes to frozen slots before they touch a session, its sessions are copied aside at Freeze,
/// and what falls due is held (<see cref="ExpiryIndex.Held"/>) on both sides. The source's data goes by Purge, which only
/// slots wait for that were released, or staged and aborted.</para>
/// <para><em>Why nothing is doubled.</em> A write takes effect where its slot is served, and its result goes where the slot goes, in the
/// same digest: see <see cref="SessionKeyOf"/> for sessions; idempotency keys are a slot's as its records are.</para>
/// </remarks>
internal sealed class HandoffRules(IRecordStore store, ExpiryIndex expiry, SessionTable sessions, IdempotencyTable keys, Ownership ownership)
{
    /// <summary>Applies a step.</summary>
    /// <param name="step">The step.</param>
    /// <param name="index">The entry that holds it.</param>
    /// <param name="logTimeMs">The log time; an Accept may raise it.</param>
    /// <returns>False if it has no effect.</returns>
    public bool Apply(HandoffStep step, LogIndex index, ref long logTimeMs)
    {
        var done = step switch
        {
            HandoffStep.Begin s => Begin(s, index),
            HandoffStep.Cancel s => Move(s.Move, OutgoingPhase.Open) is { } move && End(move, OutgoingPhase.Cancelled),
            HandoffStep.Freeze s => Move(s.Move, OutgoingPhase.Open) is { } move && Freeze(move, index, logTimeMs),
            HandoffStep.Release s => Move(s.Move, OutgoingPhase.Frozen) is { } move && Release(move),
            HandoffStep.Unfreeze s => Move(s.Move, OutgoingPhase.Frozen) is { } move && End(move, OutgoingPhase.Cancelled),
            HandoffStep.Close s => ownership.OutgoingByBegin.TryGetValue(s.Move, out var move) && move.Phase is OutgoingPhase.Released or OutgoingPhase.Cancelled && ownership.OutgoingByBegin.Remove(s.Move),
            HandoffStep.Open s => Open(s),
            HandoffStep.Stage s => Stage(s),
            HandoffStep.Prepare s => Staged(s.Id, s.Attempt) is { Phase: IncomingPhase.Staging } move && Prepare(move),
            HandoffStep.Accept s => Staged(s.Id, s.Attempt) is { Phase: IncomingPhase.Prepared } move && Accept(move, s, ref logTimeMs),
            HandoffStep.Abort s => Abort(s.Id),
            HandoffStep.Settle s => Settle(s),
            HandoffStep.Purge s => ownership.Purge.Step(s, store, expiry),
            HandoffStep.SetState s => SetState(s.State),
            HandoffStep.SetWeight s => SetWeight(s.Weight),
            HandoffStep.SetMode s => SetMode(s.Mode),
            HandoffStep.SetInSync s => s.IsIn ? ownership.OutOfSync.Remove(s.Node) : ownership.Mode != ShardMode.Raft && ownership.OutOfSync.Add(s.Node),
            _ => throw new InvalidOperationException($"The codec let {step.GetType().Name} through."),
        };
        if (done)
        {
            ownership.Changed();
        }

        if (done && step is not (HandoffStep.Stage or HandoffStep.Purge))
        {
            ownership.Recount();
            expiry.Held = ownership.Held;
        }

        return done;
    }

    /// <summary>
    /// The session that answers for a write to a slot; null if there is none, which is <see cref="ResultCode.SessionExpired"/>.
    /// </summary>
    /// <remarks>
    /// An own session answers unless it was there already when the slot was last frozen here to leave: then its writes to the
    /// slot may have been executed elsewhere since, under the copy that went along, and only the copy that came back with the
    /// slot knows. A session opened later was known nowhere else while the slot was away. A session of another group answers by
    /// the copy that came with the slot; if none did, it was not open at the source when the slot was frozen, or answered for
    /// another lineage there. So of each write (group, session, sequence) to a slot there is one line of tables along the
    /// slot's owners that may execute it, and each hands its results to the next.
    /// </remarks>
    public SessionKey? SessionKeyOf(Once.InSession once, Slot slot)
    {
        var isOwn = once.Origin == default || once.Origin == ownership.Group;
        if (isOwn && !(ownership.DepartureOf(slot) is { } left && once.Session.Index <= left.FrozenAt))
        {
            return SessionKey.Own(once.Session);
        }

        var lineage = ownership.LineageOf(slot);
        return lineage == 0 ? null : new SessionKey(lineage, isOwn ? ownership.Group : once.Origin, once.Session);
    }

    /// <summary>The slots of a move from here, split by which sessions answer for them; in the order of their lowest slots.</summary>
    public static List<SlotSet> LineagesOf(Ownership ownership, SlotSet slots) =>
        [.. slots.Slots().GroupBy(s => (ownership.LineageOf(s), ownership.DepartureOf(s)?.FrozenAt ?? LogIndex.Zero)).Select(SlotSet.Of)];

    private OutgoingMove? Move(LogIndex begin, OutgoingPhase phase) =>
        ownership.OutgoingByBegin.TryGetValue(begin, out var move) && move.Phase == phase ? move : null;

    private IncomingMove? Staged(HandoffId id, Attempt attempt) =>
        ownership.IncomingById.TryGetValue(id, out var move) && move.IsOpen && move.Attempt == attempt ? move : null;

    private bool Begin(HandoffStep.Begin step, LogIndex index)
    {
        if (step.Target == step.Source
            || step.Slots.Count == 0
            || ownership.OutgoingByBegin.Count >= Ownership.MaxMoves
            || (ownership.Group != default && ownership.Group != step.Source)
            || !ownership.Owns(step.Slots)
            || ownership.Leaving.Overlaps(step.Slots.Slots))
        {
            return false;
        }

        ownership.Group = step.Source;
        ownership.OutgoingByBegin.Add(index, new OutgoingMove(index, step.TargetShard, step.Target, step.Slots));
        return true;
    }

    private bool Freeze(OutgoingMove move, LogIndex index, long logTimeMs)
    {
        move.Phase = OutgoingPhase.Frozen;
        move.FrozenAt = index;
        move.FrozenTimeMs = logTimeMs;
        var copies = new List<CopiedSession>();
        var lineages = LineagesOf(ownership, move.Slots.Slots);
        for (var i = 0; i < lineages.Count; i++)
        {
            var first = lineages[i].Lowest;
            copies.AddRange(CopiedSession.Of(sessions, ownership.LineageOf(first), ownership.DepartureOf(first)?.FrozenAt ?? LogIndex.Zero, ownership.Group, lineages[i], i, logTimeMs));
        }

        move.Sessions = copies;
        return true;
    }

    private bool Release(OutgoingMove move)
    {
        var lineages = move.Slots.Slots.Slots().Select(ownership.LineageOf).Where(l => l != 0).Distinct().Order().ToArray();
        ownership.Give(move);
        foreach (var lineage in lineages.Except(ownership.Lineages.Values))
        {
            sessions.RemoveLineage(lineage);
        }

        ownership.Purge.Pending = ownership.Purge.Pending.Union(move.Slots.Slots);
        return End(move, OutgoingPhase.Released);
    }

    private static bool End(OutgoingMove move, OutgoingPhase phase)
    {
        move.Phase = phase;
        move.Slots = SlotEpochs.Empty;
        move.Sessions = [];
        return true;
    }

    private bool Open(HandoffStep.Open step)
    {
        if (ownership.IncomingById.TryGetValue(step.Id, out var move))
        {
            if (!move.IsOpen || step.Attempt <= move.Attempt || !step.Slots.Equals(move.Slots))
            {
                return false;
            }
        }
        else
        {
            if (step.Id.Begin <= ownership.FloorOf(step.Id.Source)
                || ownership.State is not (ShardState.Joining or ShardState.Active)
                || ownership.IncomingById.Count >= Ownership.MaxMoves
                || step.Slots.Count == 0
                || !ownership.MayTake(step.Slots)
                || ownership.Staged.Overlaps(step.Slots.Slots)
                || ownership.Purge.Pending.Overlaps(step.Slots.Slots))
            {
                return false;
            }

            move = new IncomingMove(step.Id, step.SourceShard)
            {
                Phase = IncomingPhase.Staging,
                Slots = step.Slots,
                Lineages = step.Lineages,
                Digests = new UInt128[step.Slots.Count],
                StagedKeys = new List<byte[]>?[step.Slots.Count],
            };
            ownership.IncomingById.Add(step.Id, move);
        }

        move.Attempt = step.Attempt;
        move.Chunks = 0;
        return true;
    }

    private bool Stage(HandoffStep.Stage step)
    {
        if (Staged(step.Id, step.Attempt) is not { } move || step.Number != move.Chunks)
        {
            return false;
        }

        var items = Chunk.Read(step.Items);
        var staging = new Staging(move, store, expiry, keys);
        if (!staging.Fits(items))
        {
            return false;
        }

        staging.Apply(items);
        move.Chunks++;
        return true;
    }

    private bool Prepare(IncomingMove move)
    {
        if (ownership.State is not (ShardState.Joining or ShardState.Active))
        {
            return false;
        }

        move.Phase = IncomingPhase.Prepared;
        return true;
    }

    private bool Accept(IncomingMove move, HandoffStep.Accept step, ref long logTimeMs)
    {
        if (step.Chunks != move.Chunks || step.Digest != ItemDigest.OfMove(move.Slots, move.Digests, move.SessionsDigest(), step.LogTimeMs))
        {
            return false;
        }

        logTimeMs = Math.Max(logTimeMs, step.LogTimeMs);
        var before = ownership.LastLineage;
        ownership.Take(move.Slots, move.Lineages);
        foreach (var copy in move.Sessions)
        {
            var session = sessions.NewSession(new SessionKey(before + 1 + copy.Lineage, copy.Origin, copy.Id), copy.Terms, copy.LastUsedMs);
            session.MoveMark(copy.Mark);
            foreach (var result in copy.Results)
            {
                session.Record(in result);
            }

            sessions.Install(session);
        }

        move.Decide(IncomingPhase.Accepted);
        return true;
    }

    private bool Abort(HandoffId id)
    {
        if (!ownership.IncomingById.TryGetValue(id, out var move))
        {
            if (id.Begin <= ownership.FloorOf(id.Source) || ownership.IncomingById.Count >= Ownership.MaxMoves)
            {
                return false;
            }

            ownership.IncomingById.Add(id, new IncomingMove(id, default) { Phase = IncomingPhase.Aborted });
            return true;
        }

        if (!move.IsOpen)
        {
            return false;
        }

        Drop(move);
        return true;
    }

    private bool Settle(HandoffStep.Settle step)
    {
        if (step.Floor <= ownership.FloorOf(step.Source))
        {
            return false;
        }

        ownership.Floors[step.Source.Value] = step.Floor;
        foreach (var move in ownership.Incoming.Where(m => m.Id.Source == step.Source && m.Id.Begin <= step.Floor).ToArray())
        {
            if (move.IsOpen)
            {
                Drop(move);
            }

            ownership.IncomingById.Remove(move.Id);
        }

        return true;
    }

    private void Drop(IncomingMove move)
    {
        ownership.Purge.Pending = ownership.Purge.Pending.Union(move.Slots.Slots);
        move.Decide(IncomingPhase.Aborted);
    }

    private bool SetState(ShardState state)
    {
        var may = (ownership.State, state) switch
        {
            (ShardState.Joining, ShardState.Active or ShardState.Leaving) => true,
            (ShardState.Active, ShardState.Leaving) => true,
            (ShardState.Leaving, ShardState.Active) => true,
            (ShardState.Joining or ShardState.Leaving, ShardState.Retired) => ownership.Slots.Count == 0 && ownership.IsSettled,
            _ => false,
        };
        ownership.State = may ? state : ownership.State;
        return may;
    }

    private bool SetMode(ShardMode mode)
    {
        var changes = ownership.Mode != mode;
        if (changes && ownership.Mode == ShardMode.Raft)
        {
            // Not when the mode ends: what was proposed in it is still acknowledged by the set.
            ownership.OutOfSync.Clear();
        }

        ownership.Mode = mode;

        return changes;
    }

    private bool SetWeight(int weight)
    {
        var changes = ownership.Weight != weight;
        ownership.Weight = weight;
        return changes;
    }
}
