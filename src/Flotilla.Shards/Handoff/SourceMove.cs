using Flotilla.Raft;
using Flotilla.Topology;

namespace Flotilla.Shards.Handoff;

/// <summary>
/// Drives one move at its source, for as long as one leader leads. Holds nothing that the next leader would miss: what is decided
/// stands in the two logs, and an attempt of the next leader begins by asking what is staged.
/// </summary>
/// <remarks>
/// The way of a move: offer; compare, if an earlier attempt left something; copy a view; catch up in rounds, each sending what
/// changed during the one before, until one was small; have the target promise; freeze; send the last changes and the sessions;
/// have the target decide; release, or unfreeze if it aborted; tell the target that it is over. A leader that finds the slots
/// frozen goes the same way, with rounds that find nothing. Cancelling ends it anywhere before Freeze.
/// </remarks>
internal sealed class SourceMove
{
    private const double SoonestMs = 5;

    private readonly HandoffOptions _options;
    private readonly ShardId _shard;
    private readonly Term _term;
    private readonly Queue<(uint Number, byte[] Items)> _unacknowledged = [];

    private Attempt _attempt;
    private MoveContent? _content;
    private HandoffMessage.Answer? _answer;
    private IReadOnlyList<UInt128>? _staged; // by the answer to this attempt's offer
    private uint _sent;
    private long _bytesSent;
    private long _recordsSent; // by earlier attempts
    private long _roundBytes;
    private int _rounds;
    private int _decisions;
    private Instant _lastRound;
    private Instant _lastSaid;
    private Instant _lastResent;
    private (HandoffStep Step, Instant At)? _proposed;
    private Instant _lastStep;
    private (HandoffStage Stage, uint Sent, int Unacknowledged, long Looked, int Rounds) _come;
    private Instant _cameAt;
    private Instant? _frozenSince;
    private double _retryMs;
    private bool _isStale;
    private bool _isThrottled;

    public SourceMove(HandoffOptions options, ShardId shard, HandoffId id, Term term, Instant now)
    {
        _options = options;
        _shard = shard;
        _term = term;
        Id = id;
        _retryMs = options.RetryMs;
        _cameAt = now;
        Restart();
    }

    /// <summary>The move.</summary>
    public HandoffId Id { get; }

    /// <summary>How far it is.</summary>
    public HandoffStage Stage { get; private set; }

    /// <summary>The target's leader has said something.</summary>
    public void Hear(HandoffMessage.Answer answer, Instant now)
    {
        _answer = answer;
        _retryMs = _options.RetryMs;
        _isStale |= answer.Attempt > _attempt;
        if (answer.Attempt != _attempt || answer.State is not (TargetState.Staging or TargetState.Prepared))
        {
            return;
        }

        if (answer.Chunks == 0 && _sent == 0)
        {
            _staged ??= answer.Digests;
        }

        while (_unacknowledged.TryPeek(out var first) && first.Number < answer.Chunks)
        {
            _unacknowledged.Dequeue();
            _lastResent = now;
            _lastSaid = _unacknowledged.Count == 0 && Stage == HandoffStage.Deciding ? default : _lastSaid;
        }
    }

    /// <summary>Does what there is to do.</summary>
    public void Step(OutgoingMove move, StateMachine machine, Instant now, ref long allowance, HandoffOutput output)
    {
        _lastStep = now;
        _isThrottled = allowance <= 0 && !MayNotWait(move);
        if (_isStale)
        {
            return; // A later leader of this shard drives the move; this one will hear so from its own log.
        }

        if (move.Phase is OutgoingPhase.Released or OutgoingPhase.Cancelled)
        {
            End(move, machine, now, output);
            return;
        }

        if (move.Phase == OutgoingPhase.Frozen)
        {
            _frozenSince ??= now;
            if (Decided(now, output))
            {
                return;
            }

            if (now.MsSince(_frozenSince.Value) >= _options.FrozenMs)
            {
                Say(move, () => new HandoffMessage.GiveUp(Id, _shard), now, output);
                if (Stage == HandoffStage.Deciding)
                {
                    return;
                }
            }
        }
        else if (_answer?.State is TargetState.Aborted or TargetState.Over || IsStuck(now))
        {
            Propose(new HandoffStep.Cancel(Id.Begin), now, output);
            return;
        }

        // Not to wait for another step where nothing needs to be waited for.
        var looks = _options.LooksPerStep;
        HandoffStage before;
        do
        {
            before = Stage;
            Advance(move, machine, now, output);
            Send(move, now, ref allowance, ref looks, output);
        }
        while (Stage != before);
    }

    /// <summary>When <see cref="Step"/> has something to do, if nothing is heard or applied and the allowance is not raised before.</summary>
    public Instant NextDeadline
    {
        get
        {
            if (_isStale)
            {
                return Instant.Never;
            }

            if (_content is { IsDone: false } && _unacknowledged.Count < _options.Window && !_isThrottled)
            {
                return _lastStep;
            }

            var due = Instant.Min(_lastSaid.PlusMs(_retryMs), _proposed?.At.PlusMs(_options.RetryMs) ?? Instant.Never);
            due = _unacknowledged.Count > 0 ? Instant.Min(due, _lastResent.PlusMs(_retryMs)) : due;
            due = Stage == HandoffStage.CatchingUp && _unacknowledged.Count == 0 ? Instant.Min(due, _lastRound.PlusMs(_options.RoundMs)) : due;
            var soonest = _lastStep.PlusMs(SoonestMs);
            return due < soonest ? soonest : due;
        }
    }

