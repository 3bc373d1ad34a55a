using Flotilla.Registers.Overlays;

namespace Flotilla.Registers.Merging;

/// <summary>
/// Reads the overlays of a sealed epoch for the leader that ends it, and hands out the newest of each key, in the order of keys, a part at a time.
/// </summary>
/// <remarks>
/// <para>A key is handed out once as many voters as are needed have been read up to it, which may be others for each stretch of keys. What is read is
/// final, since only sealed replicas answer: so for quorum, with a majority needed, every write that was acknowledged or read is in it
/// (<see cref="Acceptor"/>, rule 3), and for async, with all needed, everything that any replica holds.</para>
/// <para>It holds about a page of each voter. One that lags behind those that suffice is asked to go on from where they are. Nothing is lost with it: another leader
/// begins anew, and what it proposes twice has no effect (DESIGN section 5).</para>
/// </remarks>
internal sealed class MergeReader
{
    private readonly RegisterContext _context;
    private readonly EpochTerms _terms;
    private readonly Acceptor _acceptor;
    private readonly Source[] _sources;
    private Position _handedOut;
    private bool _isWaitedFor = true;

    public MergeReader(RegisterContext context, Acceptor acceptor, int needed)
    {
        (_context, _acceptor, _terms) = (context, acceptor, acceptor.Terms!);
        _sources = [.. Enumerable.Range(0, _terms.Voters).Select(i => new Source(new Voter((ushort)i), context.Now.NowUs))];
        Needed = needed;
    }

    public RegisterEpoch Epoch => _terms.Epoch;

    /// <summary>How many voters must have been read of each key.</summary>
    public int Needed { get; set; }

    /// <summary>Voters that have not said anything yet.</summary>
    public IReadOnlyList<Voter> Missing => [.. _sources.Where(static s => !s.HasAnswered).Select(static s => s.Voter)];

    public long NextDueUs => _sources.Min(static s => s.AskAtUs);

    /// <summary>The part that was handed out is in the log.</summary>
    public void GoOn() => _isWaitedFor = true;

    public void Receive(Voter from, MergeReply reply)
    {
        var source = _sources[from.Number];
        if (source.Question == reply.Question && !source.IsDone)
        {
            source.Question = default;
            source.Tries = 0;
            source.HasAnswered = true;
            source.Add(reply.Items);
            source.Through = reply.IsLast ? Position.End : reply.Items.Count > 0 ? new Position(reply.Items[^1].Key) : source.Through;
            source.AskAtUs = source.IsDone ? Clocks.Never : _context.Now.NowUs;
        }
    }

    /// <summary>Asks whoever is to be asked, and hands out what may be.</summary>
    public void Tick()
    {
        HandOut();
        foreach (var source in _sources)
        {
            if (!source.IsDone && source.AskAtUs <= _context.Now.NowUs)
            {
                if (source.IsEmpty)
                {
                    Ask(source);
                }
                else
                {
                    source.AskAtUs = Clocks.Never; // Until what was read of it has been handed out.
                }
            }
        }
    }

    private void Ask(Source source)
    {
        if (source.Question == default)
        {
            source.Question = _context.NextQuestion();
            source.Through = source.Through > _handedOut ? source.Through : _handedOut;
        }

        var query = new MergeQuery(Epoch, source.Question, source.Through.Key);
        var waitMs = Math.Min(_context.Options.SlowRetryMs, _context.Options.RetryMs * Math.Pow(2, source.Tries++));
        source.AskAtUs = _context.Now.NowUs + (long)(waitMs * 1000);
        if (source.Voter != _terms.Self!.Value)
        {
            _context.Send(source.Voter, query);
        }
        else
        {
            _acceptor.Receive(query, (reply, after) => _context.When(after, () => Receive(source.Voter, (MergeReply)reply)));
        }
    }

    private void HandOut()
    {
        var read = _sources.Select(static s => s.Through).OrderDescending().ElementAt(Math.Clamp(Needed, 1, _sources.Length) - 1);
        if (!_isWaitedFor || (read <= _handedOut && !read.IsEnd))
        {
            return;
        }

        var part = new List<Item>();
        var bytes = 0;
        var isCut = false;
        while (Newest(read) is { } item)
        {
            if (part.Count >= _context.Options.MaxItems || (bytes > 0 && bytes + item.Cost > _context.Options.MaxBytes))
            {
                isCut = true;
                break;
            }

            part.Add(item);
            bytes += item.Cost;
            Drop(new Position(item.Key));
        }

        // What is left below was passed over by a voter that was read late: those that suffice had it already, or nobody needs it.
        _handedOut = isCut ? new Position(part[^1].Key) : read;
        Drop(_handedOut);
        if (part.Count > 0 || _handedOut.IsEnd)
        {
            _isWaitedFor = false;
            _context.Emit(new RegisterEffect.Merged(Epoch, part, _handedOut.IsEnd));
        }
    }

    /// <summary>The newest item of the lowest key that was read and is not above <paramref name="through"/>.</summary>
    private Item? Newest(Position through)
    {
        Item? found = null;
        foreach (var source in _sources)
        {
            if (source.IsEmpty || new Position(source.First.Key) > through)
            {
                continue;
            }

            var item = source.First;
            var order = found is { } best ? KeyOrder.Instance.Compare(item.Key, best.Key) : -1;
            if (order < 0 || (order == 0 && item.Stamp > found!.Value.Stamp))
            {
                found = item;
            }
        }

        return found;
    }

    private void Drop(Position through)
    {
        foreach (var source in _sources)
        {
            var hadSome = !source.IsEmpty;
            while (!source.IsEmpty && new Position(source.First.Key) <= through)
            {
                source.RemoveFirst();
            }

            if (hadSome && source.IsEmpty && !source.IsDone && source.Question == default)
            {
                source.AskAtUs = _context.Now.NowUs;
            }
        }
    }

    /// <summary>How far keys have been read: before the first, up to a key, or to the end.</summary>
    private readonly record struct Position(ReadOnlyMemory<byte> Key, bool IsEnd = false) : IComparable<Position>
    {
        public static Position End => new(default, IsEnd: true);

        public int CompareTo(Position other) => IsEnd != other.IsEnd ? IsEnd.CompareTo(other.IsEnd) : KeyOrder.Instance.Compare(Key, other.Key);

        public static bool operator >(Position a, Position b) => a.CompareTo(b) > 0;

        public static bool operator <(Position a, Position b) => a.CompareTo(b) < 0;

        public static bool operator >=(Position a, Position b) => a.CompareTo(b) >= 0;

        public static bool operator <=(Position a, Position b) => a.CompareTo(b) <= 0;
    }

    /// <summary>One voter's overlay, as far as it was read.</summary>
    private sealed class Source(Voter voter, long askAtUs)
    {
        private readonly List<Item> _items = [];
        private int _next;

        public Voter Voter => voter;

        public bool IsEmpty => _next == _items.Count;

        /// <summary>The lowest item that was not handed out.</summary>
        public Item First => _items[_next];

        public Position Through { get; set; }

        public bool IsDone => Through.IsEnd;

        public bool HasAnswered { get; set; }

        public QuestionId Question { get; set; }

        public int Tries { get; set; }

        public long AskAtUs { get; set; } = askAtUs;

        public void RemoveFirst() => _next++;

        /// <summary>More of it was read; nothing is left of what was read before.</summary>
        public void Add(IReadOnlyList<Item> items)
        {
            Invariant.Require(IsEmpty, "a stretch is asked for once the one before it was handed out");
            _items.Clear();
            _next = 0;
            _items.AddRange(items.Where(item => new Position(item.Key) > Through));
        }
    }
}
