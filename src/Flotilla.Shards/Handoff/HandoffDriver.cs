using Flotilla.Raft;
using Flotilla.Topology;
using Flotilla.Topology.Descriptors;

namespace Flotilla.Shards.Handoff;

/// <summary>
/// Makes the moves of one shard go on, both those from it and those to it, while one leader leads it: looks at what is applied,
/// listens to the other shards' leaders, and says what to propose and what to send. Sans-I/O and without memory that matters: the
/// leader of the next term begins with another one, and a driver of a leader that was replaced does no harm.
/// </summary>
/// <remarks>
/// <para>Why it gets on. Each move waits for one thing at a time and says again what it waits for; what is lost is said again, what
/// came twice is answered from applied state. A move whose target says nothing, or is not willing, is cancelled while it may be;
/// once frozen it is aborted or accepted as soon as the target's log takes one entry. Moves know nothing of each other, so one that
/// is stuck holds up no other; only the floor of a source waits for its oldest open move to that target.</para>
/// <para>Why it is bounded. A move holds two views (pages that were written since the older one), a window of chunks and one more;
/// a step looks at so many records for each move. The bytes of all moves are bounded by the allowance that the shell gives.</para>
/// <para>Not thread-safe: the shard's loop owns it, and calls it on the thread of the state machine.</para>
/// </remarks>
public sealed class HandoffDriver
{
    private const int PurgedRecordBytes = 128;
    private const int PurgeLookBytes = 2;

    private readonly HandoffOptions _options;
    private readonly ShardId _shard;
    private readonly GroupId _group;
    private readonly Term _term;
    private readonly SortedList<LogIndex, SourceMove> _moves = [];
    private readonly HashSet<GroupId> _gone = [];
    private readonly TargetMoves _target;
    private readonly List<HandoffMessage.Answer> _answers = [];
    private (HandoffStep.Purge Step, Instant At)? _purge;
    private bool _hasNews;

    /// <summary>A driver for the leader of one term.</summary>
    /// <param name="options">Times and sizes.</param>
    /// <param name="shard">The shard.</param>
    /// <param name="group">Its group.</param>
    /// <param name="term">The term in which this replica leads.</param>
    public HandoffDriver(HandoffOptions options, ShardId shard, GroupId group, Term term)
    {
        ArgumentNullException.ThrowIfNull(options);
        _options = options;
        _shard = shard;
        _group = group;
        _term = term;
        _target = new TargetMoves(options, shard);
        NextDeadline = Instant.Never;
    }

    /// <summary>When <see cref="Step"/> has something to do, if nothing is heard or applied and the allowance is not raised before.</summary>
    public Instant NextDeadline { get; private set; }

    /// <summary>The slots that this shard's ring means for it, by its latest view of the cluster: offers of others are put off. Every slot at first.</summary>
    public SlotSet Meant
    {
        get => _target.Meant;
        set => _target.Meant = value;
    }

    /// <summary>
    /// Up to where every member that must hold a write holds this leader's log, in the modes sync and chain; null where a majority will do. Slots that
    /// were accepted are told of once their Accept is held: the source gives its copies up then.
    /// </summary>
    public LogIndex? HeldByAll
    {
        get => _target.HeldByAll;
        set => _target.HeldByAll = value;
    }

    /// <summary>Up to where all must hold the log before the next Accept is told; null if none waits.</summary>
    internal LogIndex? Awaited => _target.Awaited;

    /// <summary>The leader of another shard has said something about a move.</summary>
    public void Receive(HandoffMessage message)
    {
        ArgumentNullException.ThrowIfNull(message);
        _hasNews = true;
        if (message is HandoffMessage.Answer answer)
        {
            if (answer.Id.Source == _group)
            {
                _answers.Add(answer);
            }
        }
        else if (message.Id.Source != _group)
        {
            _target.Hear(message);
        }
    }

    /// <summary>A group is retired for ever: no outcome is owed to it, and moves to it end.</summary>
    public void TargetIsGone(GroupId group) => _gone.Add(group);

