using Flotilla.Topology.Descriptors;
using Flotilla.Topology.Gossip;
using Flotilla.Topology.Tests.Descriptors;

namespace Flotilla.Topology.Tests.Gossip;

public sealed class GossiperTests
{
    [Fact]
    public void What_is_published_goes_to_every_known_node_at_once()
    {
        var fleet = new Fleet(4, [], seed: 1);
        var output = fleet.Gossipers[0].Publish(Shard(1, 1));
        var send = Assert.Single(output.Sends);
        Assert.Equal("n2 n3 n4", string.Join(" ", send.To));
        Assert.Equal([Shard(1, 1)], Assert.IsType<GossipMessage.News>(send.Message).Items.Cast<ShardItem>().Select(s => s.Descriptor));
        Assert.Equal(Shard(1, 1), Assert.IsType<ShardItem>(Assert.Single(output.Changed)).Descriptor);
        Assert.Empty(fleet.Gossipers[0].Publish(Shard(1, 1)).Sends);
        output = fleet.Gossipers[0].Publish(Shard(1, 2), isUrgent: false);
        Assert.Empty(output.Sends);
        Assert.Single(output.Changed);
    }

    [Fact]
    public void An_exchange_heals_both_sides_with_three_messages()
    {
        var (a, b) = (New(1), New(2));
        a.Publish(Shard(1, 5));
        a.Publish(Shard(2, 1));
        b.Publish(Shard(2, 5));
        b.Publish(Shard(3, 1));
        var first = Assert.Single(a.Exchange(99, ["n2"]).Sends);
        Assert.Equal(["n2"], first.To);
        var second = Assert.Single(b.Receive("n1", first.Message).Sends);
        Assert.Equal(["n1"], second.To);
        var third = Assert.Single(a.Receive("n2", second.Message).Sends);
        Assert.Equal(["n2"], third.To);
        Assert.Empty(b.Receive("n1", third.Message).Sends);
        Assert.True(a.Table.HoldsSameAs(b.Table));
        Assert.Equal([5UL, 5UL, 1UL], a.Table.Shards.Select(s => s.Descriptor.Version.Index));
    }

    [Fact]
    public void Equal_tables_end_the_exchange_with_a_short_answer()
    {
        var (a, b) = (New(1), New(2));
        a.Publish(Shard(1, 1));
        b.Publish(Shard(1, 1));
        var answer = Assert.Single(b.Receive("n1", a.Exchange(1, ["n2"]).Sends[0].Message).Sends);
        Assert.Equal(new GossipMessage.Difference(7, TableDigest.MinBits, [], []).ToString(), answer.Message.ToString());
        Assert.InRange(GossipCodec.LengthOf(answer.Message), 1, 24);
        Assert.Empty(a.Receive("n2", answer.Message).Sends);
        Assert.Empty(a.Exchange(1, []).Sends);
    }

    [Fact]
    public void Large_tables_travel_in_messages_below_the_limit()
    {
        var fleet = new Fleet(2, [], seed: 2, o => o with { MessageBytes = 4096 });
        foreach (var place in new[] { 0, 1 })
        {
            for (var shard = 1; shard <= 150; shard++)
            {
                fleet.Gossipers[place].Publish(Shard((2 * shard) + place, 1));
            }
        }

        Assert.False(fleet.HasConverged);
        Assert.InRange(fleet.RoundsToConverge(9), 1, 2);
        Assert.Equal(300, fleet.Gossipers[0].Table.ShardCount);
        Assert.InRange(fleet.LongestBytes, 2000, 4096 + 200);
    }

    [Fact]
    public void What_one_step_may_not_send_comes_with_the_next_exchanges()
    {
        var fleet = new Fleet(2, [], seed: 3, o => o with { MessageBytes = 1024, StepBytes = 4096 });
        for (var shard = 1; shard <= 200; shard++)
        {
            fleet.Gossipers[0].Publish(Shard(shard, 1));
        }

        Assert.InRange(fleet.RoundsToConverge(60), 2, 60);
    }

