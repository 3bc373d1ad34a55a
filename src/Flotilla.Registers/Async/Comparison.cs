using Flotilla.Registers.Overlays;
using Flotilla.Topology;

namespace Flotilla.Registers.Async;

/// <summary>
/// Anti-entropy: two replicas find out where their overlays differ, and mend both. One comparison at a time, with each peer in turn:
/// digests of groups of slots, then of the slots of groups that differ, then keys and stamps of slots that differ, a page at a time.
/// </summary>
/// <remarks>
/// What the peer has newer comes with its answer to a page; what this side has newer goes by the peer's <see cref="Outbox"/>, which sends it until it has it.
/// A comparison that gets no answers is given up, and begun again when the peer's turn comes.
/// </remarks>
internal sealed class Comparison
{
    private const int MaxTries = 6;

    private readonly RegisterContext _context;
    private readonly Acceptor _acceptor;
    private readonly SortedDictionary<Voter, Outbox> _outboxes;
    private readonly Func<Item, ulong> _take;
    private readonly Voter[] _peers;
    private readonly Queue<ushort> _slots = new();
    private int _turn;
    private long _nextAtUs;
    private (Voter With, QuestionId Question, int Tries, long AgainAtUs)? _underWay;
    private bool _pages;
    private bool _more;
    private ReadOnlyMemory<byte> _after;

    public Comparison(RegisterContext context, Acceptor acceptor, SortedDictionary<Voter, Outbox> outboxes, Func<Item, ulong> take)
    {
        (_context, _acceptor, _outboxes, _take) = (context, acceptor, outboxes, take);
        _peers = [.. outboxes.Keys];
        _nextAtUs = context.Now.NowUs + (long)(context.Options.CompareMs * 1000);
    }

    public long NextDueUs => _peers.Length == 0 ? Clocks.Never : _underWay?.AgainAtUs ?? _nextAtUs;

    private SlotDigests Digests => _acceptor.Overlay.Digests!;

    private RegisterEpoch Epoch => _acceptor.Terms!.Epoch;

    /// <summary>This peer next, and at once.</summary>
    public void Hurry(Voter peer)
    {
        if (_underWay is null)
        {
            (_turn, _nextAtUs) = (Array.IndexOf(_peers, peer), _context.Now.NowUs);
        }
    }

    public void Tick()
    {
        if (_peers.Length == 0)
        {
            return;
        }

        if (_underWay is { } underWay)
        {
            if (underWay.AgainAtUs <= _context.Now.NowUs)
            {
                if (underWay.Tries >= MaxTries)
                {
                    Finish(goOn: false);
                }
                else
                {
                    Send(underWay.With, underWay.Question, underWay.Tries + 1);
                }
            }
        }
        else if (_nextAtUs <= _context.Now.NowUs)
        {
            (_pages, _more) = (false, false);
            _slots.Clear();
            Send(_peers[_turn], _context.NextQuestion(), tries: 0);
        }
    }

    public void Receive(Voter from, RegisterMessage message)
    {
        switch (message)
        {
            case Compare compare:
                Answer(from, compare);
                break;
            case Page page:
                Answer(from, page);
                break;
            case CompareReply reply when IsAwaited(from, reply.Question):
                FindSlots(reply);
                GoOn(from);
                break;
            case PageReply reply when IsAwaited(from, reply.Question):
                Mend(from, reply);
                GoOn(from);
                break;
            default:
                break;
        }
    }

    private bool IsAwaited(Voter from, QuestionId question) => _underWay is { } underWay && underWay.With == from && underWay.Question == question;

    private void Send(Voter to, QuestionId question, int tries)
    {
        _context.Send(to, _pages ? PageOf(question) : new Compare(Epoch, question, Digests.Groups()));
        var waitMs = Math.Min(_context.Options.SlowRetryMs, _context.Options.RetryMs * Math.Pow(2, tries));
        _underWay = (to, question, tries, _context.Now.NowUs + (long)(waitMs * 1000));
    }

    private void GoOn(Voter with)
    {
        if (_slots.Count == 0)
        {
            Finish(_more);
        }
        else
        {
            _pages = true;
            Send(with, _context.NextQuestion(), tries: 0);
        }
    }

    private void Finish(bool goOn)
    {
        _underWay = null;
        _turn = goOn ? _turn : (_turn + 1) % _peers.Length;
        _nextAtUs = _context.Now.NowUs + (long)((goOn ? _context.Options.RetryMs : _context.Options.CompareMs) * 1000);
    }

