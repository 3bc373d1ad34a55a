namespace Flotilla.Topology.Tests;

public sealed class RingTests
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
            var clockwise = ring.VirtualNodes().Where(v => v.Point >= point).ToArray();
            Assert.Equal((clockwise.Length > 0 ? clockwise : [.. ring.VirtualNodes()])[0].Shard, ring.Owner(slot));
        }
    }

    [Fact]
    public void The_order_in_which_shards_are_named_does_not_matter()
    {
        var one = Of(1, 2, 3, 4, 5, 6, 7);
        var other = Of(5, 1, 7, 3, 2, 6, 4);
        Assert.Equal(one.VirtualNodes(), other.VirtualNodes());
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
    public void Only_the_slots_of_a_shard_that_joins_or_leaves_move()
    {
        var random = new Random(3);
        for (var round = 0; round < 40; round++)
        {
            var shards = Enumerable.Range(1, 60).OrderBy(_ => random.Next()).Take(random.Next(2, 20)).ToArray();
            RingMember[] members = [.. shards.Select(s => new RingMember(new ShardId(s), random.Next(1, 300)))];
            var with = new Ring(members);
            var without = new Ring(members[1..]);
            foreach (var (old, now) in Owners(without).Zip(Owners(with)).Where(o => o.First != o.Second))
            {
                Assert.Equal(members[0].Shard, now);
            }

            Assert.Equal(with.SlotsOf(members[0].Shard).Count, Owners(without).Zip(Owners(with)).Count(o => o.First != o.Second));
        }
    }

    [Fact]
    public void Adding_a_shard_to_1_to_100_others_moves_at_most_115_percent_of_its_share()
    {
        var owners = Owners(Of(1));
        for (var n = 1; n <= 99; n++)
        {
            var ring = Of([.. Enumerable.Range(1, n + 1)]);
            var now = Owners(ring);
            var moved = 0;
            for (var i = 0; i < Slot.Count; i++)
            {
                if (now[i] != owners[i])
                {
                    moved++;
                    Assert.Equal(n + 1, now[i].Value);
                }
            }

            Assert.True(moved <= 1.15 * Slot.Count / (n + 1), $"Adding shard {n + 1} to shards 1 to {n} moves {moved} slots, {(double)moved * (n + 1) / Slot.Count:0.000} times its share.");
            owners = now;
        }
    }

    [Fact]
    public void The_slots_of_all_shards_are_all_slots_once()
    {
        var ring = Of(1, 2, 3);
        var all = new[] { 1, 2, 3 }.SelectMany(s => ring.SlotsOf(new ShardId(s)).Slots()).Order().ToArray();
        Assert.Equal(Enumerable.Range(0, Slot.Count).Select(i => new Slot((ushort)i)), all);
        Assert.True(ring.SlotsOf(new ShardId(4)).IsEmpty);
    }

    [Fact]
    public void Weights_scale_the_virtual_nodes_and_with_them_the_slots()
    {
        var ring = new Ring([new(new(1)), new(new(2), 200), new(new(3), 1), new(new(4), 50)]);
        int NodesOf(int shard) => ring.VirtualNodes().Count(v => v.Shard.Value == shard);
        Assert.Equal([560, 1120, 5, 280], new[] { 1, 2, 3, 4 }.Select(NodesOf));
        var shares = new[] { 1, 2, 3, 4 }.Select(s => ring.SlotsOf(new(s)).Count / (double)Slot.Count * 351).ToArray();
        Assert.InRange(shares[0], 75, 125);
        Assert.InRange(shares[1], 150, 250);
        Assert.InRange(shares[2], 0, 5);
        Assert.InRange(shares[3], 35, 65);
        Assert.Single(new Ring([new(new(1), 1)], 5).VirtualNodes());
    }

    [Fact]
    public void A_shard_whose_weight_grows_only_takes_and_one_whose_weight_shrinks_only_gives()
    {
        var before = Owners(Of(1, 2, 3, 4, 5));
        foreach (var weight in new[] { 1, 50, 99, 101, 150, 1000 })
        {
            var after = Owners(new Ring([new(new(1)), new(new(2), weight), new(new(3)), new(new(4)), new(new(5))]));
            var moved = before.Zip(after).Where(o => o.First != o.Second).ToArray();
            Assert.NotEmpty(moved);
            Assert.All(moved, o => Assert.Equal(2, (weight > 100 ? o.Second : o.First).Value));
        }
    }

    [Fact]
    public void Rings_of_the_same_shards_and_weights_have_the_same_digest_and_others_do_not()
    {
        Assert.Equal(Of(1, 2, 3).Digest, Of(3, 1, 2).Digest);
        Assert.Equal(0UL, Of().Digest);
        ulong[] digests = [Of().Digest, Of(1).Digest, Of(1, 2).Digest, Of(1, 2, 3).Digest, Of(2, 3).Digest, new Ring([new(new(1), 99)]).Digest, new Ring([new(new(1), 2)]).Digest];
        Assert.Equal(digests.Length, digests.Distinct().Count());
        Assert.Equal(0x10B3B2C464B17A00UL, Of(1, 2, 3).Digest); // Golden, by an independent program: nodes of different releases compare it.
    }

    [Fact]
    public void A_ring_without_shards_has_no_owner()
    {
        var ring = Of();
        Assert.Equal(default, ring.Owner(new Slot(5)));
        Assert.Empty(ring.VirtualNodes());
    }

    [Fact]
    public void Any_ring_gives_each_slot_the_first_virtual_node_clockwise()
    {
        // The ring is computed without a list of all virtual nodes; this looks it up in the list.
        var random = new Random(4);
        for (var round = 0; round < 20; round++)
        {
            var shards = Enumerable.Range(1, 2000).OrderBy(_ => random.Next()).Take(random.Next(1, 12));
            var ring = new Ring([.. shards.Select(s => new RingMember(new ShardId(s), random.Next(1, 200)))]);
            var nodes = ring.VirtualNodes().ToArray();
            Assert.Equal(nodes.Order(), nodes);
            for (var i = 0; i < Slot.Count; i += 7)
            {
                var at = Array.BinarySearch(nodes, new VirtualNode(Ring.PointOf(new Slot((ushort)i)), default, -1));
                Assert.Equal(nodes[~at == nodes.Length ? 0 : ~at].Shard, ring.Owner(new Slot((ushort)i)));
            }
        }
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
        Assert.Equal("6667 4599 5118", string.Join(' ', new[] { 1, 2, 3 }.Select(s => ring.SlotsOf(new ShardId(s)).Count)));
        Assert.Equal(0x2B3AE2A3u, Crc32.Compute([.. Owners(ring).Select(o => (byte)o.Value)]));
    }

    private static Ring Of(params int[] shards) => new([.. shards.Select(s => new RingMember(new ShardId(s)))]);

    private static ShardId[] Owners(Ring ring) => [.. Enumerable.Range(0, Slot.Count).Select(i => ring.Owner(new Slot((ushort)i)))];
}
