namespace Flotilla.Topology;

/// <summary>
/// How many virtual nodes a shard has on the ring. A pure function of its number and weight, so that a shard keeps its points
/// whoever joins or leaves.
/// </summary>
/// <remarks>
/// CRC32 is linear: names that differ in few bits give points that differ by few fixed patterns, so some shards get far more
/// than their share whatever the number of virtual nodes (docs/topology.md has the measurements). The points are fixed by
/// contract, how many of them a shard places is not. So the shards with numbers up to 100 place the most, up to
/// <see cref="Normal"/>, with which adding shard n + 1 to the shards 1 to n moves at most 1.12 times its fair share of the
/// slots; a test computes the table anew.
/// </remarks>
public static class VirtualNodeCounts
{
    /// <summary>Virtual nodes of a shard of normal weight, unless its number would give it too much.</summary>
    public const int Normal = 560;

    private static ReadOnlySpan<ushort> ByNumber =>
    [
        560, 560, 560, 560, 560, 560, 511, 560, 560, 560, 560, 560, 560, 560, 560, 560, 560, 560, 560, 464,
        526, 394, 410, 465, 492, 530, 545, 560, 560, 467, 528, 505, 477, 507, 545, 522, 549, 560, 560, 443,
        496, 460, 499, 560, 560, 511, 472, 521, 466, 560, 560, 560, 560, 560, 560, 560, 560, 560, 560, 523,
        547, 556, 502, 560, 560, 560, 512, 560, 560, 535, 560, 513, 501, 560, 560, 544, 477, 560, 560, 560,
        560, 560, 560, 560, 560, 560, 560, 560, 560, 560, 560, 539, 376, 487, 536, 540, 546, 560, 560, 560,
    ];

    /// <summary>Virtual nodes of a shard of normal weight.</summary>
    public static int Of(ShardId shard) => shard.Value >= 1 && shard.Value <= ByNumber.Length ? ByNumber[shard.Value - 1] : Normal;

    /// <summary>Virtual nodes of a shard of this weight, at least 1.</summary>
    /// <param name="shard">Its number.</param>
    /// <param name="weight">1 to <see cref="Ring.MaxWeight"/>; <see cref="Ring.NormalWeight"/> is the usual one.</param>
    public static int Of(ShardId shard, int weight) => Scale(Of(shard), weight);

    /// <summary>A number of virtual nodes by weight, at least 1.</summary>
    internal static int Scale(int count, int weight) => Math.Max(1, (int)((long)count * weight / Ring.NormalWeight));
}
