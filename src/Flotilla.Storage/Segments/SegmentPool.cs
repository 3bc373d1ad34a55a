using System.Buffers;
using Flotilla.Storage.Disk;
using Flotilla.Wire.Log;

namespace Flotilla.Storage.Segments;

/// <summary>
/// The files that are no segments at the moment: those that were, and one that is ready to be the next. A file is made
/// ready by filling it with zeros, if it is new, and by wiping its header durably, before anything else in it changes: so
/// no crash leaves an old header above new content. Thread-safe: a background thread may prepare while the log goes on.
/// </summary>
internal sealed class SegmentPool : IDisposable
{
    private const int ZeroChunkBytes = 1 << 20;

    // Zeros are synced in pieces, so that a sync of the log never waits behind all of them.
    private const int ZeroSyncBytes = 8 << 20;

    // One free file beside the spare is kept for the next preparation: more would only be disk space.
    private const int FreeFilesKept = 1;

    private readonly IDisk _disk;
    private readonly long _segmentBytes;
    private readonly Lock _preparing = new();
    private readonly Lock _state = new();
    private readonly Queue<SegmentFile> _free;
    private SegmentFile? _spare;
    private int _lastNumber;
    private bool _disposed;

    internal SegmentPool(IDisk disk, long segmentBytes, IEnumerable<SegmentFile> free, int lastNumber)
    {
        _disk = disk;
        _segmentBytes = segmentBytes;
        _free = new Queue<SegmentFile>(free);
        _lastNumber = lastNumber;
    }

    /// <summary>Whether <see cref="Prepare"/> has something to do.</summary>
    public bool NeedsPreparing
    {
        get
        {
            lock (_state)
            {
                return !_disposed && (_spare is null || _free.Count > FreeFilesKept);
            }
        }
    }

    /// <summary>Bytes of a segment.</summary>
    public long SegmentBytes => _segmentBytes;

    /// <summary>Files held, the spare among them.</summary>
    public int Count
    {
        get
        {
            lock (_state)
            {
                return _free.Count + (_spare is null ? 0 : 1);
            }
        }
    }

    /// <summary>Gives back the file of a segment that is no longer needed. Never waits for a preparation.</summary>
    public void Free(SegmentFile file)
    {
        lock (_state)
        {
            _free.Enqueue(file);
        }
    }

    /// <summary>
    /// The ready file, or one made ready now, at least <paramref name="bytes"/> long. More than a segment's bytes gives
    /// a new file of its own.
    /// </summary>
    public SegmentFile Take(long bytes)
    {
        if (bytes > _segmentBytes)
        {
            lock (_preparing)
            {
                return Create(bytes);
            }
        }

        if (TakeSpare() is { } ready)
        {
            return ready;
        }

        // Either nobody has prepared one, or somebody is about to: then it is there once the lock is ours.
        lock (_preparing)
        {
            return TakeSpare() ?? MakeReady();
        }
    }

    /// <summary>Makes a spare ready if there is none, and deletes files beyond need. Blocks for as long as the zeros take.</summary>
    public void Prepare()
    {
        lock (_preparing)
        {
            lock (_state)
            {
                if (_disposed)
                {
                    return;
                }
            }

            if (!HasSpare())
            {
                var spare = MakeReady();
                lock (_state)
                {
                    _spare = spare;
                }
            }

            while (TakeFree(FreeFilesKept) is { } surplus)
            {
                Delete(surplus);
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (_preparing)
        {
            lock (_state)
            {
                _disposed = true;
                _spare?.File.Dispose();
                _spare = null;
                while (_free.TryDequeue(out var file))
                {
                    file.File.Dispose();
                }
            }
        }
    }

    private bool HasSpare()
    {
        lock (_state)
        {
            return _spare is not null;
        }
    }

    private SegmentFile? TakeSpare()
    {
        lock (_state)
        {
            var spare = _spare;
            _spare = null;
            return spare;
        }
    }

    private SegmentFile? TakeFree(int keep)
    {
        lock (_state)
        {
            return _free.Count > keep ? _free.Dequeue() : null;
        }
    }

    private SegmentFile MakeReady()
    {
        while (TakeFree(0) is { } file)
        {
            if (file.File.Length > _segmentBytes)
            {
                // It held a batch larger than a segment, or segments were larger once.
                Delete(file);
                continue;
            }

            WipeHeader(file);
            Fill(file, _segmentBytes);
            return file;
        }

        return Create(_segmentBytes);
    }

    private SegmentFile Create(long bytes)
    {
        var name = SegmentFile.NameOf(++_lastNumber);
        var file = new SegmentFile(name, _disk.Open(name));
        Fill(file, bytes);
        try
        {
            _disk.SyncDirectory();
        }
        catch (IOException)
        {
            Abandon(file);
            throw;
        }

        return file;
    }

    private void WipeHeader(SegmentFile file)
    {
        Span<byte> zeros = stackalloc byte[SegmentHeader.Bytes];
        zeros.Clear();
        try
        {
            file.File.Write(0, zeros);
            file.File.Sync();
        }
        catch (IOException)
        {
            Abandon(file);
            throw;
        }
    }

    private void Fill(SegmentFile file, long bytes)
    {
        var from = file.File.Length;
        if (from >= bytes)
        {
            return;
        }

        var zeros = ArrayPool<byte>.Shared.Rent((int)Math.Min(ZeroChunkBytes, bytes));
        zeros.AsSpan().Clear();
        try
        {
            file.File.Preallocate(bytes);
            while (from < bytes)
            {
                var count = (int)Math.Min(zeros.Length, bytes - from);
                file.File.Write(from, zeros.AsSpan(0, count));
                from += count;
                if (from % ZeroSyncBytes == 0 || from == bytes)
                {
                    file.File.Sync();
                }
            }
        }
        catch (IOException)
        {
            Abandon(file);
            throw;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(zeros);
        }
    }

    // After a failed write or sync nothing is known about the file: it is never used again, and on a full disk its room
    // is what is needed most. That it may come back after a crash does no harm: it holds zeros, or is no segment.
    private void Abandon(SegmentFile file)
    {
        try
        {
            Delete(file);
        }
        catch (IOException)
        {
            // The failure that led here is the one to report.
        }
    }

    private void Delete(SegmentFile file)
    {
        file.File.Dispose();
        _disk.Delete(file.Name);
    }
}
