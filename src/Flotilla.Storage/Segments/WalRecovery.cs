using Flotilla.Raft;
using Flotilla.Storage.Disk;
using Flotilla.Wire.Log;

namespace Flotilla.Storage.Segments;

/// <summary>
/// Finds the segments on the disk, reads them in order, and decides where the log ends. The argument why nothing durable is
/// lost and nothing else appears stands in <c>docs/wal.md</c>.
/// </summary>
internal sealed class WalRecovery : IDisposable
{
    private readonly IDisk _disk;
    private readonly WalOptions _options;
    private readonly List<SegmentFile> _free = [];
    private readonly List<SegmentFile> _blank = [];
    private readonly List<SegmentFile> _opened = [];
    private readonly List<(Segment Segment, uint Seed)> _found = [];
    private readonly LogReplay _replay = new();
    private Segment? _unfinished;
    private long _lastBatch;
    private int _lastNumber;
    private bool _succeeded;

    private WalRecovery(IDisk disk, WalOptions options)
    {
        _disk = disk;
        _options = options;
    }

    /// <summary>What was recovered.</summary>
    /// <param name="Groups">The groups.</param>
    /// <param name="Segments">The segments that are needed, oldest first; none if the log is new.</param>
    /// <param name="Free">The other files.</param>
    /// <param name="LastNumber">The highest number in a file's name.</param>
    /// <param name="Oldest">The oldest segment that is needed, as far as is durable.</param>
    /// <param name="End">Where the log ends; null if it is new.</param>
    /// <param name="MustBegin">The log must go on in a new segment: behind its end lies something else than zeros.</param>
    internal sealed record Result(
        Dictionary<GroupId, GroupLog> Groups, List<Segment> Segments, List<SegmentFile> Free, int LastNumber, ulong Oldest, LogEnd? End, bool MustBegin);

    /// <summary>Recovers the log in a directory.</summary>
    public static Result Run(IDisk disk, WalOptions options)
    {
        using var recovery = new WalRecovery(disk, options);
        var result = recovery.Run();
        recovery._succeeded = true;
        return result;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (!_succeeded)
        {
            foreach (var file in _opened)
            {
                file.File.Dispose();
            }
        }
    }

    private Result Run()
    {
        var damaged = Classify();
        if (_found.Count == 0)
        {
            return RecoverNothing(damaged);
        }

        _found.Sort(static (a, b) => a.Segment.Sequence.CompareTo(b.Segment.Sequence));
        var owner = _options.Owner ?? _found[^1].Segment.Header.Owner;
        if (_found.FindIndex(f => f.Segment.Header.Owner != owner) is >= 0 and var foreign)
        {
            var segment = _found[foreign].Segment;
            throw Corrupt(segment, 0, $"it belongs to the log of another data directory (owner {segment.Header.Owner:x}, not {owner:x})");
        }

        for (var i = 1; i < _found.Count; i++)
        {
            if (_found[i].Segment.Sequence == _found[i - 1].Segment.Sequence)
            {
                throw Corrupt(_found[i].Segment, 0, $"it says that it is segment {_found[i].Segment.Sequence}, and so does {_disk.PathOf(_found[i - 1].Segment.Slot.Name)}: a file was added or copied");
            }
        }

        // Older segments may be gone or not: what is needed is the unbroken row that leads up to the newest.
        var begin = _found.Count - 1;
        while (begin > 0 && _found[begin - 1].Segment.Sequence + 1 == _found[begin].Segment.Sequence)
        {
            begin--;
        }

        _free.AddRange(_found.Take(begin).Select(static f => f.Segment.Slot));
        _found.RemoveRange(0, begin);

        using var reader = new SegmentReader(_found[0].Segment.Slot.File);
        if (DropUnfinished(reader))
        {
            return RecoverNothing(null);
        }

        return ReadAll(reader);
    }

