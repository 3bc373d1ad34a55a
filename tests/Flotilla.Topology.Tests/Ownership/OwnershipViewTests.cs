using Flotilla.Topology.Descriptors;
using Flotilla.Topology.Gossip;
using Flotilla.Topology.Ownership;

namespace Flotilla.Topology.Tests.Ownership;

public sealed class OwnershipViewTests
{
    [Fact]
    [Trait("Hazard", "40")]
    public void Of_two_claims_to_a_slot_the_higher_epoch_counts_whatever_the_versions_say()
    {
        // Slots 0 to 9 went from shard 1 to shard 2. Shard 1 has had elections since and a far higher term, and its descriptor
        // of before the release still goes round.
        var view = View(Shard(1, term: 90, (0, 99, 1)), Shard(2, term: 1, (0, 9, 2)));
        Assert.Equal(2, view.OwnerOf(new Slot(9))!.Shard.Value);
        Assert.Equal(new SlotEpoch(2), view.EpochOf(new Slot(9)));
        Assert.Equal(1, view.OwnerOf(new Slot(10))!.Shard.Value);
        Assert.Null(view.OwnerOf(new Slot(100)));
        Assert.Equal(SlotSet.Of([SlotRange.Of(100, 16383)]), view.Unowned);
        Assert.Empty(view.Conflicts);
    }

    [Fact]
    [Trait("Hazard", "40")]
    public void Two_claims_under_one_epoch_are_reported_and_settled_alike_everywhere()
    {
        ShardDescriptor[] shards = [Shard(3, 1, (0, 20, 2)), Shard(1, 1, (10, 30, 2)), Shard(2, 1, (15, 15, 3), (16, 40, 2))];
        foreach (var order in new[] { shards, [.. shards.Reverse()] })
        {
            var view = View(order);
            Assert.Equal("1 2 16-30, 1 3 10-14 16-20", string.Join(", ", view.Conflicts.Select(c => $"{c.Owner.Shard} {c.Other.Shard} {c.Slots}")));
            Assert.Equal([3, 1, 2, 1, 2], new ushort[] { 9, 10, 15, 16, 31 }.Select(s => view.OwnerOf(new Slot(s))!.Shard.Value));
        }
    }

    [Fact]
    public void A_view_made_of_an_earlier_one_says_what_one_made_anew_says()
    {
        var view = View(Shard(1, 1, (0, 99, 1)), Shard(2, 1, (100, 199, 1)), Shard(3, 1, (150, 160, 1)));
        ShardDescriptor[] news =
        [
            Shard(1, 2, (0, 99, 1)) with { Leader = "n2" }, // Changes no owner.
            Shard(2, 2, (100, 199, 1), (99, 99, 2)),
            Shard(1, 3, (0, 98, 1)),
            Shard(3, 2),
            Shard(4, 1, (200, 16383, 1)),
            Shard(4, 2) with { State = ShardState.Retired },
        ];
        foreach (var descriptor in news)
        {
            view = OwnershipView.Of(view.Table.Merge([ShardItem.Of(descriptor)], out _), view);
            var anew = OwnershipView.Of(view.Table);
            foreach (var slot in SlotSet.All.Slots())
            {
                Assert.Same(anew.OwnerOf(slot), view.OwnerOf(slot));
                Assert.Equal(anew.EpochOf(slot), view.EpochOf(slot));
            }

            Assert.Equal(anew.Unowned, view.Unowned);
            Assert.Equal(anew.Conflicts, view.Conflicts);
            Assert.All(view.Shards, shard => Assert.Equal(anew.OwnedBy(shard), view.OwnedBy(shard)));
        }
    }

    [Fact]
    public void Only_active_shards_are_on_the_ring_each_with_its_weight()
    {
        var view = View(
            Shard(1, 1) with { State = ShardState.Joining }, Shard(2, 1), Shard(3, 1) with { Weight = 300 }, Shard(4, 1) with { State = ShardState.Leaving }, Shard(5, 1) with { State = ShardState.Retired });
        Assert.Equal([new RingMember(new ShardId(2)), new RingMember(new ShardId(3), 300)], view.Ring.Members);
        Assert.Same(view.Ring, OwnershipView.Of(view.Table, view).Ring);
        Assert.NotSame(view.Ring, OwnershipView.Of(view.Table.Merge([ShardItem.Of(Shard(2, 2) with { Weight = 101 })], out _), view).Ring);
    }

