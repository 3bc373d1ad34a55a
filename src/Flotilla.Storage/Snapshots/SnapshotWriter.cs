using System.Buffers;
using Flotilla.Storage.Disk;

namespace Flotilla.Storage.Snapshots;

/// <summary>
/// Writes one snapshot to a file beside its place, and puts it there when it is whole and durable. For one thread at a time,
/// any thread; as many writers as wanted, of one group too. Memory: one buffer, whatever the snapshot's size.
/// </summary>
/// <remarks>
/// An <see cref="IOException"/> (a full disk, a failed sync) ends this snapshot and harms nothing else: its file is deleted,
/// and another may be tried later. It is never gone on with, since after a failed sync bytes may be missing (fsyncgate).
/// </remarks>
public sealed class SnapshotWriter : IDisposable
{
    // Synced in pieces, so that a sync of the log never waits behind all of a snapshot.
    internal const int SyncBytes = 2 << 20;

    private const int BufferBytes = 512 << 10;

    private readonly SnapshotStore _store;
    private readonly SnapshotInfo _draft;
    private readonly string _name;
    private readonly IDiskFile _file;
    private byte[]? _buffer;
    private int _filled;
    private long _written;
    private long _synced;
    private ulong _blocks;
    private uint _checksum;

    internal SnapshotWriter(SnapshotStore store, SnapshotInfo draft, string name, IDiskFile file)
    {
        _store = store;
        _draft = draft;
        _name = name;
        _file = file;
        _buffer = ArrayPool<byte>.Shared.Rent(BufferBytes);
        _checksum = SnapshotFormat.WriteHeader(_buffer, draft);
        _filled = SnapshotFormat.HeaderBytes;
    }

    /// <summary>Bytes of the file so far.</summary>
    public long Bytes => _written + _filled;

    /// <summary>
    /// Adds a block: 1 byte to <see cref="SnapshotStore.MaxBlockBytes"/>, of which about 256 KiB serve best. The bytes are copied or written before it returns.
    /// </summary>
    public void Append(ReadOnlySpan<byte> block)
    {
        ArgumentOutOfRangeException.ThrowIfZero(block.Length, nameof(block));
        ArgumentOutOfRangeException.ThrowIfGreaterThan(block.Length, SnapshotStore.MaxBlockBytes, nameof(block));
        var buffer = Buffer;
        try
        {
            if (_filled + SnapshotFormat.BlockHeadBytes + block.Length > buffer.Length)
            {
                Flush(buffer);
            }

            _checksum = SnapshotFormat.WriteBlockHead(buffer.AsSpan(_filled), block, _checksum);
            _filled += SnapshotFormat.BlockHeadBytes;
            if (_filled + block.Length <= buffer.Length)
            {
                block.CopyTo(buffer.AsSpan(_filled));
                _filled += block.Length;
            }
            else
            {
                Flush(buffer);
                Write(block);
            }

            _blocks++;
        }
        catch (IOException)
        {
            Dispose();
            throw;
        }
    }

    /// <summary>Ends the file and puts it in its place. When this returns, the snapshot is durable and is what <see cref="SnapshotStore.Latest"/> may answer.</summary>
    public SnapshotInfo Complete()
    {
        var buffer = Buffer;
        try
        {
            if (_filled + SnapshotFormat.FooterBytes > buffer.Length)
            {
                Flush(buffer);
            }

            var info = _draft with { Bytes = Bytes + SnapshotFormat.FooterBytes };
            SnapshotFormat.WriteFooter(buffer.AsSpan(_filled), _blocks, info.Bytes, _checksum);
            _filled += SnapshotFormat.FooterBytes;
            Flush(buffer);
            _file.Sync();
            Close();
            return _store.Publish(_name, info);
        }
        catch (IOException)
        {
            Dispose();
            throw;
        }
    }

    /// <summary>Without <see cref="Complete"/> before, the unfinished file is deleted.</summary>
    public void Dispose()
    {
        if (_buffer is not null)
        {
            Close();
            _store.Abandon(_name);
        }
    }

    private byte[] Buffer => _buffer ?? throw new InvalidOperationException("This snapshot was completed, failed, or was disposed of.");

    private void Close()
    {
        if (_buffer is { } buffer)
        {
            _buffer = null;
            ArrayPool<byte>.Shared.Return(buffer);
            _file.Dispose();
        }
    }

    private void Flush(byte[] buffer)
    {
        var filled = _filled;
        _filled = 0;
        Write(buffer.AsSpan(0, filled));
    }

    private void Write(ReadOnlySpan<byte> bytes)
    {
        _file.Write(_written, bytes);
        _written += bytes.Length;
        if (_written - _synced >= SyncBytes)
        {
            _file.Sync();
            _synced = _written;
        }
    }
}
