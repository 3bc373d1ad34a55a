using System.Runtime.InteropServices;

namespace Flotilla.Data.Tree;

/// <summary>
/// Records in one page: a directory of slots in key order at its start, cells in any order at its end, free room between.
/// Slots count from the end of the page, so that they stay as they are when it grows. Long values lie outside, one array
/// each, so that page edits don't move them.
/// </summary>
internal sealed partial class Leaf : Node
{
    private byte[] _page;

    // Values outside the page by slot; null as long as there are none.
    private byte[]?[]? _outside;

    // Bytes taken by cells at the end of the page, and how many of these no slot refers to any more.
    private int _heapBytes;
    private int _deadBytes;

    // What every key here begins with; heads start behind it.
    private SharedPrefix _shared;

    private Leaf(long edit, byte[] page)
        : base(edit) => _page = page;

    /// <summary>How many records there are.</summary>
    public int Count { get; private set; }

    /// <summary>Bytes of live cells and their slots.</summary>
    public int UsedBytes => (Count * Slot.Bytes) + _heapBytes - _deadBytes;

    /// <summary>Length of the page.</summary>
    public int PageBytes => _page.Length;

    private Span<Slot> Slots => MemoryMarshal.Cast<byte, Slot>(_page.AsSpan())[..Count];

    private int FreeBytes => _page.Length - (Count * Slot.Bytes) - _heapBytes;

    /// <summary>A leaf without records.</summary>
    public static Leaf Empty(long edit) => new(edit, []);

    /// <summary>The key of a record.</summary>
    public ReadOnlySpan<byte> Key(int index)
    {
        var slot = Slots[index];
        return _page.AsSpan(_page.Length - slot.Distance, slot.KeyLength);
    }

    /// <summary>How long a record's value is, wherever it lies, and how long its cell.</summary>
    public (int ValueBytes, int CellBytes) Lengths(int index)
    {
        var cell = Read(Slots[index], out _);
        return (cell.IsOutside ? _outside![index]!.Length : cell.ValueLength, cell.Length);
    }

    /// <summary>A record, as slices of the page.</summary>
    public Record Record(int index)
    {
        var slot = Slots[index];
        var cell = Read(slot, out var at);
        var value = cell.IsOutside ? _outside![index].AsMemory() : _page.AsMemory(at + cell.ValueStart, cell.ValueLength);
        return new Record(_page.AsMemory(at, slot.KeyLength), value, cell.Version, cell.ExpiresAtMs);
    }

