using System.Buffers;
using Flotilla.Storage.Disk;
using Flotilla.Wire.Log;

namespace Flotilla.Storage.Segments;

/// <summary>
/// Walks over the batches of one segment through a window that moves forward, and searches behind its end for proof that
/// more was durable. For recovery; not thread-safe.
/// </summary>
internal sealed class SegmentReader : IDisposable
{
    private const int WindowBytes = 1 << 20;

    private byte[] _window = ArrayPool<byte>.Shared.Rent(WindowBytes);
    private IDiskFile _file;
    private long _start;
    private int _filled;

    internal SegmentReader(IDiskFile file) => _file = file;

    /// <summary>Turns to another file.</summary>
    public void Use(IDiskFile file)
    {
        _file = file;
        _start = 0;
        _filled = 0;
    }

    /// <summary>
    /// Reads the batch at <paramref name="offset"/> if it is whole, of this generation, and continues <paramref name="previous"/>.
    /// Its records are valid until the next call.
    /// </summary>
    public bool TryReadBatch(long offset, ulong generation, uint previous, out BatchHeader header, out ReadOnlySpan<byte> records)
    {
        records = default;
        if (!BatchHeader.TryRead(Window(offset, BatchHeader.Bytes), out header)
            || header.Generation != generation || header.Previous != previous
            || header.Durable > (ulong)offset || header.BatchBytes > _file.Length - offset || header.BatchBytes > Array.MaxLength)
        {
            return false;
        }

        var batch = Window(offset, (int)header.BatchBytes);
        if (batch.Length < header.BatchBytes)
        {
            return false;
        }

        records = batch[BatchHeader.Bytes..];
        return header.ComputeChecksum(records, verify: true) == header.Checksum;
    }

    /// <summary>
    /// Searches behind <paramref name="end"/> for the head of any batch of this generation that names a higher offset as
    /// durable: then what stands at <paramref name="end"/> is damaged, not torn.
    /// </summary>
    /// <param name="end">Where the walk over the batches stopped.</param>
    /// <param name="generation">The segment's generation.</param>
    /// <param name="witness">The offset of that batch.</param>
    /// <param name="durable">The offset that it names.</param>
    /// <param name="clean">True if there is nothing but zeros behind <paramref name="end"/>.</param>
    public bool TryFindWitness(long end, ulong generation, out long witness, out ulong durable, out bool clean)
    {
        clean = true;
        Span<byte> pattern = stackalloc byte[sizeof(ulong)];
        System.Buffers.Binary.BinaryPrimitives.WriteUInt64LittleEndian(pattern, generation);
        var at = end;
        while (at < _file.Length)
        {
            var window = Window(at, WindowBytes);
            clean = clean && window.IndexOfAnyExcept((byte)0) < 0;
            for (var from = 0; !clean && from < window.Length;)
            {
                var hit = window[from..].IndexOf(pattern);
                if (hit < 0)
                {
                    break;
                }

                var head = from + hit - BatchHeader.GenerationOffset;
                if (head >= 0 && BatchHeader.TryRead(window[head..], out var header) && header.Durable > (ulong)end)
                {
                    witness = at + head;
                    durable = header.Durable;
                    return true;
                }

                from += hit + 1;
            }

            if (window.Length < WindowBytes)
            {
                break;
            }

            // The windows overlap by a head, so that none is missed between two.
            at += WindowBytes - BatchHeader.Bytes;
        }

        witness = 0;
        durable = 0;
        return false;
    }

    /// <inheritdoc/>
    public void Dispose() => ArrayPool<byte>.Shared.Return(_window);

    // Up to that many bytes of the file at that offset; fewer only at its end.
    private ReadOnlySpan<byte> Window(long offset, int bytes)
    {
        if (offset < _start || offset + bytes > _start + _filled)
        {
            if (bytes > _window.Length)
            {
                ArrayPool<byte>.Shared.Return(_window);
                _window = ArrayPool<byte>.Shared.Rent(bytes);
            }

            _start = offset;
            _filled = _file.Read(offset, _window);
        }

        var skip = (int)(offset - _start);
        return _window.AsSpan(skip, Math.Min(bytes, _filled - skip));
    }
}
