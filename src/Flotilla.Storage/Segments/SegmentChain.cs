using Flotilla.Raft;
using Flotilla.Storage.Disk;
using Flotilla.Wire.Log;

namespace Flotilla.Storage.Segments;

/// <summary>Where the log ends: the segment, the offset up to which it is durable, and the checksum that the next batch continues.</summary>
internal readonly record struct LogEnd(Segment Segment, long Offset, uint Checksum);

/// <summary>
/// The segments as one log that grows at its end. Owned by the appending thread. After an exception the log must not be
/// written again: what reached the disk is unknown (fsyncgate), and only a recovery can tell.
/// </summary>
internal sealed class SegmentChain : IDisposable
{
    // Kept free at the end of each segment for its seal: a batch with one record of 32 bytes.
    internal const int SealBytes = BatchHeader.Bytes + 32;

    private readonly SegmentPool _pool;
    private readonly long _segmentBytes;
    private readonly ulong _generationSeed;
    private readonly ulong _owner;
    private readonly List<Segment> _segments;
    private readonly List<Segment> _retiring = [];
    private readonly BatchWriter _scratch = new();
    private LogEnd? _end;

    internal SegmentChain(SegmentPool pool, long segmentBytes, ulong generationSeed, ulong owner, List<Segment> segments, LogEnd? end)
    {
        _pool = pool;
        _segmentBytes = segmentBytes;
        _generationSeed = generationSeed;
        _owner = owner;
        _segments = segments;
        _end = end;
    }

    /// <summary>The segments, oldest first.</summary>
    public IReadOnlyList<Segment> Segments => _segments;

    /// <summary>Where the log ends.</summary>
    public LogEnd End => _end ?? throw new InvalidOperationException("The log has no segment yet.");

    /// <summary>The sequence number that the next segment gets.</summary>
    public ulong NextSequence => _end is { } end ? end.Segment.Sequence + 1 : 1;

    /// <summary>Whether a batch of that many bytes goes into the current segment, and leaves room for the seal.</summary>
    public bool Fits(int bytes) => End.Offset + bytes + SealBytes <= End.Segment.Slot.File.Length;

    /// <summary>
    /// Writes a batch in one piece and makes it durable. Returns where in the current segment it begins. The batch must fit.
    /// </summary>
    public long Write(BatchWriter batch, BatchKind kind)
    {
        var end = End;
        var bytes = batch.Complete(kind, end.Segment.Header.Generation, (ulong)end.Offset, end.Checksum, out var checksum);
        end.Segment.Slot.File.Write(end.Offset, bytes);
        end.Segment.Slot.File.Sync();
        _end = end with { Offset = end.Offset + bytes.Length, Checksum = checksum };
        return end.Offset;
    }

    /// <summary>
    /// Begins a new segment with room for a batch of <paramref name="roomBytes"/>: header and head, which stand in one write
    /// and are synced first, then the seal of the old one. A crash in between leaves a new segment without entries, or none.
    /// </summary>
    /// <param name="head">The records of the first batch: all small states.</param>
    /// <param name="roomBytes">Bytes of the batch that is to follow.</param>
    public void Begin(BatchWriter head, int roomBytes)
    {
        var predecessor = _end;
        var needed = SegmentHeader.Bytes + (long)head.Length + roomBytes + SealBytes;
        var bytes = needed <= _segmentBytes ? _segmentBytes : (needed + 4095) / 4096 * 4096;
        var file = _pool.Take(bytes);
        var sequence = NextSequence;
        var header = new SegmentHeader(
            GenerationOf(sequence), sequence, (ulong)file.File.Length,
            (ulong)(predecessor?.Offset ?? 0), predecessor?.Segment.Header.Generation ?? 0, predecessor?.Checksum ?? 0, _owner);

        var first = new byte[SegmentHeader.Bytes + head.Length];
        var seed = header.Write(first);
        head.Complete(BatchKind.Head, header.Generation, SegmentHeader.Bytes, seed, out var checksum).CopyTo(first.AsSpan(SegmentHeader.Bytes));
        file.File.Write(0, first);
        file.File.Sync();

        if (predecessor is not null)
        {
            _scratch.Clear();
            _scratch.AddContinues(header.Sequence, header.Generation);
            _ = Write(_scratch, BatchKind.Seal);
        }

        var segment = new Segment(file, header);
        _segments.Add(segment);
        _end = new LogEnd(segment, first.Length, checksum);
    }

    /// <summary>
    /// Recycles the segments before <paramref name="oldest"/>, once no reader is in them. That they are not needed must be
    /// durable, or the next recovery would miss them.
    /// </summary>
    public void Retire(ulong oldest)
    {
        var gone = 0;
        while (gone < _segments.Count - 1 && _segments[gone].Sequence < oldest)
        {
            _retiring.Add(_segments[gone]);
            gone++;
        }

        _segments.RemoveRange(0, gone);
        for (var i = _retiring.Count - 1; i >= 0; i--)
        {
            if (!_retiring[i].IsPinned)
            {
                _pool.Free(_retiring[i].Slot);
                _retiring.RemoveAt(i);
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var segment in _segments)
        {
            segment.Slot.File.Dispose();
        }

        foreach (var segment in _retiring)
        {
            segment.Slot.File.Dispose();
        }
    }

    // A function of the seed, so that a simulation repeats itself, and unknown to clients, who choose what payloads hold.
    private ulong GenerationOf(ulong sequence)
    {
        var random = new SplitMix64(_generationSeed ^ (sequence * 0x9E3779B97F4A7C15UL));
        ulong generation;
        do
        {
            generation = random.Next();
        }
        while (generation == 0);

        return generation;
    }
}
