using Flotilla.Raft;
using Flotilla.Topology;

namespace Flotilla.Shards.Handoff;

/// <summary>
/// A replica's place for a <see cref="HandoffDriver"/>: there is one while it leads, made anew for each term, and it is stepped only
/// when something may have changed for it. What a replica that does not lead hears about moves is dropped: it is said again.
/// </summary>
internal sealed class HandoffSeat(HandoffOptions options, ShardId shard, GroupId group)
{
    private readonly HandoffOutput _output = new();
    private readonly List<HandoffStep> _asked = [];
    private HandoffDriver? _driver;
    private Term _term;
    private SlotSet _meant = SlotSet.All;
    private LogIndex _seen;
    private bool _isStirred;
    private bool _isOpen;

    /// <summary>What does not wait for the allowance is taken off it, but not so much that everything else would wait for long.</summary>
    private const long MostDebt = 256 << 10;

    /// <summary>Bytes of chunks that may be sent; what was sent, and what was purged instead, is taken off.</summary>
    public long Allowance { get; private set; }

    /// <summary>When <see cref="Step"/> has something to do, if nothing is heard or applied before.</summary>
    public Instant NextDeadline => _driver is null || !_isOpen ? Instant.Never : _asked.Count > 0 ? default : _driver.NextDeadline;

    /// <summary>See <see cref="HandoffDriver.Meant"/>.</summary>
    public SlotSet Meant
    {
        get => _meant;
        set
        {
            _meant = value;
            if (_driver is not null)
            {
                _driver.Meant = value;
            }
        }
    }

    /// <summary>More bytes may be sent; what is not used is kept up to <paramref name="most"/>, or for one time.</summary>
    public void Allow(long bytes, long most)
    {
        _isStirred |= Allowance <= 0 && _driver is not null;
        Allowance = Math.Min(Allowance + bytes, Math.Max(bytes, most));
    }

    /// <summary>Proposes a step at the next <see cref="Step"/>. False if this replica does not lead.</summary>
    public bool Ask(HandoffStep step)
    {
        if (_driver is not null)
        {
            _asked.Add(step);
        }

        return _driver is not null;
    }

    /// <summary>A message about a move.</summary>
    public void Receive(HandoffMessage message) => _driver?.Receive(message);

    /// <summary>See <see cref="HandoffDriver.TargetIsGone"/>.</summary>
    public void TargetIsGone(GroupId target)
    {
        _driver?.TargetIsGone(target);
        _isStirred = _driver is not null;
    }

    /// <summary>See <see cref="HandoffDriver.Progress"/>; empty if this replica does not lead.</summary>
    public IReadOnlyList<HandoffProgress> Progress(StateMachine machine, Instant now) => _driver?.Progress(machine, now) ?? [];

    /// <summary>
    /// Goes on, if this replica leads in <paramref name="term"/>; what is to be sent goes to <paramref name="messages"/>, what is to be
    /// proposed is returned. There is one driver for a term, also if the log takes nothing for a while: its attempts are numbered.
    /// </summary>
    /// <param name="machine">What is applied.</param>
    /// <param name="term">The term in which this replica leads; null if it does not.</param>
    /// <param name="isOpen">The log takes proposals.</param>
    /// <param name="heldByAll">See <see cref="HandoffDriver.HeldByAll"/>.</param>
    /// <param name="now">The monotonic clock.</param>
    /// <param name="messages">Added to.</param>
    public IReadOnlyList<HandoffStep> Step(StateMachine machine, Term? term, bool isOpen, LogIndex? heldByAll, Instant now, List<(ShardId Shard, GroupId Group, HandoffMessage Message)> messages)
    {
        _output.Clear();
        _isOpen = isOpen;
        if (term is null)
        {
            _driver = null;
            _asked.Clear();
            return [];
        }

        if (_driver is null || _term != term)
        {
            _driver = new HandoffDriver(options, shard, group, term.Value) { Meant = _meant };
            _term = term.Value;
            _isStirred = true;
        }

        if (!isOpen)
        {
            return [];
        }

        _output.Steps.AddRange(_asked);
        _asked.Clear();
        var hasWork = machine.Ownership.HasMoves && machine.LastApplied != _seen;
        _driver.HeldByAll = heldByAll;
        var isHeld = _driver.Awaited is { } awaited && (heldByAll is null || heldByAll >= awaited);
        if (_isStirred || hasWork || isHeld || _driver.HasNews || _driver.NextDeadline <= now)
        {
            _isStirred = machine.LastTerm != term; // Not before an entry of its own term is applied.
            _seen = machine.LastApplied;
            _driver.Step(machine, now, Allowance, _output);
            Allowance = Math.Max(Allowance - _output.Spent, -MostDebt);
            messages.AddRange(_output.Messages);
        }

        return _output.Steps;
    }
}