    /// <summary>How far it is, in numbers.</summary>
    public HandoffProgress Progress(OutgoingMove move, Instant now) => new(
        Id, move.TargetShard, move.Slots.Count, Stage, _attempt, _content?.Looked ?? 0, _content?.ToLook ?? 0, _bytesSent, _rounds, _unacknowledged.Count,
        move.Phase == OutgoingPhase.Frozen && _frozenSince is { } since ? now.MsSince(since) : 0, _answer?.State ?? TargetState.Unknown, _recordsSent + (_content?.Sent ?? 0));

    /// <summary>False for a step that was proposed only a moment ago.</summary>
    public bool MayPropose(HandoffStep step, Instant now)
    {
        if (_proposed is { } last && last.Step == step && now.MsSince(last.At) < _options.RetryMs)
        {
            return false;
        }

        _proposed = (step, now);
        return true;
    }

    private void Restart()
    {
        _attempt = new Attempt(_term, _attempt.Number + 1);
        Stage = HandoffStage.Offering;
        DropContent();
        _staged = null;
        _sent = 0;
        _roundBytes = 0;
        _decisions = 0;
        _unacknowledged.Clear();
        _lastSaid = default;
    }

    private void DropContent()
    {
        _recordsSent += _content?.Sent ?? 0;
        _content = null;
    }

    // Whatever is the reason: no answer, a target that is not willing, an attempt that gets nowhere.
    private bool IsStuck(Instant now)
    {
        var come = (Stage, _sent, _unacknowledged.Count, _content?.Looked ?? 0, _rounds);
        if (come != _come || (_isThrottled && _unacknowledged.Count == 0))
        {
            _come = come;
            _cameAt = now;
        }

        return now.MsSince(_cameAt) >= _options.PatienceMs;
    }

    // True if the target has decided about frozen slots.
    private bool Decided(Instant now, HandoffOutput output)
    {
        switch (_answer?.State)
        {
            case TargetState.Accepted:
                Propose(new HandoffStep.Release(Id.Begin), now, output);
                return true;
            case TargetState.Aborted:
                Propose(new HandoffStep.Unfreeze(Id.Begin), now, output);
                return true;
            default:
                return false;
        }
    }

    private void Advance(OutgoingMove move, StateMachine machine, Instant now, HandoffOutput output)
    {
        var isFrozen = move.Phase == OutgoingPhase.Frozen;
        switch (Stage)
        {
            case HandoffStage.Offering when _staged is null:
                Say(move, () => new HandoffMessage.Offer(Id, _shard, _attempt, move.Slots, HandoffRules.LineagesOf(machine.Ownership, move.Slots.Slots)), now, output);
                break;
            case HandoffStage.Offering:
                Begin(move, machine);
                break;
            case HandoffStage.Comparing when _content!.IsDone:
                _content.SendDiffering(_staged!, machine.KeyImage());
                Stage = HandoffStage.Copying;
                break;
            case HandoffStage.Copying when _content!.IsDone:
                Stage = HandoffStage.CatchingUp;
                _roundBytes = long.MaxValue; // The copy was no small round.
                break;
            case HandoffStage.CatchingUp when _content!.IsDone && isFrozen:
                Finish(move, machine);
                break;
            case HandoffStage.CatchingUp when _content!.IsDone && _unacknowledged.Count == 0:
                CatchUp(machine, now);
                break;
            case HandoffStage.Preparing when isFrozen:
                Finish(move, machine);
                break;
            case HandoffStage.Preparing when _answer is { State: TargetState.Prepared } answer && answer.Attempt == _attempt:
                Stage = HandoffStage.Freezing;
                Propose(new HandoffStep.Freeze(Id.Begin), now, output);
                break;
            case HandoffStage.Preparing:
                Say(move, () => new HandoffMessage.Ready(Id, _shard, _attempt), now, output);
                break;
            case HandoffStage.Freezing when isFrozen:
                Finish(move, machine);
                break;
            case HandoffStage.Freezing:
                Propose(new HandoffStep.Freeze(Id.Begin), now, output);
                break;
            case HandoffStage.Finishing when _content!.IsDone:
                // Not to wait for the last chunks to be acknowledged: they come before this, and it has no effect if they did not.
                Stage = HandoffStage.Deciding;
                _lastSaid = default;
                AskToDecide(move, now, output);
                break;
            case HandoffStage.Deciding when isFrozen:
                AskToDecide(move, now, output);
                break;
        }
    }