    private SegmentFile? Classify()
    {
        SegmentFile? damaged = null;
        var sector = new byte[SegmentHeader.Bytes];
        foreach (var name in _disk.List())
        {
            var number = SegmentFile.NumberOf(name);
            if (number == 0)
            {
                continue;
            }

            _lastNumber = Math.Max(_lastNumber, number);
            var file = new SegmentFile(name, _disk.Open(name));
            _opened.Add(file);
            var read = file.File.Read(0, sector);
            switch (SegmentHeader.Read(sector.AsSpan(0, read), out var header, out var seed, out var version))
            {
                case SegmentHeaderState.Valid when file.File.Length < (long)header.SegmentBytes:
                    throw Corrupt(file, file.File.Length, $"it ends here, but had {header.SegmentBytes} bytes when segment {header.Sequence} was begun in it");
                case SegmentHeaderState.Valid:
                    _found.Add((new Segment(file, header), seed));
                    break;
                case SegmentHeaderState.UnknownVersion:
                    throw new WalFormatException(
                        $"{_disk.PathOf(name)} is of log format {version}; this program reads format {SegmentHeader.FormatVersion}. Nothing was changed. Start the node with the version that wrote it.");
                case SegmentHeaderState.Damaged:
                    damaged = file;
                    _free.Add(file);
                    break;
                default:
                    _blank.Add(file);
                    _free.Add(file);
                    break;
            }
        }

        return damaged;
    }

    private Result RecoverNothing(SegmentFile? damaged)
    {
        if (damaged is not null)
        {
            throw Corrupt(damaged, 0, "neither it nor any other file has a sound segment header");
        }

        if (_options.MustExist)
        {
            throw new WalCorruptException($"{_disk.PathOf("")} holds no log, but this node has had one. {Rebuilding.Advice}");
        }

        // The files that were found are used next, and a process that died may not have lived to make their names durable.
        _disk.SyncDirectory();
        WipeBlank();
        return new Result([], [], _free, _lastNumber, 1, null, MustBegin: true);
    }

    /// <summary>
    /// A crash while the newest segment was begun leaves its header without its head. Nothing was written to it then and
    /// the segment before it is still there, so it is dropped. Returns true if that leaves nothing at all.
    /// </summary>
    private bool DropUnfinished(SegmentReader reader)
    {
        var (segment, seed) = _found[^1];
        reader.Use(segment.Slot.File);
        if (reader.TryReadBatch(SegmentHeader.Bytes, segment.Header.Generation, seed, out var head, out _) && head.Kind == BatchKind.Head)
        {
            return false;
        }

        if (reader.TryFindWitness(SegmentHeader.Bytes, segment.Header.Generation, out var witness, out var durable, out _))
        {
            throw Corrupt(segment, SegmentHeader.Bytes, $"its first batch is damaged: the batch at offset {witness} says that everything below {durable} was durable");
        }

        if (_found.Count == 1 && segment.Sequence > 1)
        {
            throw Corrupt(segment, SegmentHeader.Bytes, "its first batch is damaged, and the segments before it are gone");
        }

        _unfinished = segment;
        _found.RemoveAt(_found.Count - 1);
        return _found.Count == 0;
    }

    /// <summary>
    /// Makes durable that the files that are no segments are none, before a sequence number is used again. The zeros that
    /// were read may be in the page cache only, with an old header beneath them: that of a segment that was only begun, and
    /// whose wiping did not reach the disk. After a power loss two segments would bear one number.
    /// </summary>
    private void WipeBlank()
    {
        if (_unfinished is not null)
        {
            _blank.Add(_unfinished.Slot);
            _free.Add(_unfinished.Slot);
        }

        var zeros = new byte[SegmentHeader.Bytes];
        foreach (var file in _blank)
        {
            file.File.Write(0, zeros);
            file.File.Sync();
        }
    }

