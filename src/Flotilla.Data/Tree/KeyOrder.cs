using System.Buffers.Binary;

namespace Flotilla.Data.Tree;

/// <summary>
/// The order of keys: bytewise, unsigned, a key before its extensions. Searches compare <em>heads</em> first: the next
/// bytes of a key behind the prefix that a whole node shares, as one big-endian number. A lower head means a lower key;
/// only equal heads need the bytes themselves, so that a search touches few cache lines.
/// </summary>
internal static class KeyOrder
{
    /// <summary>The eight bytes of <paramref name="key"/> from <paramref name="skip"/> on, padded with zeros.</summary>
    public static ulong Head(ReadOnlySpan<byte> key, int skip)
    {
        if (key.Length - skip >= sizeof(ulong))
        {
            return BinaryPrimitives.ReadUInt64BigEndian(key[skip..]);
        }

        var head = 0UL;
        for (var i = skip; i < key.Length; i++)
        {
            head |= (ulong)key[i] << (56 - (8 * (i - skip)));
        }

        return head;
    }

    /// <summary>
    /// The shortest key that is above <paramref name="below"/> and not above <paramref name="first"/>: what an inner node
    /// needs to tell its children apart. <paramref name="below"/> must be lower than <paramref name="first"/>.
    /// </summary>
    public static byte[] Separator(ReadOnlySpan<byte> below, ReadOnlySpan<byte> first) =>
        first[..(below.CommonPrefixLength(first) + 1)].ToArray();
}
