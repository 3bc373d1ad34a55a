using System.Globalization;
using System.Text;

namespace Flotilla.Topology.Tests;

public sealed class RingTests(ITestOutputHelper output)
{
    [Fact]
    public void The_points_are_the_checksums_of_the_names_in_the_design()
    {
        Assert.Equal(Crc32.Compute("shard-7#42"u8), Ring.PointOf(new ShardId(7), 42));
        Assert.Equal(Crc32.Compute("shard-1000#127"u8), Ring.PointOf(new ShardId(1000), 127));
        Assert.Equal(Crc32.Compute([0x12, 0x34]), Ring.PointOf(new Slot(0x1234)));
    }

    [Fact]
    public void A_slot_belongs_to_the_first_virtual_node_at_or_after_its_point()
    {
        var ring = Of(1, 2, 3, 4, 5);
        for (var i = 0; i < Slot.Count; i++)
        {
            var slot = new Slot((ushort)i);
            var point = Ring.PointOf(slot);
            var clockwise = ring.VirtualNodes.Where(v => v.Point >= point).ToArray();
            Assert.Equal((clockwise.Length > 0 ? clockwise : [.. ring.VirtualNodes])[0].Shard, ring.Owner(slot));
        }
    }

    [Fact]
    public void The_order_in_which_shards_are_named_does_not_matter()
    {
        var one = Of(1, 2, 3, 4, 5, 6, 7);
        var other = Of(5, 1, 7, 3, 2, 6, 4);
        Assert.Equal(one.VirtualNodes, other.VirtualNodes);
        Assert.Equal(Owners(one), Owners(other));
    }

    [Fact]
    public void Equal_points_are_ordered_by_shard_and_number()
    {
        VirtualNode[] nodes = [new(9, new(2), 0), new(9, new(1), 5), new(9, new(1), 3), new(8, new(3), 0)];
        Array.Sort(nodes);
        Assert.Equal([new(8, new(3), 0), new(9, new(1), 3), new(9, new(1), 5), new(9, new(2), 0)], nodes);
    }

    [Fact]
    public void A_shard_that_joins_only_takes_and_one_that_leaves_only_gives()
    {
        var before = Of(1, 2, 3, 4);
        var after = Of(1, 2, 3, 4, 5);
        var moved = 0;
        foreach (var (old, now) in Owners(before).Zip(Owners(after)))
        {
            if (old != now)
            {
                Assert.Equal(new ShardId(5), now);
                moved++;
            }
        }

        Assert.InRange(moved, 1, Slot.Count / 3);
        Assert.Equal(moved, after.SlotsOf(new ShardId(5)).Count);
    }

    [Fact]
    public void The_slots_of_all_shards_are_all_slots_once()
    {
        var ring = Of(1, 2, 3);
        var all = new[] { 1, 2, 3 }.SelectMany(s => ring.SlotsOf(new ShardId(s))).Order().ToArray();
        Assert.Equal(Enumerable.Range(0, Slot.Count).Select(i => new Slot((ushort)i)), all);
        Assert.Empty(ring.SlotsOf(new ShardId(4)));
    }

    [Fact]
    public void A_shard_of_double_weight_has_twice_the_virtual_nodes_and_more_slots()
    {
        var ring = new Ring([new(new(1)), new(new(2), 200), new(new(3), 1)]);
        Assert.Equal(Ring.DefaultVirtualNodes, ring.VirtualNodes.Count(v => v.Shard.Value == 1));
        Assert.Equal(2 * Ring.DefaultVirtualNodes, ring.VirtualNodes.Count(v => v.Shard.Value == 2));
        Assert.Equal(1, ring.VirtualNodes.Count(v => v.Shard.Value == 3));
        Assert.True(ring.SlotsOf(new(2)).Count > ring.SlotsOf(new(1)).Count);
    }

    [Fact]
    public void A_ring_without_shards_has_no_owner()
    {
        var ring = Of();
        Assert.Equal(default, ring.Owner(new Slot(5)));
        Assert.Empty(ring.VirtualNodes);
    }

