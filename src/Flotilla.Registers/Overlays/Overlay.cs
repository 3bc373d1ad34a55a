using Flotilla.Data;

namespace Flotilla.Registers.Overlays;

/// <summary>
/// What a replica holds of an epoch above the log's state: of each key the newest item that it was ever given. In memory; the disk holds
/// the same as <see cref="RegisterRecord.Held"/>. It only ever grows newer, so that giving it an item twice, late or in another order changes nothing.
/// </summary>
/// <remarks>
/// Kept in the copy-on-write tree, so that a checkpoint is O(1) and pauses nothing. A value begins with a byte of flags there. Not thread-safe.
/// </remarks>
public sealed class Overlay
{
    private const byte Gone = 1;
    private const byte Expired = 2;

    private readonly BTree _items = new();
    private readonly SortedDictionary<ReadOnlyMemory<byte>, ulong> _unsynced = new(KeyOrder.Instance);
    private readonly Queue<(ulong Number, ReadOnlyMemory<byte> Key)> _syncing = new();
    private byte[] _scratch = [];

    /// <summary>How many keys it holds, tombstones included.</summary>
    public long Count => _items.Count;

    /// <summary>Bytes of their keys and values.</summary>
    public long Bytes => _items.Bytes;

    /// <summary>The highest counter of a version in here: a clock begins above it.</summary>
    public ulong HighestCounter { get; private set; }

    /// <summary>Digests of its slots; null while nobody asked for them.</summary>
    public SlotDigests? Digests { get; private set; }

    /// <summary>The stamp of a key; none if it is not in here.</summary>
    public Stamp StampOf(ReadOnlySpan<byte> key) => _items.TryGet(key, out var record) ? StampOf(in record) : Stamp.None;

    /// <summary>The item of a key, its value copied. False if it is not in here.</summary>
    public bool TryGet(ReadOnlyMemory<byte> key, out Item item)
    {
        var found = _items.TryGet(key.Span, out var record);
        item = found ? ItemOf(key, record.Value.Span, record.Version, record.ExpiresAtMs) : default;
        return found;
    }

    /// <summary>Holds an item, unless it holds one as new or newer: then false, and nothing was changed.</summary>
    /// <param name="item">The item.</param>
    /// <param name="number">The persist that will make it durable; 0 if it is.</param>
    public bool Put(in Item item, ulong number)
    {
        var key = item.Key.Span;
        var before = StampOf(key);
        if (item.Stamp <= before)
        {
            return false;
        }

        var length = item.Value.Length + 1;
        if (_scratch.Length < length)
        {
            _scratch = new byte[Math.Max(256, length)];
        }

        _scratch[0] = (byte)((item.IsGone ? Gone : 0) | (item.Stamp.Expired ? Expired : 0));
        item.Value.Span.CopyTo(_scratch.AsSpan(1));
        _items.Put(key, _scratch.AsSpan(0, length), item.Stamp.Version, item.ExpiresAtMs);
        HighestCounter = Math.Max(HighestCounter, item.Stamp.Version.Counter);
        Digests?.Changed(key, before, item.Stamp);
        if (number != 0)
        {
            _unsynced[item.Key] = number;
            _syncing.Enqueue((number, item.Key));
        }

        return true;
    }

    /// <summary>The persist that makes what is held of a key durable; 0 if it is.</summary>
    public ulong UnsyncedIn(ReadOnlyMemory<byte> key) => _unsynced.GetValueOrDefault(key);

    /// <summary>Every persist up to this one is durable.</summary>
    public void Synced(ulong number)
    {
        while (_syncing.TryPeek(out var first) && first.Number <= number)
        {
            _ = _syncing.Dequeue();
            if (_unsynced.TryGetValue(first.Key, out var newest) && newest <= number)
            {
                _ = _unsynced.Remove(first.Key);
            }
        }
    }

    /// <summary>Begins to keep digests of its slots, in time linear in its keys.</summary>
    public void KeepDigests()
    {
        if (Digests is null)
        {
            var digests = new SlotDigests();
            var visitor = new Filler(digests);
            _items.Visit([], ref visitor);
            Digests = digests;
        }
    }

    /// <summary>Items in the order of keys from the first behind <paramref name="after"/>, or from the first of all.</summary>
    /// <param name="after">A key that need not be in here; empty for none.</param>
    /// <param name="maxItems">So many at most.</param>
    /// <param name="maxBytes">Stops once they cost so much; at least one.</param>
    /// <param name="into">Filled.</param>
    /// <returns>True if there are no more behind them.</returns>
    public bool Read(ReadOnlySpan<byte> after, int maxItems, int maxBytes, List<Item> into)
    {
        var visitor = new Reader(after.ToArray(), maxItems, maxBytes, into);
        _items.Visit(after, ref visitor);
        return !visitor.IsFull;
    }

    /// <summary>Everything in it, as it is now; for a checkpoint, which <see cref="Load"/> reads.</summary>
    public IRecordView Snapshot() => _items.Snapshot();

    /// <summary>Holds what a checkpoint says, all of it durable.</summary>
    public void Load(IRecordView snapshot)
    {
        ArgumentNullException.ThrowIfNull(snapshot);
        var visitor = new Loader(this);
        snapshot.Visit([], ref visitor);
    }

    private static Stamp StampOf(in Record record) => new(record.Version, (record.Value.Span[0] & Expired) != 0);

    private static Item ItemOf(ReadOnlyMemory<byte> key, ReadOnlySpan<byte> value, Data.Version version, long expiresAtMs)
    {
        var flags = value[0];
        return new Item(key, new Stamp(version, (flags & Expired) != 0), (flags & Gone) != 0, value[1..].ToArray(), expiresAtMs);
    }

    private readonly struct Filler(SlotDigests digests) : IRecordVisitor
    {
        public bool Visit(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, Data.Version version, long expiresAtMs)
        {
            digests.Changed(key, Stamp.None, new Stamp(version, (value[0] & Expired) != 0));
            return true;
        }
    }

    private readonly struct Loader(Overlay overlay) : IRecordVisitor
    {
        public bool Visit(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, Data.Version version, long expiresAtMs)
        {
            _ = overlay.Put(ItemOf(key.ToArray(), value, version, expiresAtMs), 0);
            return true;
        }
    }

    private struct Reader(byte[] after, int maxItems, int maxBytes, List<Item> into) : IRecordVisitor
    {
        private int _items;
        private int _bytes;

        public bool IsFull { get; private set; }

        public bool Visit(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, Data.Version version, long expiresAtMs)
        {
            if (after.Length > 0 && key.SequenceEqual(after))
            {
                return true;
            }

            if (_items >= maxItems || _bytes >= maxBytes)
            {
                IsFull = true;
                return false;
            }

            var item = ItemOf(key.ToArray(), value, version, expiresAtMs);
            into.Add(item);
            _items++;
            _bytes += item.Cost;
            return true;
        }
    }
}

/// <summary>Keys in the order in which trees keep them: bytewise, unsigned, a key before its extensions.</summary>
internal sealed class KeyOrder : IComparer<ReadOnlyMemory<byte>>
{
    public static readonly KeyOrder Instance = new();

    public int Compare(ReadOnlyMemory<byte> x, ReadOnlyMemory<byte> y) => x.Span.SequenceCompareTo(y.Span);
}