    /// <summary>Goes on with everything. To be called when <see cref="NextDeadline"/> has come, after messages, and after entries were applied.</summary>
    /// <param name="machine">What is applied. Nothing happens before an entry of this leader's own term is.</param>
    /// <param name="now">The monotonic clock.</param>
    /// <param name="allowance">How many bytes of chunks may be sent now; the last chunk may go beyond. 0 or below: only what is not to wait, since its slots are frozen; nothing is purged.</param>
    /// <param name="output">Added to.</param>
    public void Step(StateMachine machine, Instant now, long allowance, HandoffOutput output)
    {
        ArgumentNullException.ThrowIfNull(machine);
        ArgumentNullException.ThrowIfNull(output);
        if (machine.LastTerm != _term)
        {
            NextDeadline = Instant.Never; // An entry will come: the term's no-op.
            return;
        }

        _hasNews = false;
        Meet(machine, now);
        _target.Step(machine, now, output);
        var next = Instant.Never;
        foreach (var outgoing in machine.Ownership.Outgoing)
        {
            var move = _moves[outgoing.Begin];
            if (_gone.Contains(outgoing.Target))
            {
                EndWithout(outgoing, now, output);
                continue;
            }

            move.Step(outgoing, machine, now, ref allowance, output);
            next = Instant.Min(next, move.NextDeadline);
        }

        Purge(machine, now, allowance, output);
        NextDeadline = Instant.Min(next, _purge?.At.PlusMs(_options.RetryMs) ?? Instant.Never);
    }

    /// <summary>Something was heard since the last step.</summary>
    public bool HasNews => _hasNews;

    /// <summary>The moves from this shard, oldest first.</summary>
    public IReadOnlyList<HandoffProgress> Progress(StateMachine machine, Instant now)
    {
        ArgumentNullException.ThrowIfNull(machine);
        return [.. machine.Ownership.Outgoing.Where(m => _moves.ContainsKey(m.Begin)).Select(m => _moves[m.Begin].Progress(m, now))];
    }

    // Brings the drivers of single moves in line with the moves that there are, and hands out answers.
    private void Meet(StateMachine machine, Instant now)
    {
        for (var i = _moves.Count - 1; i >= 0; i--)
        {
            if (!machine.Ownership.OutgoingByBegin.ContainsKey(_moves.GetKeyAtIndex(i)))
            {
                _moves.RemoveAt(i);
            }
        }

        foreach (var begin in machine.Ownership.OutgoingByBegin.Keys)
        {
            if (!_moves.ContainsKey(begin))
            {
                _moves.Add(begin, new SourceMove(_options, _shard, new HandoffId(_group, begin), _term, now));
            }
        }

        foreach (var answer in _answers)
        {
            if (_moves.TryGetValue(answer.Id.Begin, out var move))
            {
                move.Hear(answer, now);
            }
        }

        _answers.Clear();
    }

    private void EndWithout(OutgoingMove move, Instant now, HandoffOutput output)
    {
        HandoffStep? step = move.Phase switch
        {
            OutgoingPhase.Open => new HandoffStep.Cancel(move.Begin),
            OutgoingPhase.Released or OutgoingPhase.Cancelled => new HandoffStep.Close(move.Begin),
            _ => null, // A shard does not retire while it owes an outcome, so there is none like this.
        };
        if (step is not null && _moves[move.Begin].MayPropose(step, now))
        {
            output.Steps.Add(step);
        }
    }

    // To remove a record costs every replica about as much as to stage a small one: it is paid for likewise, so that clients notice neither.
    private void Purge(StateMachine machine, Instant now, long allowance, HandoffOutput output)
    {
        // What is retired goes as a whole.
        if (machine.Ownership.ToPurge.IsEmpty || machine.Ownership.State == ShardState.Retired)
        {
            _purge = null;
            return;
        }

        var walk = machine.Ownership.Purge;
        var isUnderWay = _purge is { } last && now.MsSince(last.At) < _options.RetryMs
            && last.Step.Walk == (walk.Walking is null ? walk.Walk + 1 : walk.Walk) && last.Step.From.Span.SequenceEqual(walk.Walking is null ? [] : walk.At);
        if (isUnderWay)
        {
            return;
        }

        _purge = null; // Without an allowance nothing is due before there is one.
        if (allowance > 0 && walk.Next(machine.Records, _options.PurgeLooks, out var removes) is { } step)
        {
            _purge = (step, now);
            output.Steps.Add(step);
            output.Spent += (removes * PurgedRecordBytes) + ((long)_options.PurgeLooks * PurgeLookBytes);
        }
    }
}