    [Fact]
    public void Nonsense_is_refused()
    {
        Assert.Throws<ArgumentException>(() => Of(1, 2, 1));
        Assert.Throws<ArgumentOutOfRangeException>(() => Of(0));
        Assert.Throws<ArgumentOutOfRangeException>(() => new Ring([new(new(1), 0)]));
        Assert.Throws<ArgumentOutOfRangeException>(() => new Ring([new(new(1), Ring.MaxWeight + 1)]));
        Assert.Throws<ArgumentOutOfRangeException>(() => new Ring([new(new(1))], 0));
    }

    [Fact]
    public void The_ring_of_three_shards_never_changes()
    {
        // Golden values, computed once by an independent program: nodes of different releases must agree who owns what.
        var ring = Of(1, 2, 3);
        Assert.Equal("6272 5370 4742", string.Join(' ', new[] { 1, 2, 3 }.Select(s => ring.SlotsOf(new ShardId(s)).Count)));
        Assert.Equal(0x5CBBB4D4u, Crc32.Compute([.. Owners(ring).Select(o => (byte)o.Value)]));
    }

    [Fact]
    public void No_shard_gets_more_than_twice_its_share_from_3_to_100_shards()
    {
        for (var shards = 3; shards <= 100; shards++)
        {
            var (least, most, _) = Spread(shards, Ring.DefaultVirtualNodes);
            Assert.InRange(most, 1.0, 1.8);
            Assert.InRange(least, 0.45, 1.0);
        }
    }

    [Fact]
    public void The_table_of_spreads_in_the_docs_is_what_the_ring_gives()
    {
        var table = SpreadTable();
        output.WriteLine(table);
        Assert.Contains(table, File.ReadAllText(Path.Combine(RepositoryRoot(), "docs", "topology.md")), StringComparison.Ordinal);
    }

    private static string SpreadTable()
    {
        var text = new StringBuilder("| virtual nodes | 3 to 10 shards | 11 to 32 | 33 to 100 | worst of all |\n|---|---|---|---|---|\n");
        foreach (var virtualNodes in new[] { 16, 32, 64, 96, 128, 192, 256, 384, 512 })
        {
            var spreads = Enumerable.Range(3, 98).Select(n => (Shards: n, Spread: Spread(n, virtualNodes))).ToArray();
            string Cell(int from, int to)
            {
                var part = spreads.Where(s => s.Shards >= from && s.Shards <= to).Select(s => s.Spread).ToArray();
                return Format(part.Average(s => s.Least), part.Average(s => s.Most), part.Average(s => s.Deviation));
            }

            var worst = Format(spreads.Min(s => s.Spread.Least), spreads.Max(s => s.Spread.Most), spreads.Max(s => s.Spread.Deviation));
            text.Append(CultureInfo.InvariantCulture, $"| {virtualNodes} | {Cell(3, 10)} | {Cell(11, 32)} | {Cell(33, 100)} | {worst} |\n");
        }

        return text.ToString();
    }

    private static string Format(double least, double most, double deviation) =>
        string.Create(CultureInfo.InvariantCulture, $"{least:0.00} - {most:0.00}, σ {deviation:0.00}");

    private static (double Least, double Most, double Deviation) Spread(int shards, int virtualNodes)
    {
        var ring = new Ring([.. Enumerable.Range(1, shards).Select(s => new RingMember(new ShardId(s)))], virtualNodes);
        var counts = new double[shards];
        foreach (var owner in Owners(ring))
        {
            counts[owner.Value - 1] += (double)shards / Slot.Count;
        }

        return (counts.Min(), counts.Max(), Math.Sqrt(counts.Average(c => (c - 1) * (c - 1))));
    }

    private static Ring Of(params int[] shards) => new([.. shards.Select(s => new RingMember(new ShardId(s)))]);

    private static ShardId[] Owners(Ring ring) => [.. Enumerable.Range(0, Slot.Count).Select(i => ring.Owner(new Slot((ushort)i)))];

    private static string RepositoryRoot()
    {
        var folder = AppContext.BaseDirectory;
        while (!File.Exists(Path.Combine(folder, "Flotilla.slnx")))
        {
            folder = Path.GetDirectoryName(folder) ?? throw new InvalidOperationException("Flotilla.slnx is in no folder above the tests.");
        }

        return folder;
    }
}
