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
    public const int MaxWeight = 10_000;

    /// <summary>
    /// Virtual nodes of a shard of normal weight. Chosen by measuring (docs/topology.md): fewer spread worse, and more
    /// buy little, since CRC32 is linear and the points of similar names are not independent.
    /// </summary>
    public const int DefaultVirtualNodes = 128;

    private static readonly (uint Point, ushort Slot)[] SlotPoints = MakeSlotPoints();

    private readonly VirtualNode[] _nodes;
    private readonly ShardId[] _owners = new ShardId[Slot.Count];

    /// <summary>Computes the ring.</summary>
    /// <param name="members">The active shards, in any order; none is allowed.</param>
    /// <param name="virtualNodes">Virtual nodes of a shard of normal weight, at least 1.</param>
    /// <exception cref="ArgumentException">A shard comes twice, or a number is out of its range.</exception>
    public Ring(IReadOnlyList<RingMember> members, int virtualNodes = DefaultVirtualNodes)
    {
        ArgumentNullException.ThrowIfNull(members);
        ArgumentOutOfRangeException.ThrowIfLessThan(virtualNodes, 1);
        var seen = new HashSet<ShardId>();
        var nodes = new List<VirtualNode>(members.Count * virtualNodes);
        foreach (var (shard, weight) in members)
        {
            if (shard.Value < 1 || weight is < 1 or > MaxWeight)
            {
                throw new ArgumentOutOfRangeException(nameof(members), $"Shard {shard} with weight {weight}: shards are numbered from 1 and weights go from 1 to {MaxWeight}.");
            }

            if (!seen.Add(shard))
            {
                throw new ArgumentException($"Shard {shard} is on the ring twice.", nameof(members));
            }

            var count = Math.Max(1, (int)((long)virtualNodes * weight / NormalWeight));
            for (var i = 0; i < count; i++)
            {
                nodes.Add(new VirtualNode(PointOf(shard, i), shard, i));
            }
        }

        _nodes = [.. nodes];
        Array.Sort(_nodes);
        AssignSlots();
    }

    /// <summary>All virtual nodes, clockwise from point 0.</summary>
    public IReadOnlyList<VirtualNode> VirtualNodes => _nodes;

    /// <summary>The rightful owner of a slot; <c>default</c> on a ring without shards.</summary>
    public ShardId Owner(Slot slot) => _owners[slot.Value];

    /// <summary>The slots whose rightful owner is <paramref name="shard"/>, in order; none if it is not on the ring.</summary>
    public IReadOnlyList<Slot> SlotsOf(ShardId shard)
    {
        var slots = new List<Slot>();
        for (var i = 0; i < _owners.Length; i++)
        {
            if (_owners[i] == shard)
            {
                slots.Add(new Slot((ushort)i));
            }
        }

        return slots;
    }

    /// <summary>Where a slot lies on the ring: the CRC32 of its two big-endian bytes.</summary>
    public static uint PointOf(Slot slot)
    {
        Span<byte> bytes = stackalloc byte[2];
        BinaryPrimitives.WriteUInt16BigEndian(bytes, slot.Value);
        return Crc32.Compute(bytes);
    }

    /// <summary>Where virtual node <paramref name="number"/> of a shard lies.</summary>
    public static uint PointOf(ShardId shard, int number)
    {
        Span<byte> name = stackalloc byte[32];
        "shard-"u8.CopyTo(name);
        var length = 6;
        shard.Value.TryFormat(name[length..], out var written);
        length += written;
        name[length++] = (byte)'#';
        number.TryFormat(name[length..], out written);
        return Crc32.Compute(name[..(length + written)]);
    }

    // One walk over both sorted lists, instead of a search for each slot.
    private void AssignSlots()
    {
        if (_nodes.Length == 0)
        {
            return;
        }

        var next = 0;
        foreach (var (point, slot) in SlotPoints)
        {
            while (next < _nodes.Length && _nodes[next].Point < point)
            {
                next++;
            }

            _owners[slot] = _nodes[next == _nodes.Length ? 0 : next].Shard;
        }
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
}