    private void FindSlots(CompareReply reply)
    {
        _more = reply.Groups.Count >= _context.Options.MaxGroups;
        _after = default;
        var theirs = new Dictionary<ushort, ulong>();
        foreach (var slot in reply.Slots)
        {
            theirs[slot.Slot] = slot.Digest;
        }

        foreach (var group in reply.Groups.Where(static g => g is >= 0 and < SlotDigests.GroupCount))
        {
            for (var slot = group * SlotDigests.GroupSlots; slot < (group + 1) * SlotDigests.GroupSlots; slot++)
            {
                if (Digests.OfSlot(slot) != theirs.GetValueOrDefault((ushort)slot))
                {
                    _slots.Enqueue((ushort)slot);
                }
            }
        }
    }

    private Page PageOf(QuestionId question)
    {
        var keys = new List<ReadOnlyMemory<byte>>();
        var isLast = Digests.Keys(_slots.Peek(), _after.Span, _context.Options.MaxItems, keys);
        return new Page(Epoch, question, _slots.Peek(), _after, [.. keys.Select(key => new KeyStamp(key, _acceptor.Overlay.StampOf(key.Span)))], isLast);
    }

    private void Mend(Voter from, PageReply reply)
    {
        foreach (var item in reply.Newer)
        {
            _ = _take(item);
        }

        foreach (var key in reply.Wanted)
        {
            _outboxes[from].Add(key);
        }

        _after = reply.IsLast ? default : reply.Through;
        if (reply.IsLast)
        {
            _ = _slots.Dequeue();
        }
    }

    private void Answer(Voter from, Compare compare)
    {
        var groups = new List<int>();
        var slots = new List<SlotDigest>();
        for (var group = 0; group < Math.Min(compare.Groups.Count, SlotDigests.GroupCount) && groups.Count < _context.Options.MaxGroups; group++)
        {
            if (compare.Groups[group] == Digests.OfGroup(group))
            {
                continue;
            }

            groups.Add(group);
            for (var slot = group * SlotDigests.GroupSlots; slot < (group + 1) * SlotDigests.GroupSlots; slot++)
            {
                if (Digests.OfSlot(slot) is var digest and not 0)
                {
                    slots.Add(new SlotDigest((ushort)slot, digest));
                }
            }
        }

        _context.Send(from, new CompareReply(Epoch, compare.Question, groups, slots));
    }

    // Both lists are in order, and both may end before the slot does: what lies behind the nearer end is left to the next page.
    private void Answer(Voter from, Page page)
    {
        if (page.Slot >= Slot.Count)
        {
            return;
        }

        var mine = new List<ReadOnlyMemory<byte>>();
        var all = Digests.Keys(page.Slot, page.After.Span, _context.Options.MaxItems, mine);
        var newer = new List<Item>();
        var wanted = new List<ReadOnlyMemory<byte>>();
        var through = page.After;
        var isLast = all && page.IsLast;
        var number = 0UL;
        for (int i = 0, j = 0, bytes = 0; i < mine.Count || j < page.Keys.Count;)
        {
            var order = i == mine.Count ? 1 : j == page.Keys.Count ? -1 : KeyOrder.Instance.Compare(mine[i], page.Keys[j].Key);
            if ((order > 0 && i == mine.Count && !all) || (order < 0 && j == page.Keys.Count && !page.IsLast) || bytes >= _context.Options.MaxBytes)
            {
                isLast = false;
                break;
            }

            through = order <= 0 ? mine[i] : page.Keys[j].Key;
            var here = order <= 0 ? _acceptor.Overlay.StampOf(through.Span) : Stamp.None;
            var there = order >= 0 ? page.Keys[j].Stamp : Stamp.None;
            if (here > there)
            {
                _ = _acceptor.Overlay.TryGet(through, out var item);
                newer.Add(item);
                bytes += item.Cost;
                number = Math.Max(number, _acceptor.Overlay.UnsyncedIn(through));
            }
            else if (there > here)
            {
                wanted.Add(through);
            }

            i += order <= 0 ? 1 : 0;
            j += order >= 0 ? 1 : 0;
        }

        _context.Send(from, new PageReply(page.Epoch, page.Question, newer, wanted, through, isLast), number);
    }
}
