using System.Buffers.Binary;

namespace Flotilla.Topology;

/// <summary>A shard as the ring sees it.</summary>
/// <param name="Shard">Its number, 1 and up.</param>
/// <param name="Weight">Its share relative to the others, 1 to 10,000; <see cref="Ring.NormalWeight"/> is the usual one.</param>
public readonly record struct RingMember(ShardId Shard, int Weight = Ring.NormalWeight);

/// <summary>One point of a shard on the ring.</summary>
/// <param name="Point">Where it lies: <c>CRC32("shard-&lt;id&gt;#&lt;i&gt;")</c>.</param>
/// <param name="Shard">Whose it is.</param>
/// <param name="Number">The <c>i</c> of its name, 0 and up.</param>
public readonly record struct VirtualNode(uint Point, ShardId Shard, int Number) : IComparable<VirtualNode>
{
    /// <summary>By point; equal points by shard number, then by <see cref="Number"/>, so that every node sorts them alike.</summary>
    public int CompareTo(VirtualNode other)
    {
        var c = Point.CompareTo(other.Point);
        if (c == 0)
        {
            c = Shard.CompareTo(other.Shard);
        }

        return c == 0 ? Number.CompareTo(other.Number) : c;
    }
}

/// <summary>
/// The consistent-hash ring: who is the rightful owner of each slot. A pure function of the active shards and their
/// weights, whatever order they are given in; immutable, so any thread may read it.
/// </summary>
/// <remarks>
/// A slot belongs to the first virtual node at or after its point, clockwise, and past the highest point to the lowest
/// (Karger et al., "Consistent hashing and random trees", 1997). A shard that joins only takes slots, one that leaves
/// only gives them: no slot moves between two shards that stay.
/// </remarks>
public sealed class Ring
{
    /// <summary>The weight of a shard that is as large as any other.</summary>
    public const int NormalWeight = 100;

    /// <summary>The highest weight.</summary>
    public const int MaxWeight = 1000;

    private const int BucketShift = 18;
    private const ulong RingSeed = 3; // Raised if the rules ever change: old and new nodes then do not agree on any ring.

    private static readonly (uint Point, ushort Slot)[] SlotPoints = MakeSlotPoints();
    private static readonly int[] SlotsBefore = MakeSlotsBefore();

    private readonly RingMember[] _members;
    private readonly int? _virtualNodes;
    private readonly ShardId[] _owners = new ShardId[Slot.Count];

    // Made when first asked for. Two threads may both make it, and make the same.
    private Dictionary<ShardId, SlotSet>? _slots;

    /// <summary>Computes the ring; its cost grows with the sum of the weights.</summary>
    /// <param name="members">The active shards, in any order; none is allowed.</param>
    /// <param name="virtualNodes">Virtual nodes of a shard of normal weight, at least 1; null for what <see cref="VirtualNodeCounts"/> says, which every node uses.</param>
    /// <exception cref="ArgumentException">A shard comes twice, or a number is out of its range.</exception>
    public Ring(IReadOnlyList<RingMember> members, int? virtualNodes = null)
    {
        ArgumentNullException.ThrowIfNull(members);
        ArgumentOutOfRangeException.ThrowIfLessThan(virtualNodes ?? 1, 1, nameof(virtualNodes));
        _virtualNodes = virtualNodes;
        _members = [.. members.OrderBy(m => m.Shard)];
        for (var i = 0; i < _members.Length; i++)
        {
            var (shard, weight) = _members[i];
            if (shard.Value < 1 || weight is < 1 or > MaxWeight)
            {
                throw new ArgumentOutOfRangeException(nameof(members), $"Shard {shard} with weight {weight}: shards are numbered from 1 and weights go from 1 to {MaxWeight}.");
            }

            if (i > 0 && _members[i - 1].Shard == shard)
            {
                throw new ArgumentException($"Shard {shard} is on the ring twice.", nameof(members));
            }
        }

        Digest = DigestOf(_members);
        AssignSlots();
    }

    /// <summary>The shards and their weights, by number.</summary>
    public IReadOnlyList<RingMember> Members => _members;

    /// <summary>
    /// What two rings have in common if and only if they have the same shards with the same weights (but for chance, 1 in
    /// 2^64): a handoff begins only between shards whose rings agree. 0 for a ring without shards, and for no other.
    /// </summary>
    public ulong Digest { get; }

