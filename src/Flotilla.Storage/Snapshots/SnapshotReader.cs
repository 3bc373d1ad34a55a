using System.Buffers;
using System.Buffers.Binary;
using Flotilla.Storage.Disk;

namespace Flotilla.Storage.Snapshots;

/// <summary>
/// Reads the blocks of a snapshot in order and verifies every byte. The file is pinned until <see cref="Dispose"/>. For one
/// thread at a time, any thread. Memory: one block.
/// </summary>
public sealed class SnapshotReader : IDisposable
{
    private readonly IDiskFile _file;
    private readonly SnapshotInfo _expected;
    private readonly Func<long, string, IOException> _damaged;
    private readonly Action? _closed;
    private byte[] _buffer = [];
    private ulong _blocks;
    private uint _checksum;
    private bool _begun;
    private bool _ended;
    private bool _disposed;

    internal SnapshotReader(IDiskFile file, SnapshotInfo expected, Func<long, string, IOException> damaged, Action? closed)
    {
        _file = file;
        _expected = expected;
        _damaged = damaged;
        _closed = closed;
    }

    /// <summary>The snapshot that is read.</summary>
    public SnapshotInfo Info => _expected;

    /// <summary>Bytes of the file read and verified so far.</summary>
    public long Offset { get; private set; }

    /// <summary>
    /// Goes on to the next block, which is valid until the next call. False at the end: only then is it certain that the
    /// snapshot is whole, so nothing that was read may be used for good before.
    /// </summary>
    /// <exception cref="SnapshotCorruptException">The file is not as it was written.</exception>
    public bool TryRead(out ReadOnlySpan<byte> block)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        block = default;
        if (_ended)
        {
            return false;
        }

        if (!_begun)
        {
            ReadHeader();
        }

        Span<byte> head = stackalloc byte[SnapshotFormat.BlockHeadBytes];
        if (_file.Read(Offset, head) < head.Length)
        {
            throw _damaged(Offset, "the file ends here, where a block or the footer should be");
        }

        var length = BinaryPrimitives.ReadUInt32LittleEndian(head);
        if (length == 0)
        {
            ReadFooter();
            return false;
        }

        if (length > SnapshotStore.MaxBlockBytes || length > _file.Length - Offset - SnapshotFormat.BlockHeadBytes)
        {
            throw _damaged(Offset, $"a block of {length} bytes can't be here");
        }

        var bytes = Buffer((int)length);
        var read = _file.Read(Offset + SnapshotFormat.BlockHeadBytes, bytes);
        var checksum = SnapshotFormat.BlockChecksum(head, bytes, _checksum);
        if (read < bytes.Length || checksum != BinaryPrimitives.ReadUInt32LittleEndian(head[4..]))
        {
            throw _damaged(Offset, $"the block of {length} bytes here does not fit its checksum");
        }

        _checksum = checksum;
        _blocks++;
        Offset += SnapshotFormat.BlockHeadBytes + length;
        block = bytes;
        return true;
    }

    /// <summary>Closes the file and lets go of it.</summary>
    public void Dispose()
    {
        if (_disposed)
        {
            return;
        }

        _disposed = true;
        if (_buffer.Length > 0)
        {
            ArrayPool<byte>.Shared.Return(_buffer);
            _buffer = [];
        }

        _file.Dispose();
        _closed?.Invoke();
    }

    /// <summary>Reads to the end: returns if the whole file is sound, and throws as <see cref="TryRead"/> does if not.</summary>
    internal void ReadToEnd()
    {
        while (TryRead(out _))
        {
        }
    }

    private void ReadHeader()
    {
        Span<byte> header = stackalloc byte[SnapshotFormat.HeaderBytes];
        header = header[.._file.Read(0, header)];
        if (!SnapshotFormat.TryReadHeader(header, _file.Length, out var info, out _checksum))
        {
            throw _damaged(0, "its header is damaged");
        }

        if (info != _expected)
        {
            throw _damaged(0, $"it says that it is {info}, not {_expected}");
        }

        Offset = SnapshotFormat.HeaderBytes;
        _begun = true;
    }

    private void ReadFooter()
    {
        Span<byte> footer = stackalloc byte[SnapshotFormat.FooterBytes];
        footer = footer[.._file.Read(Offset, footer)];
        if (!SnapshotFormat.TryReadFooter(footer, _file.Length, out var blocks, out var previous) || previous != _checksum || blocks != _blocks)
        {
            throw _damaged(Offset, "its footer is damaged");
        }

        Offset += SnapshotFormat.FooterBytes;
        if (Offset != _file.Length)
        {
            throw _damaged(Offset, "something stands behind its footer");
        }

        _ended = true;
    }

    private Span<byte> Buffer(int bytes)
    {
        if (_buffer.Length < bytes)
        {
            if (_buffer.Length > 0)
            {
                ArrayPool<byte>.Shared.Return(_buffer);
            }

            _buffer = ArrayPool<byte>.Shared.Rent(bytes);
        }

        return _buffer.AsSpan(0, bytes);
    }
}
