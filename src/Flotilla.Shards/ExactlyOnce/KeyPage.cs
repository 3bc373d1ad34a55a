using Flotilla.Topology;
using Version = Flotilla.Data.Version;

namespace Flotilla.Shards.ExactlyOnce;

/// <summary>
/// Room for some hundred idempotency keys in the order in which they came: 48 bytes each, 4 more to link those of one bucket,
/// and 32 more for the few whose answer does not fit. What was written to a page never changes, so that a snapshot takes a
/// reference to the page and how far it was filled.
/// </summary>
internal sealed class KeyPage(int capacity)
{
    /// <summary>The most keys of a page, as a power of two: 24 KiB, so that pages are no large objects to the collector.</summary>
    public const int Shift = 9;

    /// <summary>The most keys of a page.</summary>
    public const int MaxKeys = 1 << Shift;

    private readonly Packed[] _keys = new Packed[capacity];
    private Wide[] _wide = [];
    private int _wideCount;
    private long _baseMs;

    /// <summary>The page behind it in its lane.</summary>
    public KeyPage? After { get; set; }

    /// <summary>Its number among the pages of the table, while it is one of them.</summary>
    public int Id { get; set; }

    /// <summary>How many keys it holds.</summary>
    public int Count { get; private set; }

    /// <summary>How many it has room for.</summary>
    public int Capacity => _keys.Length;

    /// <summary>For the index: by place, the next key of the same bucket.</summary>
    public int[] Links { get; } = new int[capacity];

    /// <summary>Adds a key behind the others. False if the page is full, or holds times too far from this one.</summary>
    public bool TryAdd(in KeyRecord key)
    {
        if (Count == 0)
        {
            _baseMs = key.DueMs;
        }

        // All times are above 0, so that their difference does not overflow.
        var due = key.DueMs - _baseMs;
        if (Count == _keys.Length || due != (int)due)
        {
            return false;
        }

        var isWide = IsWide(in key);
        _keys[Count] = new Packed
        {
            Name = new Half((ulong)key.Name, (ulong)(key.Name >> 64)),
            Digest = key.Digest,
            Counter = isWide ? (ulong)_wideCount : key.Version.Counter,
            SlotEpoch = key.Version.SlotEpoch,
            Sub = (uint)key.Version.Sub,
            DueMs = (int)due,
            Slot = key.Slot.Value,
            Code = (byte)key.Code,
            Flags = (byte)((isWide ? Packed.IsWide : 0) | (key.Number is null ? 0 : Packed.HasNumber)),
        };
        if (isWide)
        {
            if (_wideCount == _wide.Length)
            {
                Array.Resize(ref _wide, Math.Min(Capacity, Math.Max(4, _wideCount * 2)));
            }

            _wide[_wideCount++] = new Wide(key.Version, key.Number.GetValueOrDefault());
        }

        Count++;
        return true;
    }

    /// <summary>True for an answer that takes more room: one with a number, or a version unlike those of log modes.</summary>
    public static bool IsWide(in KeyRecord key) => key.Number is not null || key.Version.ModeEpoch != 0 || key.Version.Sub > uint.MaxValue;

    /// <summary>Whether a key here is of this name.</summary>
    public bool Is(int place, UInt128 name)
    {
        ref readonly var there = ref _keys[place].Name;
        return there.Low == (ulong)name && there.High == (ulong)(name >> 64);
    }

    /// <summary>The name of a key.</summary>
    public UInt128 NameOf(int place) => new(_keys[place].Name.High, _keys[place].Name.Low);

    /// <summary>When a key's life is over.</summary>
    public long DueOf(int place) => _baseMs + _keys[place].DueMs;

    /// <summary>A key as it was added. Of one that was there when a snapshot was taken, on any thread.</summary>
    public KeyRecord this[int place]
    {
        get
        {
            ref readonly var key = ref _keys[place];
            var wide = (key.Flags & Packed.IsWide) != 0 ? _wide[(int)key.Counter] : new Wide(new Version(key.SlotEpoch, 0, key.Counter, key.Sub), 0);
            return new KeyRecord(
                new UInt128(key.Name.High, key.Name.Low),
                key.Digest,
                new Slot(key.Slot),
                (ResultCode)key.Code,
                wide.Version,
                (key.Flags & Packed.HasNumber) != 0 ? wide.Number : null,
                _baseMs + key.DueMs);
        }
    }

    private readonly record struct Half(ulong Low, ulong High);

    private readonly record struct Wide(Version Version, long Number);

    // 48 bytes, in an order that leaves no gaps.
    private struct Packed
    {
        public const byte IsWide = 1;
        public const byte HasNumber = 2;

        public Half Name;
        public ulong Digest;
        public ulong Counter; // or the place of the answer among the wide ones
        public uint SlotEpoch;
        public uint Sub;
        public int DueMs; // after that of the page's first key
        public ushort Slot;
        public byte Code;
        public byte Flags;
    }
}
