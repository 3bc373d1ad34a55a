using Flotilla.Raft;
using Flotilla.Topology;
using Version = Flotilla.Data.Version;

namespace Flotilla.Shards.Watching;

/// <summary>
/// The newest events of one replica, bounded in bytes: what the state machine did as it applied entries, in order. Not part of
/// the state: two replicas with the same state may keep more or less of it, and one that starts from a snapshot begins with none;
/// but the events that both keep are the same, at the same positions.
/// </summary>
/// <remarks>
/// <para><em>Why kept, and not read again from the log.</em> An entry says what was asked for, and only the state that it met
/// says what came of it: whether a condition held, a session had seen the write before, a record was there to be deleted,
/// which ones fell due. So only applying it tells its events.</para>
/// <para><em>Threads.</em> One writer, the replica's; any number of readers at the same time, without a lock: bytes below a
/// segment's published length never change, and segments are never used twice. A reader must not go beyond the entry up to
/// which the writer is known to have applied, which whoever runs the replica tells it. A segment that was dropped lives as long as somebody
/// holds an event of it, so readers hold events only until they have passed them on.</para>
/// </remarks>
public sealed class EventLog
{
    private const int FirstSegmentBytes = 2 << 10;
    private const int SegmentBytes = 64 << 10;

    private readonly long _maxBytes;
    private volatile Segment _head;
    private Segment _tail;
    private long _bytes;
    private int _nextSegmentBytes = FirstSegmentBytes;
    private LogIndex _entry;
    private uint _ordinal;
    private EventPosition _last; // behind the newest event

    /// <summary>A log that begins behind an entry.</summary>
    /// <param name="maxBytes">At most so many bytes are kept, but for one event that is larger by itself.</param>
    /// <param name="from">The last entry that was applied before.</param>
    public EventLog(long maxBytes, LogIndex from)
    {
        _maxBytes = maxBytes;
        _entry = from;
        _last = EventPosition.After(from);
        _head = _tail = new Segment([], EventPosition.After(from));
    }

    /// <summary>Events before this position are not kept. Any thread.</summary>
    public EventPosition Floor => _head.Before;

    /// <summary>Bytes kept, with the room left in the last segment. The writer's thread.</summary>
    public long Bytes => _bytes;

    /// <summary>An entry is about to be applied.</summary>
    internal void Begin(LogIndex entry)
    {
        _entry = entry;
        _ordinal = 0;
    }

    /// <summary>The entry changed a record.</summary>
    internal void Add(ShardEventKind kind, ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, Version version)
    {
        var size = HeadSize() + Encoded.VersionSize(version) + Encoded.BytesSize(key.Length) + Encoded.BytesSize(value.Length);
        var segment = Room(size);
        var at = WriteHead(segment, kind);
        at = Encoded.WriteVersion(segment.Bytes, at, version);
        at = Encoded.WriteBytes(segment.Bytes, at, key);
        segment.Length = Encoded.WriteBytes(segment.Bytes, at, value);
    }

    /// <summary>The entry froze the slots of a move from here.</summary>
    internal void AddFrozen(LogIndex move) => AddMark(ShardEventKind.Frozen, default, move);

    /// <summary>The entry took slots in that another shard gave.</summary>
    internal void AddCame(ShardId source, LogIndex move) => AddMark(ShardEventKind.Came, source, move);

    /// <summary>The entry retired the shard, which has owned slots or never did.</summary>
    internal void AddEnded(bool hasOwned) => AddMark(ShardEventKind.Ended, default, hasOwned ? new LogIndex(1) : default);

    /// <summary>Reads on. False if some of what comes next is not kept any more. Any thread.</summary>
    /// <param name="from">Where the reader stands.</param>
    /// <param name="applied">The last entry that is known to be applied; what lies behind it is not read.</param>
    /// <param name="filter">Which keys count. Marks of slots that came, and of the end, always do.</param>
    /// <param name="maxBytes">Stop after about so many bytes of events that count (one is always read)…</param>
    /// <param name="maxScanned">… or after having passed over so many bytes of any.</param>
    /// <param name="to">Where they are added. Their memory never changes.</param>
    /// <param name="reached">Where the reader stands then. Behind <paramref name="applied"/>'s events if there was nothing left.</param>
    public bool Read(EventPosition from, LogIndex applied, in EventFilter filter, int maxBytes, int maxScanned, List<ShardEvent> to, out EventPosition reached)
    {
        ArgumentNullException.ThrowIfNull(to);
        reached = from;
        if (Find(from) is not { } segment)
        {
            return false;
        }

        var (bytes, scanned) = (0L, 0L);
        for (; segment is not null; segment = segment.Next)
        {
            var reader = new Cursor(segment);
            while (reader.TryRead(out var read))
            {
                if (read.After <= from)
                {
                    continue;
                }

                if (read.After > EventPosition.After(applied))
                {
                    reached = Later(from, EventPosition.After(applied));
                    return true;
                }

                var counts = read.Kind is ShardEventKind.Came or ShardEventKind.Ended || (read.Kind != ShardEventKind.Frozen && filter.Takes(read.Key.Span));
                if ((counts && bytes > 0 && bytes + read.Cost > maxBytes) || scanned > maxScanned)
                {
                    return true;
                }

                scanned += read.Cost;
                reached = read.After;
                if (counts)
                {
                    bytes += read.Cost;
                    to.Add(read);
                }
            }
        }

        reached = Later(from, EventPosition.After(applied));
        return true;
    }

