using System.Buffers.Binary;
using Flotilla.Data;
using Flotilla.Topology;
using Version = Flotilla.Data.Version;

namespace Flotilla.Shards;

/// <summary>
/// The keys that will expire, ordered by when (and then by key, so that all replicas remove them in one order). It is
/// kept exact: a key that is rewritten or removed leaves it at once, since otherwise a key rewritten often with a
/// long time to live would pile up entries. A tree of times and keys: as compact as the records themselves, and quick to
/// build anew from a snapshot.
/// </summary>
/// <remarks>
/// Keys of slots that are <see cref="Held"/> must stay where they are. Such a key that falls due is <em>parked</em> when its turn
/// comes, so that it holds up none behind it, and put back when its slot is let go. That changes nothing that can be seen: what
/// is taken is always the first that is due and not held, whether or not others were parked before, so an index that was built
/// anew from a snapshot gives the same.
/// </remarks>
internal sealed class ExpiryIndex
{
    /// <summary>The longest key that can expire, in bytes.</summary>
    public const int MaxKeyBytes = BTree.MaxKeyBytes - sizeof(long) - sizeof(ushort);

    private const int SmallBytes = 256;

    private readonly BTree _due = new(); // keys: when, 8 bytes big-endian, then the key
    private readonly BTree _parked = new(); // keys: slot, 2 bytes big-endian, then as above
    private SlotSet _held = SlotSet.Empty;
    private long _nextMs = long.MaxValue;
    private bool _nextIsKnown = true;
    private First _first = new();

    /// <summary>How many keys have an expiry.</summary>
    public long Count => _due.Count + _parked.Count;

    /// <summary>Slots of which nothing may be taken.</summary>
    public SlotSet Held
    {
        get => _held;
        set
        {
            var letGo = _parked.Count == 0 ? SlotSet.Empty : _held.Except(value);
            _held = value;
            foreach (var slot in letGo.Slots())
            {
                Unpark(slot);
            }
        }
    }

    /// <summary>The log time at which the first of them is gone, parked ones aside; <see cref="long.MaxValue"/> if there is none.</summary>
    public long NextMs
    {
        get
        {
            if (!_nextIsKnown)
            {
                _due.Visit([], ref _first);
                _nextMs = _due.Count == 0 ? long.MaxValue : _first.AtMs;
                _nextIsKnown = true;
            }

            return _nextMs;
        }
    }

    /// <summary>A key's expiry has changed; 0 stands for "never" and "not there". The key is copied if it is kept.</summary>
    public void Change(ReadOnlySpan<byte> key, long oldMs, long newMs)
    {
        if (oldMs == newMs)
        {
            return;
        }

        var length = sizeof(long) + key.Length;
        var due = length <= SmallBytes ? stackalloc byte[length] : new byte[length];
        key.CopyTo(due[sizeof(long)..]);
        if (oldMs != 0)
        {
            BinaryPrimitives.WriteInt64BigEndian(due, oldMs);
            if (!_due.Remove(due) && _parked.Count > 0)
            {
                _parked.Remove(Parked(Slot.Of(key), due));
            }

            _nextIsKnown &= oldMs > _nextMs;
        }

        if (newMs != 0)
        {
            BinaryPrimitives.WriteInt64BigEndian(due, newMs);
            _due.Put(due, [], Version.None, 0);
            _nextMs = _nextIsKnown ? Math.Min(_nextMs, newMs) : _nextMs;
        }
    }

    /// <summary>Takes out the first key that is gone at <paramref name="logTimeMs"/> and not held. Its memory is valid until the next call.</summary>
    public bool TryTake(long logTimeMs, out ReadOnlyMemory<byte> key)
    {
        while (_due.Count > 0 && NextMs <= logTimeMs)
        {
            _due.Visit([], ref _first);
            _due.Remove(_first.Due.Span);
            _nextIsKnown = false;
            key = _first.Due[sizeof(long)..];
            if (_held.IsEmpty || Slot.Of(key.Span) is var slot && !_held.Contains(slot))
            {
                return true;
            }

            _parked.Put(Parked(slot, _first.Due.Span), [], Version.None, 0);
        }

        key = default;
        return false;
    }

    private static byte[] Parked(Slot slot, ReadOnlySpan<byte> due)
    {
        var parked = new byte[sizeof(ushort) + due.Length];
        BinaryPrimitives.WriteUInt16BigEndian(parked, slot.Value);
        due.CopyTo(parked.AsSpan(sizeof(ushort)));
        return parked;
    }

    private void Unpark(Slot slot)
    {
        var keys = new KeysOf();
        _parked.VisitPrefix(Parked(slot, []), [], ref keys);
        foreach (var parked in keys.Keys)
        {
            _parked.Remove(parked);
            _due.Put(parked.AsSpan(sizeof(ushort)), [], Version.None, 0);
            _nextIsKnown = false;
        }
    }

    // Keeps a copy of the first key of a visit.
    private struct First : IRecordVisitor
    {
        private byte[] _buffer = new byte[64];

        public First()
        {
        }

        public ReadOnlyMemory<byte> Due { get; private set; }

        public readonly long AtMs => BinaryPrimitives.ReadInt64BigEndian(Due.Span);

        public bool Visit(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, Version version, long expiresAtMs)
        {
            if (_buffer.Length < key.Length)
            {
                _buffer = new byte[key.Length * 2];
            }

            key.CopyTo(_buffer);
            Due = _buffer.AsMemory(0, key.Length);
            return false;
        }
    }
}
