namespace Flotilla.Node.Loops;

/// <summary>
/// The inputs that wait for one shard loop: many writers, one reader. A list that is filled under a short lock and swapped
/// for an empty one by the reader, so that a batch costs the reader one lock, whatever its size; the reader is woken only
/// when it sleeps.
/// </summary>
/// <remarks>
/// Calls and peers' messages are bounded apart: an overload of clients that crowded out Raft's messages would unseat the
/// leader, and make of a full inbox an outage.
/// </remarks>
/// <param name="calls">What may wait of clients' calls.</param>
/// <param name="messages">What may wait of peers' messages.</param>
internal sealed class Inbox(InboxBound calls, InboxBound messages)
{
    private readonly object _gate = new();
    private LoopInput[] _filling = new LoopInput[256];
    private LoopInput[] _drained = new LoopInput[256];
    private int _drainedCount;
    private Waiting _calls;
    private Waiting _messages;
    private int _count;
    private bool _sleeping;
    private bool _woken;
    private bool _closed;

    /// <summary>Adds a client's call, unless too many wait already or the loop has ended.</summary>
    public Posted TryPostCall(in LoopInput input, int bytes) => TryPost(input, ref _calls, calls, bytes);

    /// <summary>Adds a peer's message, unless too many wait already or the loop has ended.</summary>
    public Posted TryPostMessage(in LoopInput input, int bytes) => TryPost(input, ref _messages, messages, bytes);

    /// <summary>Adds a report that must not be lost; the things that reports are about are bounded themselves. False if the loop has ended.</summary>
    public bool Post(in LoopInput input)
    {
        lock (_gate)
        {
            if (_closed)
            {
                return false;
            }

            Add(input);
            return true;
        }
    }

    /// <summary>Adds reports under one lock and with one wakeup.</summary>
    public void PostAll(ReadOnlySpan<LoopInput> inputs)
    {
        lock (_gate)
        {
            if (_closed)
            {
                return;
            }

            foreach (ref readonly var input in inputs)
            {
                Add(input);
            }
        }
    }

    /// <summary>Ends a <see cref="Take"/> that waits.</summary>
    public void Wake()
    {
        lock (_gate)
        {
            _woken = true;
            if (_sleeping)
            {
                Monitor.Pulse(_gate);
            }
        }
    }

    /// <summary>
    /// Everything that waits, in order; if nothing does, sleeps until something comes, <paramref name="timeoutMs"/> have passed,
    /// or <see cref="Wake"/>. For the loop's thread; the span is valid until its next call.
    /// </summary>
    public ReadOnlySpan<LoopInput> Take(int timeoutMs)
    {
        Array.Clear(_drained, 0, _drainedCount);
        lock (_gate)
        {
            if (_count == 0 && timeoutMs > 0 && !_woken)
            {
                _sleeping = true;
                Monitor.Wait(_gate, timeoutMs);
                _sleeping = false;
            }

            _woken = false;
            (_filling, _drained) = (_drained, _filling);
            _drainedCount = _count;
            NothingWaits();
        }

        return _drained.AsSpan(0, _drainedCount);
    }

    /// <summary>Refuses everything from now on and returns what still waits.</summary>
    public LoopInput[] Close()
    {
        lock (_gate)
        {
            _closed = true;
            var rest = _filling.AsSpan(0, _count).ToArray();
            NothingWaits();
            return rest;
        }
    }

    private Posted TryPost(in LoopInput input, ref Waiting waiting, InboxBound bound, int bytes)
    {
        lock (_gate)
        {
            if (_closed)
            {
                return Posted.Closed;
            }

            // One input is always taken when nothing of its kind waits, however large.
            if (waiting.Items >= bound.MaxItems || (waiting.Bytes + bytes > bound.MaxBytes && waiting.Items > 0))
            {
                return Posted.Full;
            }

            waiting = new Waiting(waiting.Items + 1, waiting.Bytes + bytes);
            Add(input);
            return Posted.Taken;
        }
    }

    private void NothingWaits()
    {
        _count = 0;
        _calls = default;
        _messages = default;
    }

    private void Add(in LoopInput input)
    {
        if (_count == _filling.Length)
        {
            Array.Resize(ref _filling, _filling.Length * 2);
        }

        _filling[_count++] = input;
        if (_sleeping && _count == 1)
        {
            Monitor.Pulse(_gate);
        }
    }

    private readonly record struct Waiting(int Items, long Bytes);
}

/// <summary>What may wait of one kind of input.</summary>
/// <param name="MaxItems">How many.</param>
/// <param name="MaxBytes">Their bytes; one is always taken when none waits, however large.</param>
internal readonly record struct InboxBound(int MaxItems, long MaxBytes);

/// <summary>What became of an input that may be refused.</summary>
internal enum Posted : byte
{
    /// <summary>It waits for the loop.</summary>
    Taken,

    /// <summary>Too much of its kind waits: it was not added.</summary>
    Full,

    /// <summary>The loop has ended: it was not added, and no later one will be.</summary>
    Closed,
}