    [Fact]
    public void Lost_repeated_and_late_messages_only_cost_time()
    {
        for (var seed = 1UL; seed <= 20; seed++)
        {
            var fleet = new Fleet(12, [], seed) { Loss = 0.3, Repeat = 0.3 };
            var random = new SplitMix(seed);
            for (var second = 0; second < 10; second++)
            {
                var place = random.Below(12);
                var shard = 1 + random.Below(6);
                var known = fleet.Gossipers[place].Table.Shards.FirstOrDefault(s => s.Key.Shard.Value == shard)?.Descriptor;
                fleet.Carry(place, fleet.Gossipers[place].Publish(Shard(shard, (known?.Version.Index ?? 0) + 1) with { Weight = 1 + random.Below(100), Leader = $"n{place + 1}" }));
                fleet.Round();
            }

            fleet.RoundsToConverge(100);
            foreach (var shard in fleet.Gossipers[0].Table.Shards)
            {
                Assert.Same(shard, fleet.Gossipers[0].Table.Find(shard.Key));
            }
        }
    }

    [Fact]
    public void A_partition_heals_by_itself()
    {
        var fleet = new Fleet(10, [], seed: 4);
        bool SameSide(int a, int b) => a < 5 == b < 5;
        fleet.Gossipers[0].Publish(Shard(1, 7));
        fleet.Gossipers[9].Publish(Shard(2, 7));
        for (var second = 0; second < 20; second++)
        {
            fleet.Round(SameSide);
        }

        Assert.All(fleet.Gossipers[..5], g => Assert.Equal([1], g.Table.Shards.Select(s => s.Key.Shard.Value)));
        Assert.All(fleet.Gossipers[5..], g => Assert.Equal([2], g.Table.Shards.Select(s => s.Key.Shard.Value)));
        Assert.InRange(fleet.RoundsToConverge(20), 1, 20);
    }

    [Fact]
    public void A_retired_shard_does_not_come_back_from_an_old_disk()
    {
        var fleet = new Fleet(4, [], seed: 5);
        fleet.Carry(0, fleet.Gossipers[0].Publish(Shard(1, 5) with { State = ShardState.Retired, Slots = SlotEpochs.Empty }));
        var old = new Gossiper(Fleet.OptionsOf(4), TableCodec.Decode(TableCodec.Encode(GossipTable.Empty.Merge([ShardItem.Of(Shard(1, 900))], out _), 7), 7, out _));
        fleet.Gossipers[3] = old;
        var output = old.Publish(Shard(1, 901));
        Assert.Single(output.Changed);
        fleet.Carry(3, output);
        fleet.RoundsToConverge(20);
        Assert.All(fleet.Gossipers, g => Assert.Equal(ShardState.Retired, Assert.Single(g.Table.Shards).Descriptor.State));
        output = old.Publish(Shard(1, 902));
        Assert.Empty(output.Sends);
        Assert.Equal(ShardState.Retired, Assert.IsType<GossipFinding.Superseded>(Assert.Single(output.Findings)).Standing.State);
    }

    [Fact]
    public void Two_groups_under_one_number_are_reported_where_they_meet()
    {
        var (a, b) = (New(1), New(2));
        a.Publish(Shard(1, 5));
        b.Publish(Shard(1, 5) with { Key = new ShardKey(new ShardId(1), 1000) });
        var output = a.Receive("n2", new GossipMessage.News(7, [.. b.Table.Shards]));
        Assert.Equal(new GossipFinding.DoubledShard(new ShardId(1)), Assert.Single(output.Findings));
        Assert.Equal([new ShardId(1)], a.Table.Doubled);
        Assert.Empty(a.Receive("n2", new GossipMessage.News(7, [.. b.Table.Shards])).Findings);
    }

