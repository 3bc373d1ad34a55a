namespace Flotilla.Linearizability;

/// <summary>How a search ended.</summary>
internal enum SearchEnd
{
    Linearizable,
    Violation,
    OutOfBudget,
}

/// <summary>
/// The search of Wing and Gong ("Testing and verifying concurrent objects", 1993) with Lowe's memoisation ("Testing for
/// linearizability", 2017) on one key: take any operation that no other unplaced one precedes, and that fits the state;
/// step back when nothing fits; never enter the same (set of placed operations, state) twice. The set is a bitset, and
/// what is remembered of it is a 128-bit hash (one random word per operation, xored), so that remembering costs the same
/// for ten operations as for ten thousand.
///
/// What keeps it fast, and why nothing is lost:
/// <list type="number">
/// <item>An operation that observes, changes nothing and fits is placed at once: later it would fit no better, and whatever must follow it still does.</item>
/// <item>While somebody has yet to observe a value that only one operation wrote, the state cannot change: it would never come back.</item>
/// <item>A write of unknown outcome is placed only if the next operation observes something: otherwise it might as well never have happened.</item>
/// <item>A definite blind write whose value nobody observed is placed just before another blind write, as soon as it may be:
/// there it disturbs nobody. If something observes a value without naming it (a delete that found something, a mismatch, an
/// increment), a dead write may also be placed just before such an operation; that choice is narrowed to one write at a time,
/// so that a violation is then confirmed by a search without this rule.</item>
/// </list>
/// </summary>
internal sealed class KeySearch
{
    private readonly KeyHistory _history;
    private readonly Prepared[] _definite;
    private readonly Prepared[] _unknown;
    private readonly UInt128[] _words;
    private readonly bool[] _placed;
    private readonly int[] _pendingReads;
    private readonly int[] _pendingSwaps;
    private readonly List<int> _trail = [];
    private readonly HashSet<(UInt128 Set, int State)> _seen = [];
    private readonly long _budget;
    private readonly bool _plain;
    private UInt128 _set;
    private int _state = KeyHistory.Absent;
    private int _frontier;
    private int _left;
    private int _deadLeft;
    private bool _mustObserve;

    /// <param name="history">What to search.</param>
    /// <param name="budget">How many states to visit before giving up.</param>
    /// <param name="plain">Without rule 2, so that the deepest partial order reads as people would build it.</param>
    public KeySearch(KeyHistory history, long budget, bool plain = false)
    {
        _plain = plain;
        _history = history;
        _budget = budget;
        _definite = history.Definite;
        _unknown = history.Unknown;
        _words = new UInt128[_definite.Length + _unknown.Length];
        var random = new Random(20260101);
        for (var i = 0; i < _words.Length; i++)
        {
            _words[i] = new UInt128((ulong)random.NextInt64(long.MinValue, long.MaxValue), (ulong)random.NextInt64(long.MinValue, long.MaxValue));
        }

        _placed = new bool[_words.Length];
        _pendingReads = new int[history.States];
        _pendingSwaps = new int[history.States];
        foreach (var op in _definite)
        {
            Count(op, 1);
        }
    }

    /// <summary>States looked at.</summary>
    public long Nodes { get; private set; }

    /// <summary>The longest partial linearization met, in order; indexes below <c>Definite.Length</c> are definite operations.</summary>
    public List<int> Deepest { get; } = [];

    /// <summary>The state after <see cref="Deepest"/>.</summary>
    public int DeepestState { get; private set; }

    private int _deepestLeft = int.MaxValue;

