namespace Flotilla.Cli.Load;

/// <summary>
/// Records are sent in order and acknowledged in any order; this knows the place before which all are. Thread-safe.
/// </summary>
internal sealed class AckTracker
{
    private readonly Lock _gate = new();
    private readonly Queue<Slot> _underWay = new();
    private (long Offset, long Line, long Records) _done;
    private long _records;

    /// <summary>Starts where an earlier load has stopped.</summary>
    public AckTracker(long offset, long line, long records) => _done = (offset, line, records);

    /// <summary>The place before which everything is acknowledged.</summary>
    public (long Offset, long Line, long Records) Done
    {
        get
        {
            lock (_gate)
            {
                return _done;
            }
        }
    }

    /// <summary>Records acknowledged by this run, wherever they stand.</summary>
    public long Acknowledged => Interlocked.Read(ref _records);

    /// <summary>A line is about to be sent, or was passed over: call <see cref="Complete"/> with what comes back.</summary>
    public Slot Begin(in InputRecord record)
    {
        var slot = new Slot(record.End, record.Line);
        lock (_gate)
        {
            _underWay.Enqueue(slot);
        }

        return slot;
    }

    /// <summary>The line needs no more attention: <paramref name="stored"/>, or passed over.</summary>
    public void Complete(Slot slot, bool stored)
    {
        if (stored)
        {
            Interlocked.Increment(ref _records);
        }

        lock (_gate)
        {
            slot.State = stored ? 2 : 1;
            while (_underWay.TryPeek(out var first) && first.State != 0)
            {
                _ = _underWay.Dequeue();
                _done = (first.Offset, first.Line, _done.Records + (first.State == 2 ? 1 : 0));
            }
        }
    }

    /// <summary>One line under way.</summary>
    internal sealed class Slot(long offset, long line)
    {
        /// <summary>The byte offset behind it.</summary>
        public long Offset { get; } = offset;

        /// <summary>Its number.</summary>
        public long Line { get; } = line;

        /// <summary>0 under way, 1 passed over, 2 stored.</summary>
        public int State { get; set; }
    }
}
