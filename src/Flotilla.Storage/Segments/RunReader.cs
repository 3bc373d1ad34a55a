using System.Buffers;
using Flotilla.Raft;
using Flotilla.Storage.Disk;
using Flotilla.Wire.Log;

namespace Flotilla.Storage.Segments;

/// <summary>Reads entries back: walks over the records from where a run begins, and verifies those of the group that it returns.</summary>
internal ref struct RunReader
{
    private const int ChunkBytes = 64 << 10;
    private const int RecordPeekBytes = 40;

    private readonly IDisk _disk;
    private readonly GroupId _group;
    private readonly Run _run;
    private byte[] _chunk;
    private long _start;
    private int _filled;

    internal RunReader(IDisk disk, GroupId group, in Run run)
    {
        _disk = disk;
        _group = group;
        _run = run;
        _chunk = ArrayPool<byte>.Shared.Rent(ChunkBytes);
        _start = run.Offset;
        _filled = 0;
    }

    /// <summary>
    /// Adds the entries from <paramref name="from"/> on that lie in the run, through <paramref name="through"/>, while
    /// <paramref name="budget"/> lasts, and reduces it by their cost. The first one added to a list that holds
    /// <paramref name="none"/> is added whatever it costs. Returns the index after the last one added.
    /// </summary>
    public LogIndex Read(LogIndex from, LogIndex through, ref long budget, List<Entry> into, int none)
    {
        through = LogIndex.Min(through, _run.Last);
        var next = _run.First;
        var offset = _run.Offset;
        while (next <= through && budget > 0)
        {
            var head = Window(offset, RecordPeekBytes);
            var length = head.Length < RecordHead.MinRecordBytes ? 0 : RecordHead.Length(head);
            if (length == 0)
            {
                throw Damaged(offset);
            }

            var reader = new RecordReader(head);
            if (reader.Kind == RecordKind.Entries && reader.TryReadEntriesHead(out var group, out var first, out var term, out var count) && group == _group)
            {
                if (first != next)
                {
                    throw Damaged(offset);
                }

                next = first + (ulong)count;
                if (next > from)
                {
                    var record = Window(offset, length);
                    if (record.Length < length || !RecordHead.Verify(record))
                    {
                        throw Damaged(offset);
                    }

                    var done = Take(record, first, term, from, through, ref budget, into, none);
                    if (done < LogIndex.Min(next, through.Next))
                    {
                        return done;
                    }

                    from = done;
                }
            }

            offset += length;
        }

        return from;
    }

    /// <summary>Gives the buffer back.</summary>
    public readonly void Dispose() => ArrayPool<byte>.Shared.Return(_chunk);

    // Copies the wanted part of a record once; its entries share the copy.
    private static LogIndex Take(ReadOnlySpan<byte> record, LogIndex first, Term term, LogIndex from, LogIndex through, ref long budget, List<Entry> into, int none)
    {
        var index = first;
        var cursor = new RecordReader(record).Entries;
        while (index < from && cursor.TryNext())
        {
            index = index.Next;
        }

        var begin = cursor.Offset;
        var end = begin;
        var ahead = cursor;
        var wanted = 0;
        while (index + (ulong)wanted <= through && ahead.TryNext())
        {
            long cost = new Entry(default, default, default, default).Cost + ahead.Payload.Length;
            if (cost > budget && into.Count + wanted > none)
            {
                budget = 0;
                break;
            }

            budget -= cost;
            end = ahead.Offset;
            wanted++;
        }

        var copy = record[(RecordPeekBytes + begin)..(RecordPeekBytes + end)].ToArray();
        var at = 0;
        for (; wanted > 0; wanted--)
        {
            _ = cursor.TryNext();
            into.Add(new Entry(index, term, cursor.Kind, copy.AsMemory(at + 5, cursor.Payload.Length)));
            at += 5 + cursor.Payload.Length;
            index = index.Next;
        }

        return index;
    }

    private ReadOnlySpan<byte> Window(long offset, int bytes)
    {
        if (offset < _start || offset + bytes > _start + _filled)
        {
            if (bytes > _chunk.Length)
            {
                ArrayPool<byte>.Shared.Return(_chunk);
                _chunk = ArrayPool<byte>.Shared.Rent(bytes);
            }

            _start = offset;
            _filled = _run.Segment.Slot.File.Read(offset, _chunk);
        }

        var skip = (int)(offset - _start);
        return _chunk.AsSpan(skip, Math.Min(bytes, _filled - skip));
    }

    private readonly WalCorruptException Damaged(long offset) =>
        new($"The log is damaged: {_disk.PathOf(_run.Segment.Slot.Name)}, offset {offset}: entries {_run.First} to {_run.Last} of group {_group} don't read back as they were written. "
            + Rebuilding.Advice);
}