    [Fact]
    public void A_message_of_another_cluster_is_not_read_and_a_router_takes_the_first_cluster_that_it_hears_of()
    {
        var router = new Gossiper(new GossipOptions(0, null, 0, 0), GossipTable.Empty);
        Assert.Empty(router.Announce(Typical.AddressesOf(1), false).Sends);
        router.Receive("seed", new GossipMessage.News(7, [NodeItem.Of(Typical.Node(1))]));
        Assert.Equal(7UL, router.ClusterId);
        var output = router.Receive("other", new GossipMessage.News(8, [NodeItem.Of(Typical.Node(2))]));
        Assert.Equal(new GossipFinding.Foreign("other", 8), Assert.Single(output.Findings));
        Assert.Equal("n1", Assert.Single(router.Others()).Node);
        Assert.Equal(["n1"], router.Exchange(5, ["n1"]).Sends[0].To);
    }

    [Fact]
    public void A_node_whose_disk_was_wiped_rises_above_its_own_past()
    {
        var fleet = new Fleet(3, [], seed: 6);
        var wiped = new Gossiper(new GossipOptions(7, "n3", Incarnation: 77, Boot: 1), GossipTable.Empty);
        fleet.Carry(0, fleet.Gossipers[0].Receive("n3", new GossipMessage.News(7, [NodeItem.Of(Typical.Node(3) with { Boot = 40, Revision = NodeRecord.FirstRevision(40) })])));
        fleet.Gossipers[2] = wiped;
        fleet.Carry(2, wiped.Announce(Typical.AddressesOf(99), isReluctant: false));
        fleet.RoundsToConverge(20);
        Assert.All(fleet.Gossipers, g => Assert.Equal((77UL, Typical.AddressesOf(99)), (g.Table.FindNode("n3")!.Record.Incarnation, g.Table.FindNode("n3")!.Record.Addresses)));
        Assert.Equal(40UL, Assert.IsType<GossipFinding.Impostor>(Assert.Single(fleet.Findings)).Heard.Boot);
    }

    [Fact]
    public void A_node_says_only_what_changed()
    {
        var fleet = new Fleet(2, [], seed: 8);
        Assert.Empty(fleet.Gossipers[0].Announce(Typical.AddressesOf(1), isReluctant: false).Sends);
        Assert.Single(fleet.Gossipers[0].Announce(Typical.AddressesOf(1), isReluctant: true).Sends);
        Assert.Empty(fleet.Gossipers[0].Announce(Typical.AddressesOf(1), isReluctant: true).Sends);
        var again = new Gossiper(Fleet.OptionsOf(1) with { Boot = 2 }, fleet.Gossipers[0].Table);
        Assert.Single(again.Announce(Typical.AddressesOf(1), isReluctant: true).Sends);
        Assert.Equal(NodeRecord.FirstRevision(2), again.Table.FindNode("n1")!.Record.Revision);
    }

    [Fact]
    public void The_same_calls_give_the_same_bytes()
    {
        static byte[] Run()
        {
            var fleet = new Fleet(8, [], seed: 9) { Loss = 0.2, Repeat = 0.1 };
            for (var second = 0; second < 8; second++)
            {
                fleet.Carry(second, fleet.Gossipers[second].Publish(Shard(1 + (second % 3), (ulong)second + 1)));
                fleet.Round();
            }

            return [.. fleet.Gossipers.SelectMany(g => TableCodec.Encode(g.Table, 7)), .. BitConverter.GetBytes(fleet.Bytes)];
        }

        Assert.Equal(Run(), Run());
    }

    private static Gossiper New(int node) => new(Fleet.OptionsOf(node), GossipTable.Empty);

    private static ShardDescriptor Shard(int shard, ulong index) => new()
    {
        Key = new ShardKey(new ShardId(shard), (ulong)shard),
        Version = new DescriptorVersion(1, index),
        State = ShardState.Active,
        Slots = SlotEpochs.Of(SlotSet.Of([SlotRange.Of(shard, shard + 20)]), SlotEpoch.First),
    };
}