    private void Begin(OutgoingMove move, StateMachine machine)
    {
        _content = new MoveContent(move.Slots);
        if (_staged!.Count == move.Slots.Count && _staged.Any(d => d != 0))
        {
            _content.Compare(machine.RecordSnapshot());
            Stage = HandoffStage.Comparing;
        }
        else
        {
            _content.SendAll(machine.RecordSnapshot(), machine.KeyImage());
            Stage = HandoffStage.Copying;
        }
    }

    private void CatchUp(StateMachine machine, Instant now)
    {
        if (_roundBytes <= (long)_options.SmallRestBytes << Math.Min(_rounds / 8, 20))
        {
            Stage = HandoffStage.Preparing;
            _lastSaid = default;
        }
        else if (_rounds == 0 || now.MsSince(_lastRound) >= _options.RoundMs)
        {
            _rounds++;
            _roundBytes = 0;
            _lastRound = now;
            _content!.SendChanges(machine.RecordSnapshot(), machine.KeyImage());
        }
    }

    private void Finish(OutgoingMove move, StateMachine machine)
    {
        _content!.SendChanges(machine.RecordSnapshot(), machine.KeyImage());
        _content.SendSessions(move.Sessions);
        Stage = HandoffStage.Finishing;
    }

    private void AskToDecide(OutgoingMove move, Instant now, HandoffOutput output)
    {
        if (_answer is { State: TargetState.Staging } answer && answer.Attempt == _attempt)
        {
            Say(move, () => new HandoffMessage.Ready(Id, _shard, _attempt), now, output);
        }
        else if (Say(move, () => new HandoffMessage.Decide(Id, _shard, _attempt, _sent, _content!.Digest(move.FrozenTimeMs), move.FrozenTimeMs), now, output) && ++_decisions > 4 && _answer?.State == TargetState.Prepared)
        {
            Restart(); // It answers and does not accept: perhaps what it has staged is not what was meant.
        }
    }

    private void Send(OutgoingMove move, Instant now, ref long allowance, ref int looks, HandoffOutput output)
    {
        if (_unacknowledged.Count > 0 && now.MsSince(_lastResent) >= _retryMs)
        {
            _lastResent = now;
            _retryMs = Math.Min(_retryMs * 2, _options.SlowRetryMs);
            foreach (var (number, items) in _unacknowledged)
            {
                Emit(move, number, items, ref allowance, output);
            }
        }

        var mayNotWait = MayNotWait(move);
        while (_content is not null && looks > 0 && (allowance > 0 || mayNotWait) && _unacknowledged.Count < _options.Window && !_content.IsDone)
        {
            if (_content.Next(_options.ChunkBytes, ref looks) is not { } items)
            {
                continue;
            }

            _lastResent = _unacknowledged.Count == 0 ? now : _lastResent;
            _unacknowledged.Enqueue((_sent, items));
            Emit(move, _sent++, items, ref allowance, output);
            _bytesSent += items.Length;
            _roundBytes += _roundBytes == long.MaxValue ? 0 : items.Length;
        }
    }

    // What is written meanwhile must not outrun what may be sent of it, or the rounds would never get small; and frozen slots serve nobody.
    private bool MayNotWait(OutgoingMove move) => move.Phase == OutgoingPhase.Frozen || Stage == HandoffStage.CatchingUp;

    private void Emit(OutgoingMove move, uint number, byte[] items, ref long allowance, HandoffOutput output)
    {
        output.Messages.Add((move.TargetShard, move.Target, new HandoffMessage.Data(Id, _shard, _attempt, number, items)));
        output.Spent += items.Length;
        allowance -= items.Length;
    }

    private void End(OutgoingMove move, StateMachine machine, Instant now, HandoffOutput output)
    {
        _lastSaid = Stage == HandoffStage.Ending ? _lastSaid : default;
        Stage = HandoffStage.Ending;
        DropContent();
        _unacknowledged.Clear();
        if (_answer?.State == TargetState.Over)
        {
            Propose(new HandoffStep.Close(Id.Begin), now, output);
            return;
        }

        var floor = machine.LastApplied;
        foreach (var other in machine.Ownership.Outgoing)
        {
            if (other.Target == move.Target && other.Begin <= floor && other.Phase is OutgoingPhase.Open or OutgoingPhase.Frozen)
            {
                floor = other.Begin.Previous;
            }
        }

        if (floor >= Id.Begin)
        {
            Say(move, () => new HandoffMessage.Over(Id, _shard, floor), now, output);
        }
    }

    // True if it was said, and not only a moment ago.
    private bool Say(OutgoingMove move, Func<HandoffMessage> message, Instant now, HandoffOutput output)
    {
        if (_lastSaid != default && now.MsSince(_lastSaid) < _retryMs)
        {
            return false;
        }

        _retryMs = _lastSaid == default ? _options.RetryMs : Math.Min(_retryMs * 2, _options.SlowRetryMs);
        _lastSaid = now;
        output.Messages.Add((move.TargetShard, move.Target, message())); // Only now: some take a while to make.
        return true;
    }

    private void Propose(HandoffStep step, Instant now, HandoffOutput output)
    {
        if (MayPropose(step, now))
        {
            output.Steps.Add(step);
        }
    }
}