    public SearchEnd Run()
    {
        var frames = new Stack<Frame>();
        var entered = Enter();
        if (entered.Done)
        {
            return SearchEnd.Linearizable;
        }

        frames.Push(entered);
        while (frames.Count > 0)
        {
            var frame = frames.Peek();
            if (frame.NextMove == frame.Moves.Count)
            {
                frames.Pop();
                Undo(frame.Before);
                continue;
            }

            var move = frame.Moves[frame.NextMove++];
            var before = new Mark(_trail.Count, _state, _frontier, _mustObserve);
            Take(move);
            if (!_seen.Add((_set, (_state * 2) + (_mustObserve ? 1 : 0))))
            {
                Undo(before);
                continue;
            }

            if (++Nodes > _budget)
            {
                return SearchEnd.OutOfBudget;
            }

            var child = Enter();
            if (child.Done)
            {
                return SearchEnd.Linearizable;
            }

            child.Before = before;
            frames.Push(child);
        }

        return SearchEnd.Violation;
    }

    /// <summary>Places everything that may be placed without choice, and lists the choices.</summary>
    private Frame Enter()
    {
        var frame = new Frame { Before = new Mark(_trail.Count, _state, _frontier, _mustObserve) };
        var horizon = PlaceObservers();
        if (_left == 0)
        {
            frame.Done = true;
            return frame;
        }

        if (_left < _deepestLeft)
        {
            _deepestLeft = _left;
            Deepest.Clear();
            Deepest.AddRange(_trail);
            DeepestState = _state;
        }

        var alone = !_plain && _history.HasOneWriter(_state);
        if (alone && _pendingReads[_state] > 0)
        {
            return frame;
        }

        // Likewise a value that somebody definitely swapped can only be left by that swap.
        var swapOnly = alone && _pendingSwaps[_state] > 0;

        // A blind write covers up the dead writes before it, so they don't hold it back.
        var blindHorizon = horizon;
        if (_deadLeft > 0)
        {
            blindHorizon = long.MaxValue;
            for (var i = _frontier; i < _definite.Length && _definite[i].Op.StartUs <= blindHorizon; i++)
            {
                if (!_placed[i] && !_definite[i].Dead)
                {
                    blindHorizon = Math.Min(blindHorizon, _definite[i].Op.EndUs);
                }
            }
        }

        for (var i = _frontier; i < _definite.Length && _definite[i].Op.StartUs <= blindHorizon; i++)
        {
            if (!_placed[i] && !_definite[i].Dead && !_definite[i].Pure && (_definite[i].Blind || _definite[i].Op.StartUs <= horizon) && !(_mustObserve && _definite[i].Blind) && (!swapOnly || _definite[i].Expected == _state) && _history.TryApply(_definite[i], _state, out _))
            {
                frame.Moves.Add(i);
            }
        }

        for (var i = 0; !swapOnly && i < _unknown.Length && _unknown[i].Op.StartUs <= blindHorizon; i++)
        {
            // One that changes nothing is of no use, unless it covers up dead writes.
            if (!_placed[_definite.Length + i] && (_unknown[i].Blind || _unknown[i].Op.StartUs <= horizon) && !(_mustObserve && _unknown[i].Blind) && _history.TryApply(_unknown[i], _state, out var next)
                && (next != _state || (_unknown[i].Blind && _deadLeft > 0)) && !TwinWaits(i))
            {
                frame.Moves.Add(_definite.Length + i);
            }
        }

        if (_history.HasWeakObservers && !_mustObserve && !swapOnly)
        {
            OfferDeadWrite(frame, horizon);
        }

        frame.Moves.Sort((a, b) => Of(a).Urgency != Of(b).Urgency ? Of(a).Urgency.CompareTo(Of(b).Urgency) : a.CompareTo(b));
        return frame;
    }

    /// <summary>A dead write may also serve what observes without naming: the one that ends first, lest it be too late for it.</summary>
    private void OfferDeadWrite(Frame frame, long horizon)
    {
        var first = -1;
        for (var i = _frontier; i < _definite.Length && _definite[i].Op.StartUs <= horizon; i++)
        {
            if (!_placed[i] && _definite[i].Dead && (first < 0 || _definite[i].Op.EndUs < _definite[first].Op.EndUs))
            {
                first = i;
            }
        }

        if (first >= 0)
        {
            frame.Moves.Add(first);
        }
    }

