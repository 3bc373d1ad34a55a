using Flotilla.Registers.Overlays;

namespace Flotilla.Registers.Async;

/// <summary>
/// What one peer is still to be told. It holds keys, not items: of a key that is written often only the newest travels, and a peer that is away
/// costs a bounded number of keys. A batch is sent until it is answered.
/// </summary>
/// <remarks>
/// What does not fit is dropped and noted: comparing overlays finds it (<see cref="Comparison"/>), and does so at once when the peer answers again.
/// A peer that does not answer is asked with one batch, ever more rarely; the others wait.
/// </remarks>
internal sealed class Outbox(RegisterContext context, Acceptor acceptor, Voter to)
{
    private const int PatientTries = 2;

    private readonly Queue<ReadOnlyMemory<byte>> _queue = new();
    private readonly SortedSet<ReadOnlyMemory<byte>> _queued = new(KeyOrder.Instance);
    private readonly List<Batch> _underWay = [];
    private bool _droppedSome;

    /// <summary>Keys that wait, those under way included.</summary>
    public int Count => _queue.Count + _underWay.Sum(static b => b.Keys.Count);

    public long NextDueUs
    {
        get
        {
            var next = CanSend ? context.Now.NowUs : Clocks.Never;
            foreach (var batch in _underWay)
            {
                next = Math.Min(next, batch.AgainAtUs);
            }

            return next;
        }
    }

    private bool IsSilent => _underWay.Count > 0 && _underWay[0].Tries > PatientTries;

    private bool CanSend => _queue.Count > 0 && _underWay.Count < context.Options.MaxBatches && !IsSilent;

    public void Add(ReadOnlyMemory<byte> key)
    {
        if (_queue.Count >= context.Options.MaxQueuedKeys)
        {
            _droppedSome |= !_queued.Contains(key);
        }
        else if (_queued.Add(key))
        {
            _queue.Enqueue(key);
        }
    }

    /// <summary>The peer has a batch on its disk. True if it answers after something was dropped: then overlays should be compared.</summary>
    public bool Answered(QuestionId question)
    {
        var wasSilent = IsSilent;
        if (_underWay.RemoveAll(batch => batch.Question == question) == 0)
        {
            return false;
        }

        if (wasSilent)
        {
            foreach (var batch in _underWay)
            {
                (batch.Tries, batch.AgainAtUs) = (0, context.Now.NowUs);
            }
        }

        var dropped = _droppedSome;
        _droppedSome = false;
        return dropped;
    }

    public void Tick()
    {
        var isSilent = IsSilent;
        for (var i = 0; i < (isSilent ? 1 : _underWay.Count); i++)
        {
            if (_underWay[i].AgainAtUs <= context.Now.NowUs)
            {
                Send(_underWay[i]);
            }
        }

        for (var i = 1; isSilent && i < _underWay.Count; i++)
        {
            _underWay[i].AgainAtUs = Clocks.Never; // Until the first one is answered.
        }

        while (CanSend)
        {
            var batch = new Batch(context.NextQuestion(), Take());
            _underWay.Add(batch);
            Send(batch);
        }
    }

    private List<ReadOnlyMemory<byte>> Take()
    {
        var keys = new List<ReadOnlyMemory<byte>>();
        for (var bytes = 0; keys.Count < context.Options.MaxItems && bytes < context.Options.MaxBytes && _queue.TryDequeue(out var key);)
        {
            _ = _queued.Remove(key);
            keys.Add(key);
            bytes += acceptor.Overlay.TryGet(key, out var item) ? item.Cost : 0;
        }

        return keys;
    }

    // Each time with what is the newest by then: the answer says that the peer has it, or something newer still.
    private void Send(Batch batch)
    {
        var number = 0UL;
        var items = new List<Item>(batch.Keys.Count);
        foreach (var key in batch.Keys)
        {
            if (acceptor.Overlay.TryGet(key, out var item))
            {
                items.Add(item);
            }

            number = Math.Max(number, acceptor.Overlay.UnsyncedIn(key));
        }

        context.Send(to, new Spread(acceptor.Terms!.Epoch, batch.Question, items), number);
        var waitMs = Math.Min(context.Options.SlowRetryMs, context.Options.RetryMs * Math.Pow(2, batch.Tries++));
        batch.AgainAtUs = context.Now.NowUs + (long)(waitMs * 1000);
    }

    private sealed class Batch(QuestionId question, List<ReadOnlyMemory<byte>> keys)
    {
        public QuestionId Question => question;

        public List<ReadOnlyMemory<byte>> Keys => keys;

        public int Tries { get; set; }

        public long AgainAtUs { get; set; }
    }
}