    /// <summary>Shows records <paramref name="from"/> up to but without <paramref name="to"/>; false if the visitor stopped.</summary>
    public bool Visit<TVisitor>(int from, int to, ref TVisitor visitor)
        where TVisitor : struct, IRecordVisitor
    {
        ReadOnlySpan<byte> page = _page;
        ReadOnlySpan<Slot> slots = Slots;
        for (var i = from; i < to; i++)
        {
            var slot = slots[i];
            var cellAndRest = page[^slot.Distance..];
            var cell = Cell.Read(cellAndRest, slot.KeyLength);
            var value = cell.IsOutside ? _outside![i] : cellAndRest.Slice(cell.ValueStart, cell.ValueLength);
            if (!visitor.Visit(cellAndRest[..slot.KeyLength], value, cell.Version, cell.ExpiresAtMs))
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>Index of the first key that is not below <paramref name="key"/>.</summary>
    public int IndexOf(ReadOnlySpan<byte> key, out bool found)
    {
        found = false;
        var side = SideOf(key);
        if (side != 0)
        {
            return side < 0 ? 0 : Count;
        }

        var slots = Slots;
        var head = Slot.HeadOf(key, _shared.Length);
        var low = 0;
        var high = slots.Length;
        while (low < high)
        {
            var middle = (low + high) >>> 1;
            var slot = slots[middle];
            var other = slot.Head;
            int order;
            if (other != head)
            {
                order = other < head ? -1 : 1;
            }
            else
            {
                order = _page.AsSpan(_page.Length - slot.Distance, slot.KeyLength).SequenceCompareTo(key);
                if (order == 0)
                {
                    found = true;
                    return middle;
                }
            }

            if (order < 0)
            {
                low = middle + 1;
            }
            else
            {
                high = middle;
            }
        }

        return low;
    }

    /// <summary>
    /// Index behind the last key that begins with <paramref name="prefix"/>, of those from <paramref name="from"/> on,
    /// none of which may be below the prefix.
    /// </summary>
    public int EndOfPrefix(ReadOnlySpan<byte> prefix, int from)
    {
        var low = from;
        var high = Count;
        while (low < high)
        {
            var middle = (low + high) >>> 1;
            if (Key(middle).StartsWith(prefix))
            {
                low = middle + 1;
            }
            else
            {
                high = middle;
            }
        }

        return low;
    }

    /// <summary>True if these bytes lie in the page, so that an edit of it could change them.</summary>
    public bool Overlaps(ReadOnlySpan<byte> bytes) => bytes.Overlaps(_page);

    /// <summary>The same records for another edit, in a page with room for <paramref name="moreBytes"/>.</summary>
    public Leaf Copy(long edit, int moreBytes, PagePool pool)
    {
        var copy = new Leaf(edit, [])
        {
            Count = Count,
            _heapBytes = _heapBytes,
            _deadBytes = _deadBytes,
            _shared = _shared,
            _outside = (byte[]?[]?)_outside?.Clone(),
        };
        copy.MoveTo(pool.Take(UsedBytes + moreBytes), this);
        return copy;
    }

    /// <summary>Makes sure that the page has room for so many more bytes, slots included. The owning edit only.</summary>
    public void MakeRoom(int moreBytes, PagePool pool)
    {
        if (FreeBytes < moreBytes)
        {
            Repage(UsedBytes + moreBytes, pool);
        }
    }

    /// <summary>Goes to a smaller page if this one is larger than need be by more than <paramref name="spareBytes"/>. The owning edit only.</summary>
    public void Shrink(PagePool pool, int spareBytes)
    {
        if (_page.Length - pool.Fit(UsedBytes) > spareBytes)
        {
            Repage(UsedBytes, pool);
        }
    }

    /// <summary>Gives the page back. The owning edit only; the leaf is not to be used any more.</summary>
    public void Release(PagePool pool)
    {
        pool.Return(_page);
        _page = [];
        Count = 0;
    }

    /// <summary>Adds a record before slot <paramref name="index"/>. The owning edit only; there must be room.</summary>
    public void Insert(int index, in Cell.Draft draft)
    {
        if (Count == 0)
        {
            _shared = new SharedPrefix(draft.Key, draft.Key.Length);
        }
        else if (SideOf(draft.Key) != 0)
        {
            _shared = new SharedPrefix(draft.Key, draft.Key.CommonPrefixLength(Key(0)));
            RefreshHeads();
        }

        Count++;
        var slots = Slots;
        slots[index..^1].CopyTo(slots[(index + 1)..]);
        _heapBytes += draft.Length;
        slots[index] = Slot.For(draft.Key, _shared.Length, _heapBytes);
        draft.WriteTo(_page.AsSpan(_page.Length - _heapBytes, draft.Length));
        if (draft.IsOutside || _outside is not null)
        {
            InsertOutside(index, draft);
        }
    }

    /// <summary>Writes a record over the one at <paramref name="index"/> with the same key, in a cell that is not longer. The owning edit only.</summary>
    public void Overwrite(int index, in Cell.Draft draft)
    {
        var cell = Read(Slots[index], out var at);
        _deadBytes += cell.Length - draft.Length;
        draft.WriteTo(_page.AsSpan(at, draft.Length));
        if (draft.IsOutside || _outside is not null)
        {
            _outside ??= new byte[]?[Count];
            _outside[index] = draft.IsOutside ? draft.Value.ToArray() : null;
        }
    }

    /// <summary>Takes out a record, whose cell is so long. The owning edit only.</summary>
    public void RemoveAt(int index, int cellBytes)
    {
        _deadBytes += cellBytes;
        var slots = Slots;
        slots[(index + 1)..].CopyTo(slots[index..]);
        if (_outside is not null)
        {
            Array.Copy(_outside, index + 1, _outside, index, Count - index - 1);
            _outside[Count - 1] = null;
        }

        Count--;
        if (Count == 0)
        {
            _heapBytes = 0;
            _deadBytes = 0;
            _shared = default;
            _outside = null;
        }
    }

    /// <summary>A new leaf with some records of up to two neighbours, in a page with room for <paramref name="moreBytes"/>.</summary>
    public static Leaf From(long edit, Leaf first, Range firstRange, Leaf? second, Range secondRange, int moreBytes, PagePool pool)
    {
        var (from1, count1) = firstRange.GetOffsetAndLength(first.Count);
        var (from2, count2) = second is null ? (0, 0) : secondRange.GetOffsetAndLength(second.Count);
        var bytes = first.BytesOf(from1, count1) + (second?.BytesOf(from2, count2) ?? 0);
        var leaf = new Leaf(edit, pool.Take(bytes + moreBytes));
        leaf.AppendFrom(first, from1, count1);
        if (second is not null)
        {
            leaf.AppendFrom(second, from2, count2);
        }

        leaf.RefreshShared();
        return leaf;
    }

    /// <summary>Bytes of one record, its slot included.</summary>
    public int BytesAt(int index) => Read(Slots[index], out _).Length + Slot.Bytes;

    // Where a key stands to all keys that begin with the shared prefix. Key 0 is looked at only for a long prefix.
    private int SideOf(ReadOnlySpan<byte> key)
    {
        var side = _shared.AgainstHead(key);
        return side == 0 && !_shared.IsShort ? _shared.Against(key, Key(0)) : side;
    }

    private Cell Read(Slot slot, out int at)
    {
        at = _page.Length - slot.Distance;
        return Cell.Read(_page.AsSpan(at), slot.KeyLength);
    }

    private int BytesOf(int from, int count)
    {
        if (count == Count)
        {
            return UsedBytes;
        }

        var bytes = 0;
        for (var i = from; i < from + count; i++)
        {
            bytes += BytesAt(i);
        }

        return bytes;
    }

    private void Repage(int bytes, PagePool pool)
    {
        var old = _page;
        MoveTo(pool.Take(bytes), this);
        pool.Return(old);
    }

    // The page that source has now goes over into another one; this may be source itself or its copy in the making.
    private void MoveTo(byte[] page, Leaf source)
    {
        var old = source._page;
        if (_deadBytes == 0)
        {
            old.AsSpan(0, Count * Slot.Bytes).CopyTo(page);
            old.AsSpan(old.Length - _heapBytes).CopyTo(page.AsSpan(page.Length - _heapBytes));
            _page = page;
            return;
        }

        var slots = MemoryMarshal.Cast<byte, Slot>(page.AsSpan());
        var heapBytes = 0;
        for (var i = 0; i < Count; i++)
        {
            var slot = source.Slots[i];
            var length = source.Read(slot, out var at).Length;
            heapBytes += length;
            old.AsSpan(at, length).CopyTo(page.AsSpan(page.Length - heapBytes));
            slots[i] = slot.At(heapBytes);
        }

        _page = page;
        _heapBytes = heapBytes;
        _deadBytes = 0;
    }

    private void AppendFrom(Leaf source, int from, int count)
    {
        for (var i = from; i < from + count; i++)
        {
            var slot = source.Slots[i];
            var length = source.Read(slot, out var at).Length;
            _heapBytes += length;
            source._page.AsSpan(at, length).CopyTo(_page.AsSpan(_page.Length - _heapBytes));
            Count++;
            Slots[^1] = slot.At(_heapBytes);
            var value = source._outside?[i];
            if (value is not null || _outside is not null)
            {
                GrowOutside();
                _outside![Count - 1] = value;
            }
        }
    }

    private void InsertOutside(int index, in Cell.Draft draft)
    {
        GrowOutside();
        Array.Copy(_outside!, index, _outside!, index + 1, Count - 1 - index);
        _outside![index] = draft.IsOutside ? draft.Value.ToArray() : null;
    }

    private void GrowOutside()
    {
        if (_outside is null || _outside.Length < Count)
        {
            Array.Resize(ref _outside, Count + 4);
        }
    }

    private void RefreshShared()
    {
        // Sorted, so what the first and the last key share, all share.
        _shared = Count == 0 ? default : new SharedPrefix(Key(0), Key(0).CommonPrefixLength(Key(Count - 1)));
        RefreshHeads();
    }

    private void RefreshHeads()
    {
        var slots = Slots;
        for (var i = 0; i < slots.Length; i++)
        {
            slots[i] = Slot.For(Key(i), _shared.Length, slots[i].Distance);
        }
    }
}
