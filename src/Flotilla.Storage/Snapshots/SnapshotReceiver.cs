using Flotilla.Storage.Disk;
using Flotilla.Wire.Log;

namespace Flotilla.Storage.Snapshots;

/// <summary>What became of a chunk.</summary>
public enum ChunkOutcome
{
    /// <summary>It is written, and <see cref="SnapshotReceiver.NextOffset"/> has moved behind it.</summary>
    Written = 0,

    /// <summary>It doesn't begin at <see cref="SnapshotReceiver.NextOffset"/> (a repeated, early or lost chunk): nothing was written. Send from there.</summary>
    NotNext = 1,

    /// <summary>It doesn't fit its checksum, or goes beyond the announced length: nothing was written. Send it again.</summary>
    Damaged = 2,
}

/// <summary>
/// Takes in a snapshot file from another node, chunk by chunk, beside its place; verifies it whole and puts it there. Chunks
/// belong to one file, which its random id names: those of another attempt go to another receiver (hazard 25). For one thread
/// at a time, any thread; one receiver a group. Memory: none but the chunk.
/// </summary>
/// <remarks>An <see cref="IOException"/> ends it and harms nothing else: what was received is deleted, and it may be tried again.</remarks>
public sealed class SnapshotReceiver : IDisposable
{
    private readonly SnapshotStore _store;
    private readonly PartialSnapshot _partial;
    private readonly IDiskFile _file;
    private bool _closed;

    internal SnapshotReceiver(SnapshotStore store, PartialSnapshot partial, IDiskFile file)
    {
        _store = store;
        _partial = partial;
        _file = file;
    }

    /// <summary>The snapshot as it was announced.</summary>
    public SnapshotInfo Info => _partial.Info;

    /// <summary>Where the next chunk must begin: above 0 at first if an interrupted transfer is resumed.</summary>
    public long NextOffset => _partial.NextOffset;

    /// <summary>All bytes are there, and <see cref="Complete"/> may be called.</summary>
    public bool IsWhole => NextOffset == Info.Bytes;

    /// <summary>
    /// Writes a chunk. <paramref name="crc"/> is <see cref="Crc32C.Compute"/> of its bytes, begun with 0. Bytes that are
    /// written are not yet durable, and mean nothing before <see cref="Complete"/>.
    /// </summary>
    public ChunkOutcome Write(long offset, ReadOnlySpan<byte> bytes, uint crc)
    {
        ThrowIfClosed();
        if (offset != NextOffset)
        {
            return ChunkOutcome.NotNext;
        }

        if (bytes.Length > Info.Bytes - offset || Crc32C.Compute(0, bytes) != crc)
        {
            return ChunkOutcome.Damaged;
        }

        try
        {
            _file.Write(offset, bytes);
            _partial.NextOffset += bytes.Length;
            if (_partial.NextOffset - _partial.Synced >= SnapshotWriter.SyncBytes)
            {
                _file.Sync();
                _partial.Synced = _partial.NextOffset;
            }
        }
        catch (IOException)
        {
            Abandon();
            throw;
        }

        return ChunkOutcome.Written;
    }

    /// <summary>
    /// Verifies the whole file as a reader would, and that it is what was announced; makes it durable and puts it in its
    /// place. Reads all of it: not on a thread that others wait for.
    /// </summary>
    /// <exception cref="SnapshotRefusedException">It is not what was announced, or not sound. It is deleted.</exception>
    public SnapshotInfo Complete()
    {
        ThrowIfClosed();
        if (!IsWhole)
        {
            throw new InvalidOperationException($"{NextOffset} of {Info.Bytes} bytes were received.");
        }

        try
        {
            _file.Sync();
            using (var reader = new SnapshotReader(_file, Info, Refused, closed: null))
            {
                reader.ReadToEnd();
            }

            var info = _store.Publish(_partial.Name, Info);
            _closed = true;
            _store.Forget(_partial);
            return info;
        }
        catch (IOException)
        {
            Abandon();
            throw;
        }
    }

    /// <summary>Deletes what was received. For a transfer that nobody will resume.</summary>
    public void Abandon()
    {
        if (!_closed)
        {
            _closed = true;
            _file.Dispose();
            _store.Abandon(_partial.Name);
            _store.Forget(_partial);
        }
    }

    /// <summary>
    /// Without <see cref="Complete"/> before: closes the file and keeps what was received, for a
    /// <see cref="SnapshotStore.BeginReceive"/> of the very same snapshot to go on with. One of another, and the next start, delete it.
    /// </summary>
    public void Dispose()
    {
        if (!_closed)
        {
            _closed = true;
            _file.Dispose();
            _store.Park(_partial);
        }
    }

    private void ThrowIfClosed()
    {
        if (_closed)
        {
            throw new InvalidOperationException("This transfer was completed, failed, or was disposed of.");
        }
    }

    private SnapshotRefusedException Refused(long offset, string what) =>
        new($"The snapshot {Info} that was received can't be used (offset {offset}: {what}). It was deleted; the sender has to send it again, or another.");
}

/// <summary>A snapshot of which some bytes were received. It belongs to the one receiver at work on it; without one it is parked.</summary>
internal sealed class PartialSnapshot(SnapshotInfo info, string name)
{
    public SnapshotInfo Info { get; } = info;

    public string Name { get; } = name;

    public long NextOffset { get; set; }

    public long Synced { get; set; }

    /// <summary>A receiver is at work on it. Changes under the lock of the store.</summary>
    public bool IsInUse { get; set; } = true;
}
