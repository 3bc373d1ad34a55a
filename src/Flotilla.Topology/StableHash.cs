using System.Buffers.Binary;

namespace Flotilla.Topology;

/// <summary>
/// A 64-bit hash that is the same in every process, on every machine and in every release: cluster ids and digests of rings depend on it.
/// Not against adversaries. Each 8-byte word passes through the finalizer of SplitMix64, which mixes all bits; lengths
/// are hashed too, so that "ab"+"c" differs from "a"+"bc".
/// </summary>
public struct StableHash(ulong seed)
{
    private ulong _state = Mix(seed ^ 0x9E3779B97F4A7C15UL);

    /// <summary>The hash of all that was added.</summary>
    public readonly ulong Value => _state;

    /// <summary>Adds a number.</summary>
    public void Add(ulong word) => _state = Mix((_state ^ word) + 0x9E3779B97F4A7C15UL);

    /// <summary>Adds bytes and how many they are.</summary>
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

    /// <summary>One word, all its bits mixed; a bijection.</summary>
    public static ulong Mix(ulong z)
    {
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9UL;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBUL;
        return z ^ (z >> 31);
    }
}
