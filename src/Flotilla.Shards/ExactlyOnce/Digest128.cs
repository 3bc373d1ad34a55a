using System.Buffers.Binary;
using System.Numerics;
using Flotilla.Topology;

namespace Flotilla.Shards.ExactlyOnce;

/// <summary>
/// SipHash-2-4 with 128 bits of output (Aumasson and Bernstein, INDOCRYPT 2012) under a fixed key: it names idempotency keys
/// and tells the commands under one key apart, alike on all replicas and in every release. By chance two inputs agree once in
/// 2^128 pairs. Since its key is public this is no defence against a client that makes its own two commands or keys collide:
/// that client gets the result of its own first command. Computed in words of 64 bits, lengths first, so it needs no library
/// of the machine.
/// </summary>
internal ref struct Digest128
{
    // "flotilla idempot", for ever: recorded digests depend on it.
    private const ulong Key0 = 0x616c6c69746f6c66;
    private const ulong Key1 = 0x746f706d65646920;

    private ulong _v0;
    private ulong _v1;
    private ulong _v2;
    private ulong _v3;
    private ulong _bytes;

    /// <summary>A digest of nothing yet.</summary>
    public Digest128(ulong key0 = Key0, ulong key1 = Key1)
    {
        _v0 = 0x736f6d6570736575 ^ key0;
        _v1 = 0x646f72616e646f6d ^ key1 ^ 0xee;
        _v2 = 0x6c7967656e657261 ^ key0;
        _v3 = 0x7465646279746573 ^ key1;
    }

    /// <summary>A digest of nothing yet, under the key of everything that is kept.</summary>
    public static Digest128 Begin() => new(Key0, Key1);

    /// <summary>The digest of one command without what makes it happen once: equal for every attempt.</summary>
    public static UInt128 Of(in Command command)
    {
        var digest = new Digest128(Key0, Key1);
        digest.Add((ulong)command.Kind);
        digest.Add((ulong)command.TtlMs);
        digest.Add((ulong)command.Delta);
        digest.Add(((ulong)command.Expected.SlotEpoch << 32) | command.Expected.ModeEpoch);
        digest.Add(command.Expected.Counter);
        digest.Add(command.Expected.Sub);
        digest.Add(command.Key.Span);
        digest.Add(command.Value.Span);
        return digest.Finish();
    }

    /// <summary>The name under which an idempotency key is kept: of the key, and of the slot of the command's own key.</summary>
    public static UInt128 OfKey(Slot slot, ReadOnlySpan<byte> key)
    {
        var digest = new Digest128(Key0, Key1);
        digest.Add(slot.Value);
        digest.Add(key);
        return digest.Finish();
    }

    /// <summary>Adds a word.</summary>
    public void Add(ulong word)
    {
        _v3 ^= word;
        Round();
        Round();
        _v0 ^= word;
        _bytes += sizeof(ulong);
    }

    /// <summary>Adds how many bytes there are, and then the bytes, filled up with zeros to a word.</summary>
    public void Add(ReadOnlySpan<byte> bytes)
    {
        Add((ulong)bytes.Length);
        while (bytes.Length >= sizeof(ulong))
        {
            Add(BinaryPrimitives.ReadUInt64LittleEndian(bytes));
            bytes = bytes[sizeof(ulong)..];
        }

        if (!bytes.IsEmpty)
        {
            Span<byte> last = stackalloc byte[sizeof(ulong)];
            last.Clear();
            bytes.CopyTo(last);
            Add(BinaryPrimitives.ReadUInt64LittleEndian(last));
        }
    }

    /// <summary>The digest of all that was added; the upper half is the one that SipHash gives second.</summary>
    public UInt128 Finish()
    {
        Add(_bytes << 56);
        _v2 ^= 0xee;
        var lower = Final();
        _v1 ^= 0xdd;
        return new UInt128(Final(), lower);
    }

    private ulong Final()
    {
        for (var i = 0; i < 4; i++)
        {
            Round();
        }

        return _v0 ^ _v1 ^ _v2 ^ _v3;
    }

    private void Round()
    {
        _v0 += _v1;
        _v1 = BitOperations.RotateLeft(_v1, 13) ^ _v0;
        _v0 = BitOperations.RotateLeft(_v0, 32);
        _v2 += _v3;
        _v3 = BitOperations.RotateLeft(_v3, 16) ^ _v2;
        _v0 += _v3;
        _v3 = BitOperations.RotateLeft(_v3, 21) ^ _v0;
        _v2 += _v1;
        _v1 = BitOperations.RotateLeft(_v1, 17) ^ _v2;
        _v2 = BitOperations.RotateLeft(_v2, 32);
    }
}