    /// <summary>
    /// Whether the Freeze of a move from here lies behind a position, so that a reader who stands there has yet to come to it; null if that is not kept any
    /// more. Only for a move of which the Freeze is applied. Any thread.
    /// </summary>
    public bool? IsFreezeAhead(EventPosition from, LogIndex move)
    {
        if (Find(from) is not { } segment)
        {
            return null;
        }

        for (; segment is not null; segment = segment.Next)
        {
            var reader = new Cursor(segment);
            while (reader.TryRead(out var read))
            {
                if (read.Kind == ShardEventKind.Frozen && read.Move == move && read.After > from)
                {
                    return true;
                }
            }
        }

        return false;
    }

    private static EventPosition Later(EventPosition a, EventPosition b) => a >= b ? a : b;

    /// <summary>The segment that holds what follows a position; null if some of it was dropped.</summary>
    private Segment? Find(EventPosition from)
    {
        var segment = _head;
        if (from < segment.Before)
        {
            return null;
        }

        while (segment.Next is { } next && next.Before <= from)
        {
            segment = next;
        }

        return segment;
    }

    private void AddMark(ShardEventKind kind, ShardId source, LogIndex move)
    {
        var segment = Room(HeadSize() + Encoded.VarintSize((uint)source.Value) + Encoded.VarintSize(move.Value));
        var at = WriteHead(segment, kind);
        at = Encoded.WriteVarint(segment.Bytes, at, (uint)source.Value);
        segment.Length = Encoded.WriteVarint(segment.Bytes, at, move.Value);
    }

    private int HeadSize() => 1 + Encoded.VarintSize(_entry.Value) + Encoded.VarintSize(_ordinal);

    private int WriteHead(Segment segment, ShardEventKind kind)
    {
        var at = segment.Length;
        segment.Bytes[at] = (byte)kind;
        at = Encoded.WriteVarint(segment.Bytes, at + 1, _entry.Value);
        at = Encoded.WriteVarint(segment.Bytes, at, _ordinal++);
        _last = new EventPosition(_entry.Previous, _ordinal);
        return at;
    }

    private Segment Room(int size)
    {
        if (_tail.Bytes.Length - _tail.Length >= size)
        {
            return _tail;
        }

        var room = Math.Max(size, _nextSegmentBytes);
        _nextSegmentBytes = Math.Min(2 * _nextSegmentBytes, SegmentBytes);
        var segment = new Segment(new byte[room], _last);
        _bytes += room;
        _tail.Next = segment;
        _tail = segment;
        while (_bytes > _maxBytes && _head != segment)
        {
            _bytes -= _head.Bytes.Length;
            _head = _head.Next!;
        }

        return segment;
    }

    private sealed class Segment(byte[] bytes, EventPosition before)
    {
        // Written last, read first: what lies below is complete.
        public volatile int Length;

        public volatile Segment? Next;

        public byte[] Bytes => bytes;

        /// <summary>Behind the last event of the segment before.</summary>
        public EventPosition Before => before;
    }

    private struct Cursor(Segment segment)
    {
        private readonly ReadOnlyMemory<byte> _bytes = segment.Bytes.AsMemory(0, segment.Length);
        private int _at;

        public bool TryRead(out ShardEvent read)
        {
            read = default;
            if (_at == _bytes.Length)
            {
                return false;
            }

            var reader = new EncodedReader<Defect>(_bytes[_at..]);
            var kind = (ShardEventKind)reader.Byte();
            var entry = new LogIndex(reader.Varint(ulong.MaxValue));
            var after = new EventPosition(entry.Previous, (uint)reader.Varint(uint.MaxValue) + 1);
            if (kind is ShardEventKind.Frozen or ShardEventKind.Came or ShardEventKind.Ended)
            {
                read = new ShardEvent(kind, after, default, default, Version.None, new ShardId((int)reader.Varint(int.MaxValue)), new LogIndex(reader.Varint(ulong.MaxValue)));
            }
            else
            {
                var version = reader.Version();
                read = new ShardEvent(kind, after, reader.Bytes(), reader.Bytes(), version, default, default);
            }

            _at += reader.At;
            return true;
        }
    }

    // What is read was written by this very object.
    private sealed class Defect : IMalformed
    {
        public static Exception At(string what, int offset) => new InvalidOperationException($"A replica's events are damaged in memory: {what} at {offset}.");
    }
}
