using Flotilla.Storage.Disk;

namespace Flotilla.Storage.Snapshots;

/// <summary>
/// A snapshot that is being sent: its file as plain bytes, at any offset. Pinned until <see cref="Dispose"/>, so that it can
/// be sent to its end though a newer one has come (hazard 28). Any thread, several at once.
/// </summary>
public sealed class SnapshotSource : IDisposable
{
    private readonly IDiskFile _file;
    private readonly Action _closed;
    private int _disposed;

    internal SnapshotSource(IDiskFile file, SnapshotInfo info, Action closed)
    {
        _file = file;
        Info = info;
        _closed = closed;
    }

    /// <summary>The snapshot that is sent. The receiver must be told all of it before the first chunk.</summary>
    public SnapshotInfo Info { get; }

    /// <summary>
    /// Reads bytes of the file as they are, from <paramref name="offset"/> (0 to <c>Info.Bytes</c>) on: as many as fit and are
    /// there; 0 at the end. They are not verified here: the receiver verifies the whole file.
    /// </summary>
    public int Read(long offset, Span<byte> into)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        return _file.Read(offset, into);
    }

    /// <summary>Closes the file and lets go of it. Not while a <see cref="Read"/> is under way.</summary>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref _disposed, 1) == 0)
        {
            _file.Dispose();
            _closed();
        }
    }
}
