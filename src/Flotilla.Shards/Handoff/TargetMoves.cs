using Flotilla.Raft;
using Flotilla.Topology;
using Flotilla.Topology.Descriptors;

namespace Flotilla.Shards.Handoff;

/// <summary>
/// Answers the sources of moves to this shard, for as long as one leader leads: what they ask for goes into the log if it could
/// have an effect, and what was applied is told to them. Answers come from applied state alone, so none of them is ever taken back.
/// </summary>
internal sealed class TargetMoves(HandoffOptions options, ShardId shard)
{
    private readonly Queue<HandoffMessage> _inbox = [];
    private readonly SortedDictionary<HandoffId, Asker> _askers = [];

    /// <summary>The slots that this shard's ring means for it. Others are not taken in; every slot, if nothing is said.</summary>
    public SlotSet Meant { get; set; } = SlotSet.All;

    /// <summary>See <see cref="HandoffDriver.HeldByAll"/>.</summary>
    public LogIndex? HeldByAll { get; set; }

    /// <summary>The least entry that all must hold before the next Accept is told; null if none waits.</summary>
    public LogIndex? Awaited { get; private set; }

    /// <summary>A source has said something.</summary>
    public void Hear(HandoffMessage message) => _inbox.Enqueue(message);

    /// <summary>Deals with what was heard, and tells what has changed.</summary>
    public void Step(StateMachine machine, Instant now, HandoffOutput output)
    {
        while (_inbox.TryDequeue(out var message))
        {
            if (!_askers.TryGetValue(message.Id, out var asker))
            {
                asker = new Asker();
                _askers.Add(message.Id, asker);
            }

            asker.Shard = message.From;
            asker.Owes |= !Takes(message, asker, machine.Ownership, now, output);
        }

        Awaited = null;
        foreach (var (id, asker) in _askers.ToArray())
        {
            var (state, attempt, chunks) = StateOf(id, machine.Ownership);
            if (state == TargetState.Accepted && !MayTell(asker, machine.LastApplied))
            {
                asker.Owes = true;
                continue;
            }

            if (state != asker.Told.State || attempt != asker.Told.Attempt || chunks != asker.Told.Chunks || asker.Owes)
            {
                state = asker.Refusal is { } refusal && state == TargetState.Unknown ? refusal : state;
                asker.Told = (state, attempt, chunks);
                asker.Owes = false;
                asker.Refusal = null;
                IReadOnlyList<UInt128>? digests = chunks == 0 && machine.Ownership.IncomingById.TryGetValue(id, out var move) && move.IsOpen ? [.. move.Digests] : null;
                output.Messages.Add((asker.Shard, id.Source, new HandoffMessage.Answer(id, shard, state, attempt, chunks, digests)));
            }

            if (state is TargetState.Over or TargetState.NotMeant or TargetState.Busy || (state == TargetState.Unknown && asker.Proposed is null))
            {
                _askers.Remove(id);
            }
        }
    }

    // The source purges its copies once it is told, so all that must hold a write must hold these. Where the Accept stands in the log is not kept: it is at or
    // below what is applied when this leader first meets it, and the log below an entry that is held is held too.
    private bool MayTell(Asker asker, LogIndex applied)
    {
        asker.AcceptedBy ??= applied;
        if (HeldByAll is null || HeldByAll >= asker.AcceptedBy)
        {
            return true;
        }

        Awaited = Awaited is { } least ? LogIndex.Min(least, asker.AcceptedBy.Value) : asker.AcceptedBy;
        return false;
    }

