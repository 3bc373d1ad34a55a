using System.Numerics;

namespace Flotilla.Shards.ExactlyOnce;

/// <summary>
/// Keys of about the same life, in the order in which they came, which is about the order in which they fall due: a queue.
/// A key leaves at the front. One that is due waits there for those before it, for an eighth of its life at most, since the
/// lives of one lane differ by no more; most often all are the same. Lives are for clients to choose, so there are as many
/// lanes as it takes for all of them, some 490, and not one for each life.
/// </summary>
internal sealed class KeyLane(int number)
{
    /// <summary>Lanes are numbered from 1 to below this.</summary>
    public const int End = (63 - 2) * 8;

    private const int SmallestPage = 8;

    private KeyPage? _head;
    private KeyPage? _tail;

    /// <summary>Which one it is.</summary>
    public int Number { get; } = number;

    /// <summary>True if nothing is in it.</summary>
    public bool IsEmpty => _head is null;

    /// <summary>The first page, or null.</summary>
    public KeyPage? Head => _head;

    /// <summary>The first key's place in the first page.</summary>
    public int First { get; private set; }

    /// <summary>When the first key is due; only if there is one.</summary>
    public long DueMs => _head!.DueOf(First);

    /// <summary>The lane for a life in milliseconds, 1 or more: eight of them from each power of two to the next.</summary>
    public static int For(long lifeMs)
    {
        var power = BitOperations.Log2((ulong)lifeMs);
        return power < 3 ? (int)lifeMs : ((power - 2) * 8) + (int)((lifeMs >> (power - 3)) & 7);
    }

    /// <summary>Adds a key at the end and returns its place; a new page, if one was needed, is put among <paramref name="pages"/>.</summary>
    public int Add(in KeyRecord key, KeyPages pages)
    {
        if (_tail is null || !_tail.TryAdd(in key))
        {
            // Small at first: a lane that is seldom used takes little.
            var page = new KeyPage(_tail is null ? SmallestPage : Math.Min(KeyPage.MaxKeys, _tail.Capacity * 2));
            pages.Add(page);
            _ = page.TryAdd(in key);
            if (_tail is null)
            {
                _head = page;
            }
            else
            {
                _tail.After = page;
            }

            _tail = page;
        }

        return KeyPages.PlaceOf(_tail.Id, _tail.Count - 1);
    }

    /// <summary>Takes the first key away; its page goes with its last one.</summary>
    public void RemoveFirst(KeyPages pages)
    {
        if (++First < _head!.Count)
        {
            return;
        }

        // The last page too, full or not: what is added next begins a page.
        pages.Remove(_head);
        _head = _head.After;
        First = 0;
        if (_head is null)
        {
            _tail = null;
        }
    }
}

/// <summary>The pages of a table by number, so that a key's place is 31 bits. Numbers of pages that are gone are given again.</summary>
internal sealed class KeyPages
{
    private readonly List<KeyPage?> _pages = [];
    private readonly Stack<int> _free = [];

    /// <summary>Takes a page in and numbers it.</summary>
    public void Add(KeyPage page)
    {
        if (_free.TryPop(out var id))
        {
            _pages[id] = page;
        }
        else
        {
            id = _pages.Count;
            _pages.Add(page);
        }

        page.Id = id;
    }

    /// <summary>Lets a page go; a snapshot may still hold it.</summary>
    public void Remove(KeyPage page)
    {
        _pages[page.Id] = null;
        _free.Push(page.Id);
    }

    /// <summary>The page of a place.</summary>
    public KeyPage this[int place] => _pages[place >> KeyPage.Shift]!;

    /// <summary>The place of a key.</summary>
    public static int PlaceOf(int page, int offset) => checked(page << KeyPage.Shift) | offset;

    /// <summary>Where in its page a place is.</summary>
    public static int OffsetOf(int place) => place & (KeyPage.MaxKeys - 1);
}