    /// <summary>Makes the list of all virtual nodes, clockwise from point 0. Long: several hundred for each shard.</summary>
    public IReadOnlyList<VirtualNode> VirtualNodes()
    {
        var nodes = new List<VirtualNode>();
        foreach (var member in _members)
        {
            var points = new Points(member.Shard);
            var count = CountOf(member);
            for (var i = 0; i < count; i++)
            {
                nodes.Add(new VirtualNode(points.At(i), member.Shard, i));
            }
        }

        nodes.Sort();
        return nodes;
    }

    /// <summary>The rightful owner of a slot; <c>default</c> on a ring without shards.</summary>
    public ShardId Owner(Slot slot) => _owners[slot.Value];

    /// <summary>The slots whose rightful owner is <paramref name="shard"/>; none if it is not on the ring.</summary>
    public SlotSet SlotsOf(ShardId shard) => (_slots ??= SlotSet.By(Owner)).GetValueOrDefault(shard, SlotSet.Empty);

    /// <summary>Where a slot lies on the ring: the CRC32 of its two big-endian bytes.</summary>
    public static uint PointOf(Slot slot)
    {
        Span<byte> bytes = stackalloc byte[2];
        BinaryPrimitives.WriteUInt16BigEndian(bytes, slot.Value);
        return Crc32.Compute(bytes);
    }

    /// <summary>Where virtual node <paramref name="number"/> of a shard lies.</summary>
    public static uint PointOf(ShardId shard, int number) => new Points(shard).At(number);

    private int CountOf(RingMember member) =>
        _virtualNodes is { } count ? VirtualNodeCounts.Scale(count, member.Weight) : VirtualNodeCounts.Of(member.Shard, member.Weight);

    // Each virtual node takes the slots before it, counterclockwise, until it meets one that has a nearer virtual node: that
    // one is nearer to all slots further on, too. So no list of all virtual nodes is made or sorted. Of equal points the
    // lower shard's counts, which comes first here.
    private void AssignSlots()
    {
        var distances = new ulong[Slot.Count]; // By the slot's place on the ring, not by its number.
        Array.Fill(distances, ulong.MaxValue);
        foreach (var member in _members)
        {
            var points = new Points(member.Shard);
            var count = CountOf(member);
            for (var i = 0; i < count; i++)
            {
                Take(points.At(i), member.Shard, distances);
            }
        }
    }

    private void Take(uint point, ShardId shard, ulong[] distances)
    {
        var at = SlotsBefore[point >> BucketShift];
        while (at < SlotPoints.Length && SlotPoints[at].Point <= point)
        {
            at++;
        }

        for (var n = 0; n < SlotPoints.Length; n++)
        {
            at = at == 0 ? SlotPoints.Length - 1 : at - 1;
            var distance = point - SlotPoints[at].Point; // Modulo 2^32, as the ring is round.
            if (distance >= distances[at])
            {
                return;
            }

            distances[at] = distance;
            _owners[SlotPoints[at].Slot] = shard;
        }
    }

    private static ulong DigestOf(RingMember[] members)
    {
        if (members.Length == 0)
        {
            return 0;
        }

        var hash = new StableHash(RingSeed);
        foreach (var (shard, weight) in members)
        {
            hash.Add((ulong)shard.Value);
            hash.Add((ulong)weight);
        }

        return hash.Value == 0 ? 1 : hash.Value;
    }

    private static (uint Point, ushort Slot)[] MakeSlotPoints()
    {
        var points = new (uint Point, ushort Slot)[Slot.Count];
        for (var i = 0; i < points.Length; i++)
        {
            points[i] = (PointOf(new Slot((ushort)i)), (ushort)i);
        }

        Array.Sort(points);
        return points;
    }

    // For each of 16384 equal parts of the ring, how many slots lie before it.
    private static int[] MakeSlotsBefore()
    {
        var before = new int[1 << (32 - BucketShift)];
        var at = 0;
        for (var part = 0; part < before.Length; part++)
        {
            while (at < SlotPoints.Length && SlotPoints[at].Point < (uint)part << BucketShift)
            {
                at++;
            }

            before[part] = at;
        }

        return before;
    }

    /// <summary>The points of one shard: the part of the name that they share is summed up once.</summary>
    private readonly struct Points
    {
        private readonly uint _prefix;

        public Points(ShardId shard)
        {
            Span<byte> name = stackalloc byte[32];
            "shard-"u8.CopyTo(name);
            shard.Value.TryFormat(name[6..], out var written);
            name[6 + written] = (byte)'#';
            _prefix = Crc32.Compute(name[..(7 + written)]);
        }

        public uint At(int number)
        {
            Span<byte> digits = stackalloc byte[16];
            number.TryFormat(digits, out var written);
            return Crc32.Continue(_prefix, digits[..written]);
        }
    }
}
