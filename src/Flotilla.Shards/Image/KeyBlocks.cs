using System.Buffers.Binary;
using Flotilla.Shards.ExactlyOnce;
using Flotilla.Topology;

namespace Flotilla.Shards.Image;

/// <summary>Writes idempotency keys into blocks, as many into each as fit, in the order of the table.</summary>
/// <remarks><code>
/// key = lane:varint (not below the one before)  due:varint (ms)  slot:varint  name:16 × u8  digest:8 × u8
///       code:u8 (0x80 set: with a number)  version  [number:zigzag varint]
/// </code></remarks>
internal sealed class KeyBlocks(KeyImage image)
{
    /// <summary>Set in a code: a number follows the version.</summary>
    public const byte WithNumber = 0x80;

    /// <summary>Bytes of a name.</summary>
    public const int NameBytes = 16;

    // The lane and the slot take 3 at most, the digest 8, the code 1; due, number and the parts of the version are varints.
    private const int MaxItemBytes = 3 + 3 + NameBytes + sizeof(ulong) + 1 + (6 * Encoded.MaxVarintBytes);

    private int _run;
    private int _done; // of the run

    /// <summary>Writes kind and content of the next block behind <paramref name="at"/>; where it ends, or 0 if there is no more.</summary>
    public int Write(Span<byte> to, int at)
    {
        var runs = image.Runs;
        if (_run == runs.Length)
        {
            return 0;
        }

        to[at++] = (byte)BlockKind.Keys;
        while (_run < runs.Length && at + MaxItemBytes <= to.Length)
        {
            var run = runs[_run];
            var key = run.Page[run.From + _done];
            at = Encoded.WriteVarint(to, at, (ulong)run.Lane);
            at = Encoded.WriteVarint(to, at, (ulong)key.DueMs);
            at = Encoded.WriteVarint(to, at, key.Slot.Value);
            BinaryPrimitives.WriteUInt128LittleEndian(to[at..], key.Name);
            BinaryPrimitives.WriteUInt64LittleEndian(to[(at + NameBytes)..], key.Digest);
            at += NameBytes + sizeof(ulong);
            to[at++] = (byte)((byte)key.Code | (key.Number is null ? 0 : WithNumber));
            at = Encoded.WriteVersion(to, at, key.Version);
            at = key.Number is { } number ? Encoded.WriteVarint(to, at, Encoded.ZigZag(number)) : at;
            if (++_done == run.To - run.From)
            {
                _run++;
                _done = 0;
            }
        }

        return at;
    }
}

/// <summary>Takes a key that was read, with its lane.</summary>
internal delegate void KeyHandler(int lane, in KeyRecord key);

/// <summary>Reads idempotency keys, from images of every format.</summary>
internal sealed class KeyBlocksReader(KeyHandler handler, byte format, long logTimeMs)
{
    private const int DigestBytesOfFormat1 = 16;

    private readonly byte[] _last = new byte[sizeof(ushort) + Once.ByKey.MaxKeyBytes];
    private int _lastBytes;
    private int _lastLane;

    /// <summary>How many have come.</summary>
    public long Count { get; private set; }

    /// <summary>Reads the content of one block.</summary>
    public void Read(ref EncodedReader<MalformedImageException> reader)
    {
        while (reader.Remaining > 0)
        {
            var key = format == 1 ? ReadOfFormat1(ref reader, out var lane) : ReadKey(ref reader, out lane);
            reader.Require(key.IsValid, "an idempotency key cannot have been recorded");
            handler(lane, in key);
            Count++;
        }
    }

    private KeyRecord ReadKey(ref EncodedReader<MalformedImageException> reader, out int lane)
    {
        lane = reader.Int32(1, KeyLane.End - 1);
        reader.Require(lane >= _lastLane, "idempotency keys are out of order");
        _lastLane = lane;
        var dueMs = (long)reader.Varint(long.MaxValue);
        var slot = new Slot((ushort)reader.Varint(Slot.Count - 1));
        var name = BinaryPrimitives.ReadUInt128LittleEndian(reader.Take(KeyBlocks.NameBytes).Span);
        var digest = BinaryPrimitives.ReadUInt64LittleEndian(reader.Take(sizeof(ulong)).Span);
        var code = reader.Byte();
        var version = reader.Version();
        long? number = (code & KeyBlocks.WithNumber) != 0 ? Encoded.UnZigZag(reader.Varint(ulong.MaxValue)) : null;
        return new KeyRecord(name, digest, slot, (ResultCode)(code & ~KeyBlocks.WithNumber), version, number, dueMs);
    }

    // item = key:bytes (slot:u16 big-endian, idempotency key)  version  expiry:varint  value:bytes (digest:16 × u8  code:u8  text)
    // in the order of keys. What it says of a key is all that the name and the record are made of, except for the life that was
    // asked for: what is left of it says when the key falls due among the others as well.
    private KeyRecord ReadOfFormat1(ref EncodedReader<MalformedImageException> reader, out int lane)
    {
        var key = reader.Bytes().Span;
        reader.Require(key.Length > sizeof(ushort) && key.Length <= _last.Length && BinaryPrimitives.ReadUInt16BigEndian(key) < Slot.Count, "an idempotency key is empty or too long");
        reader.Require(key.SequenceCompareTo(_last.AsSpan(0, _lastBytes)) > 0, "idempotency keys are out of order");
        key.CopyTo(_last);
        _lastBytes = key.Length;
        var version = reader.Version();
        var dueMs = (long)reader.Varint(long.MaxValue);
        var value = reader.Bytes().Span;
        long number = 0;
        var hasNumber = value.Length > DigestBytesOfFormat1 + 1;
        reader.Require(
            value.Length > DigestBytesOfFormat1 && (!hasNumber || StateMachine.TryParseInteger(value[(DigestBytesOfFormat1 + 1)..], out number)),
            "an idempotency key cannot have been recorded");
        var slot = new Slot(BinaryPrimitives.ReadUInt16BigEndian(key));
        lane = KeyLane.For(Math.Max(1, dueMs - logTimeMs));
        return new KeyRecord(
            Digest128.OfKey(slot, key[sizeof(ushort)..]),
            BinaryPrimitives.ReadUInt64LittleEndian(value),
            slot,
            (ResultCode)value[DigestBytesOfFormat1],
            version,
            hasNumber ? number : null,
            dueMs);
    }
}
