using Flotilla.Data;
using Version = Flotilla.Data.Version;

namespace Flotilla.Shards.Image;

/// <summary>
/// Writes the records of a view into blocks, as many into each as fit, in key order. Keeps its place as a key, so that
/// nothing is held between two blocks.
/// </summary>
/// <remarks><code>
/// record      = key:bytes  version  expiry:varint (ms; 0 = never)  value:bytes
/// LargeRecord = key:bytes  version  expiry:varint  value's length:varint  and as much of the value as fits
/// Piece       = as much of the rest as fits
/// </code></remarks>
internal sealed class RecordBlocks(IRecordView view)
{
    private byte[] _from = [];
    private bool _isDone;
    private ReadOnlyMemory<byte> _rest; // of the large record at hand

    /// <summary>Writes kind and content of the next block behind <paramref name="at"/>; where it ends, or 0 if there is no more.</summary>
    public int Write(Memory<byte> block, int at)
    {
        if (!_rest.IsEmpty)
        {
            block.Span[at] = (byte)BlockKind.Piece;
            return WritePiece(block.Span, at + 1);
        }

        if (_isDone)
        {
            return 0;
        }

        block.Span[at] = (byte)BlockKind.Records;
        var filler = new Filler(block, at + 1);
        view.Visit(_from, ref filler);
        _isDone = filler.NoRoomFor is null;
        _from = filler.NoRoomFor ?? [];
        return filler.At > at + 1 ? filler.At
            : _isDone ? 0
            : WriteLarge(block.Span, at);
    }

    private int WriteLarge(Span<byte> to, int at)
    {
        if (!view.TryGet(_from, out var record))
        {
            throw new InvalidOperationException("A record of a snapshot is there in a visit and not in a get.");
        }

        to[at] = (byte)BlockKind.LargeRecord;
        at = Encoded.WriteBytes(to, at + 1, record.Key.Span);
        at = Encoded.WriteVersion(to, at, record.Version);
        at = Encoded.WriteVarint(to, at, (ulong)record.ExpiresAtMs);
        at = Encoded.WriteVarint(to, at, (uint)record.Value.Length);
        _rest = record.Value;
        _from = [.. _from, 0]; // The lowest key above it.
        return WritePiece(to, at);
    }

    private int WritePiece(Span<byte> to, int at)
    {
        var length = Math.Min(_rest.Length, to.Length - at);
        _rest.Span[..length].CopyTo(to[at..]);
        _rest = _rest[length..];
        return at + length;
    }

    private struct Filler(Memory<byte> block, int at) : IRecordVisitor
    {
        public int At { get; private set; } = at;

        /// <summary>The key at which it stopped; null if it saw all.</summary>
        public byte[]? NoRoomFor { get; private set; }

        public bool Visit(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, Version version, long expiresAtMs)
        {
            var size = (long)Encoded.BytesSize(key.Length) + Encoded.VersionSize(version) + Encoded.VarintSize((ulong)expiresAtMs) + Encoded.BytesSize(value.Length);
            var to = block.Span;
            if (size > to.Length - At)
            {
                NoRoomFor = key.ToArray();
                return false;
            }

            var end = Encoded.WriteBytes(to, At, key);
            end = Encoded.WriteVersion(to, end, version);
            end = Encoded.WriteVarint(to, end, (ulong)expiresAtMs);
            At = Encoded.WriteBytes(to, end, value);
            return true;
        }
    }
}