    [Fact]
    public void A_shard_gives_what_it_owns_to_the_rightful_owners_that_see_the_same_ring()
    {
        var ring = new Ring([new(new(1)), new(new(2)), new(new(3))]);
        var view = View(Shard(1, 1, (0, 16383, 1)), Shard(2, 1) with { RingDigest = ring.Digest }, Shard(3, 1) with { RingDigest = 5 }, Shard(4, 1) with { State = ShardState.Joining });
        var moves = view.MovesOf(KeyOf(1), SlotSet.All);
        Assert.Equal([KeyOf(2), KeyOf(3)], moves.Select(m => m.Target));
        Assert.Equal([MoveObstacle.None, MoveObstacle.RingsDiffer], moves.Select(m => m.Obstacle));
        Assert.Equal([ring.SlotsOf(new(2)), ring.SlotsOf(new(3))], moves.Select(m => m.Slots));
        Assert.Equal([ring.SlotsOf(new(2)).Take(5)], view.MovesOf(KeyOf(1), ring.SlotsOf(new(2)).Take(5).Union(ring.SlotsOf(new(1)))).Select(m => m.Slots));
        Assert.Empty(view.MovesOf(KeyOf(2), ring.SlotsOf(new(2))));
        Assert.Equal(ring.SlotsOf(new(2)), view.ExpectedBy(KeyOf(2), SlotSet.Empty));
        Assert.Equal(SlotSet.Empty, view.ExpectedBy(KeyOf(1), SlotSet.All));
        Assert.Equal(SlotSet.Empty, view.ExpectedBy(KeyOf(4), SlotSet.Empty));
        Assert.Equal(SlotSet.Empty, view.ExpectedBy(KeyOf(2) with { Group = 99 }, SlotSet.Empty));
    }

    [Fact]
    public void A_leaving_shard_gives_everything_away_and_nobody_gives_it_anything()
    {
        var ring = new Ring([new(new(1)), new(new(2))]);
        var view = View(Shard(1, 1) with { RingDigest = ring.Digest }, Shard(2, 1) with { RingDigest = ring.Digest }, Shard(3, 1, (0, 16383, 1)) with { State = ShardState.Leaving });
        Assert.Equal(SlotSet.All, view.MovesOf(KeyOf(3), SlotSet.All).Aggregate(SlotSet.Empty, (all, m) => all.Union(m.Slots)));
        Assert.All(view.MovesOf(KeyOf(3), SlotSet.All), m => Assert.Equal(MoveObstacle.None, m.Obstacle));
        Assert.Equal([KeyOf(2)], view.MovesOf(KeyOf(1), SlotSet.All).Select(m => m.Target));
    }

    [Fact]
    public void Without_an_active_shard_nothing_moves() =>
        Assert.Empty(View(Shard(1, 1, (0, 16383, 1)) with { State = ShardState.Joining }, Shard(2, 1) with { State = ShardState.Leaving }).MovesOf(KeyOf(1), SlotSet.All));

    [Fact]
    public void A_shard_without_a_leader_gets_nothing()
    {
        var ring = new Ring([new(new(1)), new(new(2))]);
        var view = View(Shard(1, 1, (0, 16383, 1)), Shard(2, 1) with { RingDigest = ring.Digest, Leader = null });
        Assert.Equal(MoveObstacle.NoLeader, Assert.Single(view.MovesOf(KeyOf(1), SlotSet.All)).Obstacle);
    }

    [Fact]
    public void A_number_that_two_groups_go_by_neither_gives_nor_gets_and_the_rest_goes_on()
    {
        var digest = new Ring([new(new(1)), new(new(2)), new(new(3))]).Digest;
        var twin = new ShardKey(new ShardId(2), 99);
        var view = View(
            Shard(1, 1, (0, 16383, 1)) with { RingDigest = digest }, Shard(2, 1) with { RingDigest = digest }, Shard(2, 1) with { Key = twin, RingDigest = digest, Weight = 7 }, Shard(3, 1) with { RingDigest = digest });
        Assert.Equal([new ShardId(2)], view.Doubled);
        Assert.Equal(digest, view.Ring.Digest);
        Assert.Equal([MoveObstacle.Doubled, MoveObstacle.None], view.MovesOf(KeyOf(1), SlotSet.All).Select(m => m.Obstacle));
        Assert.All(view.MovesOf(twin, SlotSet.All), m => Assert.Equal(MoveObstacle.Doubled, m.Obstacle));
        Assert.All(view.MovesOf(KeyOf(2), SlotSet.All), m => Assert.Equal(MoveObstacle.Doubled, m.Obstacle));
    }

    [Fact]
    public void An_empty_table_has_an_empty_view()
    {
        var view = View();
        Assert.Equal(SlotSet.All, view.Unowned);
        Assert.Null(view.OwnerOf(new Slot(1)));
        Assert.Equal(0UL, view.Ring.Digest);
        Assert.Null(view.Find(KeyOf(1)));
    }

    private static ShardKey KeyOf(int shard) => new(new ShardId(shard), 10);

    private static OwnershipView View(params ShardDescriptor[] shards) => OwnershipView.Of(GossipTable.Empty.Merge([.. shards.Select(ShardItem.Of)], out _));

    private static ShardDescriptor Shard(int shard, ulong term, params (int First, int Last, uint Epoch)[] slots)
    {
        var bySlot = new uint[Slot.Count];
        foreach (var (first, last, epoch) in slots)
        {
            bySlot.AsSpan(first, last - first + 1).Fill(epoch);
        }

        return new ShardDescriptor { Key = KeyOf(shard), Version = new DescriptorVersion(term, 1), State = ShardState.Active, Leader = "n1", Slots = SlotEpochs.Of(bySlot) };
    }
}
