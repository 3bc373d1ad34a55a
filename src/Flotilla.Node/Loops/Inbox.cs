namespace Flotilla.Node.Loops;

/// <summary>
/// The inputs that wait for one shard loop: many writers, one reader. A list that is filled under a short lock and swapped
/// for an empty one by the reader, so that a batch costs the reader one lock, whatever its size; the reader is woken only
/// when it sleeps.
/// </summary>
/// <param name="maxItems">Refusable inputs that may wait.</param>
/// <param name="maxBytes">Bytes of refusable inputs that may wait.</param>
internal sealed class Inbox(int maxItems, long maxBytes)
{
    private readonly object _gate = new();
    private LoopInput[] _filling = new LoopInput[256];
    private LoopInput[] _drained = new LoopInput[256];
    private int _drainedCount;
    private int _count;
    private long _bytes;
    private bool _sleeping;
    private bool _woken;
    private bool _closed;

    /// <summary>Adds a client's request or a peer's message. False if too much waits already, or the loop has ended: nothing was added.</summary>
    public bool TryPost(in LoopInput input, int bytes)
    {
        lock (_gate)
        {
            // One input is always taken when nothing waits, however large.
            if (_closed || _count >= maxItems || (_bytes + bytes > maxBytes && _count > 0))
            {
                return false;
            }

            _bytes += bytes;
            Add(input);
            return true;
        }
    }

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
            _count = 0;
            _bytes = 0;
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
            _count = 0;
            _bytes = 0;
            return rest;
        }
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
}
