using System.Buffers;

namespace Flotilla.Shards.Image;

/// <summary>
/// Turns an image into blocks, one per call, so that whoever writes or sends them may do other things in between. Equal
/// states give equal blocks. A block takes well under a millisecond. One thread at a time, but any: the image is immutable.
/// </summary>
public sealed class ImageWriter
{
    /// <summary>No block is longer, in bytes. The only ones much shorter are the first ones, and the last of each kind.</summary>
    public const int MaxBlockBytes = 256 << 10;

    private static readonly BlockKind[] Order =
        [BlockKind.Header, BlockKind.Slots, BlockKind.Ownership, BlockKind.Sessions, BlockKind.Keys, BlockKind.Records, BlockKind.End];

    private readonly StateImage _image;
    private readonly SessionBlocks _sessions;
    private readonly KeyBlocks _keys;
    private readonly RecordBlocks _records;
    private int _next; // in Order
    private int _ownershipAt;
    private long _number;

    /// <summary>A writer at the first block.</summary>
    public ImageWriter(StateImage image)
    {
        ArgumentNullException.ThrowIfNull(image);
        _image = image;
        _sessions = new SessionBlocks(image.Sessions);
        _keys = new KeyBlocks(image.Keys);
        _records = new RecordBlocks(image.Records);
    }

    /// <summary>Writes the next block, which is all that is added to <paramref name="to"/>. False when there is none left.</summary>
    public bool TryWrite(IBufferWriter<byte> to)
    {
        ArgumentNullException.ThrowIfNull(to);
        var block = to.GetMemory(MaxBlockBytes)[..MaxBlockBytes];
        var at = Encoded.WriteVarint(block.Span, 0, (ulong)_number);
        for (; _next < Order.Length; _next++)
        {
            var end = Order[_next] switch
            {
                BlockKind.Header => WriteHeader(block.Span, at),
                BlockKind.Slots => WriteSlots(block.Span, at),
                BlockKind.Ownership => WriteOwnership(block.Span, at),
                BlockKind.Sessions => _sessions.Write(block.Span, at),
                BlockKind.Keys => _keys.Write(block.Span, at),
                BlockKind.Records => _records.Write(block, at),
                BlockKind.End => WriteEnd(block.Span, at),
                _ => 0, // Large records and their pieces come among the records.
            };
            if (end > 0)
            {
                if (Order[_next] is BlockKind.Header or BlockKind.Slots or BlockKind.End)
                {
                    _next++; // There is one of each.
                }

                _number++;
                to.Advance(end);
                return true;
            }
        }

        return false;
    }

    // header = magic:4 × u8  format:u8  lastApplied:varint  lastTerm:varint  logTime:varint (ms)
    //          sessions:varint  results:varint  keys:varint  records:varint   configuration:bytes
    private int WriteHeader(Span<byte> to, int at)
    {
        to[at++] = (byte)BlockKind.Header;
        ImageFormat.Magic.CopyTo(to[at..]);
        at += ImageFormat.Magic.Length;
        to[at++] = ImageFormat.Version;
        at = Encoded.WriteVarint(to, at, _image.LastApplied.Value);
        at = Encoded.WriteVarint(to, at, _image.LastTerm.Value);
        at = Encoded.WriteVarint(to, at, (ulong)_image.LogTimeMs);
        at = Encoded.WriteVarint(to, at, (uint)_image.Sessions.Length);
        at = Encoded.WriteVarint(to, at, (ulong)_image.ResultCount);
        at = Encoded.WriteVarint(to, at, (ulong)_image.Keys.Count);
        at = Encoded.WriteVarint(to, at, (ulong)_image.Records.Count);
        return Encoded.WriteBytes(to, at, _image.Configuration.Span);
    }

    // slots = runs of (epoch:varint  count:varint), neighbours with different epochs, 16384 slots in all
    private int WriteSlots(Span<byte> to, int at)
    {
        to[at++] = (byte)BlockKind.Slots;
        foreach (var (epoch, count) in _image.Slots.Runs())
        {
            at = Encoded.WriteVarint(to, at, epoch.Value);
            at = Encoded.WriteVarint(to, at, (uint)count);
        }

        return at;
    }

    private int WriteOwnership(Span<byte> to, int at)
    {
        var rest = _image.Ownership.AsSpan(_ownershipAt);
        if (rest.IsEmpty)
        {
            return 0;
        }

        to[at++] = (byte)BlockKind.Ownership;
        var piece = rest[..Math.Min(rest.Length, to.Length - at)];
        piece.CopyTo(to[at..]);
        _ownershipAt += piece.Length;
        return at + piece.Length;
    }

    private static int WriteEnd(Span<byte> to, int at)
    {
        to[at] = (byte)BlockKind.End;
        return at + 1;
    }
}