    private ref readonly Prepared Of(int index)
    {
        if (index < _definite.Length)
        {
            return ref _definite[index];
        }

        return ref _unknown[index - _definite.Length];
    }

    /// <summary>Of unknown operations that do the same, only the one that began first need be tried.</summary>
    private bool TwinWaits(int index)
    {
        ref readonly var op = ref _unknown[index];
        for (var i = index - 1; i >= 0; i--)
        {
            ref readonly var other = ref _unknown[i];
            if (!_placed[_definite.Length + i] && ((other.Dead && op.Dead) || (other.Op.Kind == op.Op.Kind && other.Value == op.Value && other.Expected == op.Expected && other.Delta == op.Delta)))
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>Rule 1. Returns the horizon: no operation that starts after it may be placed yet.</summary>
    private long PlaceObservers()
    {
        while (true)
        {
            var again = false;
            while (_frontier < _definite.Length && _placed[_frontier])
            {
                _frontier++;
            }

            var horizon = long.MaxValue;
            for (var i = _frontier; i < _definite.Length && _definite[i].Op.StartUs <= horizon; i++)
            {
                if (_placed[i])
                {
                    continue;
                }

                if (_definite[i].Pure && _history.TryApply(_definite[i], _state, out _))
                {
                    Place(i);
                    _mustObserve = false;
                    again = true;
                }
                else
                {
                    horizon = Math.Min(horizon, _definite[i].Op.EndUs);
                }
            }

            if (!again)
            {
                return horizon;
            }
        }
    }

    /// <summary>Places one operation and, before a blind write, every dead one that may be placed (rule 4).</summary>
    private void Take(int index)
    {
        var dead = Of(index).Dead && index < _definite.Length;
        if (Of(index).Blind && !dead)
        {
            PlaceDeadWrites();
        }

        _history.TryApply(Of(index), _state, out _state);
        Place(index);
        _mustObserve = dead || index >= _definite.Length;
    }

    private void PlaceDeadWrites()
    {
        var again = true;
        while (again)
        {
            again = false;
            var horizon = long.MaxValue;
            for (var i = _frontier; i < _definite.Length && _definite[i].Op.StartUs <= horizon; i++)
            {
                if (_placed[i])
                {
                    continue;
                }

                if (_definite[i].Dead)
                {
                    Place(i);
                    again = true;
                }
                else
                {
                    horizon = Math.Min(horizon, _definite[i].Op.EndUs);
                }
            }
        }
    }

    private void Place(int index)
    {
        _placed[index] = true;
        _set ^= _words[index];
        _trail.Add(index);
        if (index < _definite.Length)
        {
            Count(_definite[index], -1);
        }
    }

    private void Count(in Prepared op, int sign)
    {
        if (op.Dead)
        {
            _deadLeft += sign;
            return;
        }

        _left += sign;
        if (op is { Pure: true, Observed: >= 0 })
        {
            _pendingReads[op.Observed] += sign;
        }
        else if (op is { Expected: >= 0, Mismatch: false })
        {
            _pendingSwaps[op.Expected] += sign;
        }
    }

    private void Undo(Mark mark)
    {
        for (var i = _trail.Count - 1; i >= mark.Trail; i--)
        {
            var index = _trail[i];
            _placed[index] = false;
            _set ^= _words[index];
            if (index < _definite.Length)
            {
                Count(_definite[index], 1);
            }
        }

        _trail.RemoveRange(mark.Trail, _trail.Count - mark.Trail);
        (_state, _frontier, _mustObserve) = (mark.State, mark.Frontier, mark.MustObserve);
    }

    private readonly record struct Mark(int Trail, int State, int Frontier, bool MustObserve);

    private sealed class Frame
    {
        public Mark Before { get; set; }

        public List<int> Moves { get; } = [];

        public int NextMove { get; set; }

        public bool Done { get; set; }
    }
}