    private Result ReadAll(SegmentReader reader)
    {
        long end = 0;
        uint checksum = 0;
        for (var i = 0; i < _found.Count; i++)
        {
            var (segment, seed) = _found[i];
            var header = segment.Header;
            if (i > 0 && (header.PredecessorGeneration != _found[i - 1].Segment.Header.Generation || header.PredecessorChecksum != checksum))
            {
                throw Corrupt(segment, 0, $"it does not continue {_disk.PathOf(_found[i - 1].Segment.Slot.Name)}: a file of another log, or of another time");
            }

            var stop = i + 1 < _found.Count ? (long)_found[i + 1].Segment.Header.PredecessorEnd : long.MaxValue;
            (end, checksum) = ReadSegment(reader, segment, seed, stop);
            if (stop == long.MaxValue)
            {
                break;
            }

            if (end != stop)
            {
                throw Corrupt(segment, end, $"the batch here is damaged: the next segment, {_disk.PathOf(_found[i + 1].Segment.Slot.Name)}, says that this one was durable up to offset {stop}");
            }
        }

        var last = _found[^1].Segment;
        if (reader.TryFindWitness(end, last.Header.Generation, out var witness, out var durable, out var clean))
        {
            throw Corrupt(last, end, $"the batch here is damaged: the one at offset {witness} says that everything below {durable} was durable");
        }

        if (_unfinished is not null && (ulong)end < _unfinished.Header.PredecessorEnd)
        {
            throw Corrupt(last, end, $"the batch here is damaged: {_disk.PathOf(_unfinished.Slot.Name)}, which was about to follow, says that this segment was durable up to offset {_unfinished.Header.PredecessorEnd}");
        }

        if (_replay.SealedTo > last.Sequence)
        {
            throw Corrupt(last, end, $"it says that segment {_replay.SealedTo} follows, but no file has a sound header of it");
        }

        if (_replay.Oldest < _found[0].Segment.Sequence)
        {
            throw Corrupt(_found[0].Segment, 0, $"the segment before it, {_found[0].Segment.Sequence - 1}, is missing: the log is needed from segment {_replay.Oldest} on");
        }

        if (_replay.Check() is { } missing)
        {
            throw Corrupt(last, end, missing);
        }

        if (_found.FindIndex(f => f.Segment.LiveRuns > 0 && f.Segment.Sequence < _replay.Oldest) is >= 0 and var needed)
        {
            throw Corrupt(_found[needed].Segment, 0, $"it holds entries that are needed, though the log says that it is needed from segment {_replay.Oldest} on only");
        }

        // What was read may still be in the page cache only, if the process died and not the machine: before anything is
        // built on it, it is made durable.
        WriteAgain(last.Slot.File, end);
        last.Slot.File.Sync();
        _disk.SyncDirectory();
        WipeBlank();
        return new Result(_replay.Groups, [.. _found.Select(static f => f.Segment)], _free, _lastNumber, _replay.Oldest, new LogEnd(last, end, checksum), MustBegin: !clean);
    }

    // Only the last batch can be in doubt: each says that all before it was durable. If its sync failed and the process ended,
    // as it must, the kernel has marked the pages clean all the same: a sync would succeed and write nothing (fsyncgate,
    // hazard 9). So the bytes are written once more first. They are what is there: a crash in between changes nothing.
    private void WriteAgain(IDiskFile file, long end)
    {
        var from = _lastBatch == SegmentHeader.Bytes ? 0 : _lastBatch; // The head stands in one write with the header.
        var bytes = new byte[end - from];
        var read = file.Read(from, bytes);
        file.Write(from, bytes.AsSpan(0, read));
    }

    private (long End, uint Checksum) ReadSegment(SegmentReader reader, Segment segment, uint seed, long stop)
    {
        reader.Use(segment.Slot.File);
        long offset = SegmentHeader.Bytes;
        var checksum = seed;
        while (offset < stop && reader.TryReadBatch(offset, segment.Header.Generation, checksum, out var header, out var records))
        {
            if ((header.Kind == BatchKind.Head) != (offset == SegmentHeader.Bytes))
            {
                throw Corrupt(segment, offset, $"a batch of kind {header.Kind} stands in the wrong place");
            }

            if (_replay.Apply(segment, offset, header, records) is { } wrong)
            {
                throw Corrupt(segment, offset, wrong);
            }

            _lastBatch = offset;
            offset += header.BatchBytes;
            checksum = header.Checksum;
        }

        return (offset, checksum);
    }

    private WalCorruptException Corrupt(Segment segment, long offset, string what) => Corrupt(segment.Slot, offset, what);

    private WalCorruptException Corrupt(SegmentFile file, long offset, string what) =>
        new($"The log is damaged: {_disk.PathOf(file.Name)}, offset {offset}: {what}. No crash explains this. {Rebuilding.Advice}");
}