    // False if the message leads to no entry: then it is answered at once.
    private bool Takes(HandoffMessage message, Asker asker, Ownership ownership, Instant now, HandoffOutput output)
    {
        ownership.IncomingById.TryGetValue(message.Id, out var move);
        var isFresh = message.Id.Begin > ownership.FloorOf(message.Id.Source);
        switch (message)
        {
            case HandoffMessage.Offer m when move is null && isFresh:
                asker.Refusal = m.Slots.Slots.IsSubsetOf(Meant) ? MayOpen(m, ownership) ? null : TargetState.Busy : TargetState.NotMeant;
                return asker.Refusal is null && Propose(new HandoffStep.Open(m.Id, m.Attempt, m.From, m.Slots, m.Lineages), (0, m.Attempt), asker, now, output);
            case HandoffMessage.Offer m when move is { IsOpen: true } && m.Attempt > move.Attempt:
                return Propose(new HandoffStep.Open(m.Id, m.Attempt, m.From, m.Slots, m.Lineages), (0, m.Attempt), asker, now, output);
            case HandoffMessage.Data m when move is { IsOpen: true } && m.Attempt == move.Attempt && m.Number >= move.Chunks:
                return Stage(m, move, asker, now, output);
            case HandoffMessage.Ready m when move is { Phase: IncomingPhase.Staging } && m.Attempt == move.Attempt && ownership.State is ShardState.Joining or ShardState.Active:
                return Propose(new HandoffStep.Prepare(m.Id, m.Attempt), (1, m.Attempt), asker, now, output);
            case HandoffMessage.Decide m when move is { Phase: IncomingPhase.Prepared } && m.Attempt == move.Attempt && (m.Chunks == move.Chunks || (m.Attempt == asker.StagedOf && m.Chunks == asker.NextChunk)):
                return Propose(new HandoffStep.Accept(m.Id, m.Attempt, m.Chunks, m.Digest, m.LogTimeMs), (2, m.Attempt), asker, now, output);
            case HandoffMessage.GiveUp m when move is { IsOpen: true } || (move is null && isFresh):
                return Propose(new HandoffStep.Abort(m.Id), (3, default), asker, now, output);
            case HandoffMessage.Over m when isFresh:
                return Propose(new HandoffStep.Settle(m.Id.Source, m.Floor), (4, default), asker, now, output);
            default:
                return false;
        }
    }

    private static bool MayOpen(HandoffMessage.Offer offer, Ownership ownership) =>
        ownership.State is ShardState.Joining or ShardState.Active
        && ownership.IncomingById.Count < Ownership.MaxMoves
        && ownership.MayTake(offer.Slots)
        && !ownership.Staged.Overlaps(offer.Slots.Slots)
        && !ownership.ToPurge.Overlaps(offer.Slots.Slots);

    // Chunks go into the log in their order, several at a time; the next one only if it is read without fault.
    private bool Stage(HandoffMessage.Data data, IncomingMove move, Asker asker, Instant now, HandoffOutput output)
    {
        if (asker.StagedOf != data.Attempt || asker.NextChunk < move.Chunks || now.MsSince(asker.StagedAt) >= options.RetryMs)
        {
            asker.StagedOf = data.Attempt;
            asker.NextChunk = move.Chunks; // What was proposed before is applied or, after so long, taken for lost.
        }

        if (data.Number != asker.NextChunk || !IsSound(data.Items))
        {
            return true; // It is under way, or comes too soon: the source sends it again.
        }

        asker.StagedAt = now;
        asker.NextChunk++;
        output.Steps.Add(new HandoffStep.Stage(data.Id, data.Attempt, data.Number, data.Items));
        return true;
    }

    private bool Propose(HandoffStep step, (int Kind, Attempt Attempt) what, Asker asker, Instant now, HandoffOutput output)
    {
        if (asker.Proposed is not { } last || last.What != what || now.MsSince(last.At) >= options.RetryMs)
        {
            asker.Proposed = (what, now);
            output.Steps.Add(step);
        }

        return true;
    }

    private static bool IsSound(ReadOnlyMemory<byte> items)
    {
        try
        {
            return Chunk.Read(items) is not null;
        }
        catch (MalformedPayloadException)
        {
            return false; // Never into the log, where it would stop every replica.
        }
    }

    private static (TargetState State, Attempt Attempt, uint Chunks) StateOf(HandoffId id, Ownership ownership)
    {
        if (!ownership.IncomingById.TryGetValue(id, out var move))
        {
            return (id.Begin <= ownership.FloorOf(id.Source) ? TargetState.Over : TargetState.Unknown, default, 0);
        }

        var state = move.Phase switch
        {
            IncomingPhase.Staging => TargetState.Staging,
            IncomingPhase.Prepared => TargetState.Prepared,
            IncomingPhase.Accepted => TargetState.Accepted,
            _ => TargetState.Aborted,
        };
        return (state, move.Attempt, move.Chunks);
    }

    // Who asks about a move, what was told last, and what is on its way into the log.
    private sealed class Asker
    {
        public ShardId Shard { get; set; }

        public bool Owes { get; set; }

        public TargetState? Refusal { get; set; }

        public (TargetState State, Attempt Attempt, uint Chunks) Told { get; set; }

        public ((int Kind, Attempt Attempt) What, Instant At)? Proposed { get; set; }

        /// <summary>What was applied when its Accept was first met here.</summary>
        public LogIndex? AcceptedBy { get; set; }

        public Attempt StagedOf { get; set; }

        public uint NextChunk { get; set; }

        public Instant StagedAt { get; set; }
    }
}
