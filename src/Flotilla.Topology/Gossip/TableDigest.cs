using System.Collections.Immutable;
using System.Numerics;

namespace Flotilla.Topology.Gossip;

/// <summary>
/// A table in a kilobyte: 16 bits for each of up to 512 buckets, so that two nodes find out in which buckets their tables
/// differ. 16 bits miss a difference once in 65,536 times; since each exchange mixes in a salt of its own, the next one finds
/// it with the same chance, whatever the tables hold.
/// </summary>
/// <param name="Salt">Drawn anew for each exchange.</param>
/// <param name="Bits">There are 2^<paramref name="Bits"/> buckets, 4 to 9.</param>
/// <param name="Hashes">One for each bucket.</param>
public sealed record TableDigest(ulong Salt, int Bits, ImmutableArray<ushort> Hashes)
{
    /// <summary>The fewest buckets, as a power of two.</summary>
    public const int MinBits = 4;

    /// <summary>The most buckets, as a power of two.</summary>
    public const int MaxBits = 9;

    /// <summary>The digest of a table, with a bucket for about two items.</summary>
    public static TableDigest Of(GossipTable table, ulong salt)
    {
        ArgumentNullException.ThrowIfNull(table);
        return Of(table, salt, Math.Clamp(BitOperations.Log2((uint)table.Count | 1), MinBits, MaxBits));
    }

    /// <summary>The digest of a table for a comparison with another that has so many buckets.</summary>
    public static TableDigest Of(GossipTable table, ulong salt, int bits)
    {
        ArgumentNullException.ThrowIfNull(table);
        ArgumentOutOfRangeException.ThrowIfLessThan(bits, MinBits);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(bits, MaxBits);
        var hashes = new ushort[1 << bits];
        for (var bucket = 0; bucket < hashes.Length; bucket++)
        {
            hashes[bucket] = (ushort)StableHash.Mix(table.SumOf(bucket, bits) ^ salt);
        }

        return new TableDigest(salt, bits, ImmutableArray.Create(hashes));
    }

    /// <summary>The buckets that differ from the table's, in order.</summary>
    public IReadOnlyList<int> BucketsThatDifferFrom(GossipTable table)
    {
        var own = Of(table, Salt, Bits);
        return [.. Enumerable.Range(0, Hashes.Length).Where(bucket => own.Hashes[bucket] != Hashes[bucket])];
    }
}
