using Flotilla.Raft;
using Flotilla.Topology;
using Flotilla.Topology.Descriptors;

namespace Flotilla.Shards.Tests;

public sealed class GenesisTests
{
    [Fact]
    public void The_order_of_the_members_does_not_matter()
    {
        var one = Genesis.Compute(Members(5), 7, 3);
        var other = Genesis.Compute([.. Members(5).Reverse()], 7, 3);
        Assert.Equal(one.ClusterId, other.ClusterId);
        Assert.Equal(one.Members, other.Members);
        Assert.Equal(Printed(one), Printed(other));
    }

    [Fact]
    public void The_genesis_of_the_first_cluster_never_changes()
    {
        // Golden values, computed by an independent program: a node of a later release must compute the same, or it would not find its own cluster.
        var genesis = Genesis.Compute([new(new("n1"), "127.0.0.1:50051"), new(new("n2"), "127.0.0.1:50052"), new(new("n3"), "127.0.0.1:50053")], 3, 3);
        Assert.Equal("2a85468d7fe567a3", $"{genesis.ClusterId:x16}");
        Assert.Equal(
            ["1 g6a966c0898d023a4 n1,n2,n3 6667 14-16383", "2 gec3cf2321f9eda8c n2,n3,n1 4599 2-16365", "3 g80adb211e808e7b2 n3,n1,n2 5118 0-16379"],
            Printed(genesis));
    }

    [Fact]
    public void Every_flag_is_part_of_the_cluster_id()
    {
        var ids = new[]
        {
            Genesis.Compute(Members(3), 3, 3), Genesis.Compute(Members(4), 3, 3), Genesis.Compute(Members(3), 4, 3), Genesis.Compute(Members(3), 3, 2),
            Genesis.Compute(Members(3), 3, 4), Genesis.Compute([new(new("n1"), "h:1"), new(new("n2"), "h:2"), new(new("n3"), "h:9")], 3, 3),
            Genesis.Compute([new(new("n"), "1h:1")], 1, 1), Genesis.Compute([new(new("n1"), "h:1")], 1, 1),
        }.Select(g => g.ClusterId).ToArray();
        Assert.Equal(ids.Length, ids.Distinct().Count());
        Assert.DoesNotContain(0UL, ids);
    }

    [Fact]
    [Trait("Hazard", "17")]
    public void What_one_node_begins_twice_is_two_clusters_without_a_common_group()
    {
        var begun = new ulong[] { 0, 1, 2, ulong.MaxValue }.Select(nonce => Genesis.Compute(Members(1), 3, 3, nonce)).ToArray();
        Assert.Equal(begun.Length, begun.Select(g => g.ClusterId).Distinct().Count());
        Assert.Equal(begun.Length * 3, begun.SelectMany(g => g.Shards).Select(s => s.Group).Distinct().Count());
        Assert.Equal(begun[0].ClusterId, Genesis.Compute(Members(1), 3, 3).ClusterId);
        Assert.Equal(begun[1].ClusterId, Genesis.Compute(Members(1), 3, 3, 1).ClusterId);
        Assert.Throws<GenesisException>(() => Genesis.Compute(Members(2), 3, 3, 1));
    }

    [Fact]
    public void Another_mode_is_another_cluster_and_raft_is_what_it_was_before_there_were_others()
    {
        ShardMode[] modes = [ShardMode.Raft, ShardMode.Sync, ShardMode.Chain];
        var begun = modes.Select(mode => Genesis.Compute(Members(3), 3, 3, mode: mode)).ToArray();
        Assert.Equal(3, begun.Select(genesis => genesis.ClusterId).Distinct().Count());
        Assert.Equal(Genesis.Compute(Members(3), 3, 3).ClusterId, begun[0].ClusterId);
        Assert.Equal(modes, begun.Select(genesis => genesis.Shards.Select(shard => shard.Mode).Distinct().Single()));
        Assert.Contains("raft, sync or chain", Assert.Throws<GenesisException>(() => Genesis.Compute(Members(3), 3, 3, mode: ShardMode.Quorum)).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(3, 3, 3)]
    [InlineData(5, 5, 3)]
    [InlineData(5, 12, 3)]
    [InlineData(4, 100, 2)]
    [InlineData(7, 1000, 5)]
    [InlineData(1, 4, 3)]
    [InlineData(2, 5, 3)]
    [InlineData(3, 1, 1)]
    public void Leaders_and_replicas_are_balanced_and_voters_differ(int nodes, int shards, int replicas)
    {
        var genesis = Genesis.Compute(Members(nodes), shards, replicas);
        Assert.Equal(shards, genesis.Shards.Count);
        Assert.All(genesis.Shards, s => Assert.Equal(Math.Min(replicas, nodes), s.Voters.Distinct().Count()));
        Balanced(genesis.Shards.Select(s => s.Voters[0]), nodes, 1);
        Balanced(genesis.Shards.SelectMany(s => s.Voters), nodes, Math.Min(replicas, nodes));
    }

    [Fact]
    public void The_shards_that_one_node_leads_have_different_second_voters()
    {
        var genesis = Genesis.Compute(Members(5), 20, 3);
        var seconds = genesis.Shards.Where(s => s.Voters[0] == new NodeId("n1")).Select(s => s.Voters[1]);
        Assert.Equal(4, seconds.Distinct().Count());
    }

    [Fact]
    public void The_first_slots_are_those_of_the_ring()
    {
        var genesis = Genesis.Compute(Members(3), 5, 3);
        var ring = new Ring([.. Enumerable.Range(1, 5).Select(s => new RingMember(new ShardId(s)))]);
        Assert.All(genesis.Shards, s => Assert.Equal(ring.SlotsOf(s.Shard).Slots(), s.Slots));
        Assert.Equal(Slot.Count, genesis.Shards.Sum(s => s.Slots.Count));
    }

    [Fact]
    public void Groups_differ_between_shards_and_between_clusters()
    {
        var groups = Genesis.Compute(Members(3), 1000, 3).Shards.Concat(Genesis.Compute(Members(4), 1000, 3).Shards).Select(s => s.Group).ToArray();
        Assert.Equal(groups.Length, groups.Distinct().Count());
        Assert.DoesNotContain(new GroupId(0), groups);
    }

    [Theory]
    [InlineData("", 3, 3, "names no node")]
    [InlineData("n1=h:1,n1=h:2", 3, 3, "names node n1 twice")]
    [InlineData("n1=h:1,n2=H:1", 3, 3, "Nodes n1 and n2 have the same address")]
    [InlineData("n1=h:1", 0, 3, "1 to 1000 shards, not with 0")]
    [InlineData("n1=h:1", 1001, 3, "1 to 1000 shards, not with 1001")]
    [InlineData("n1=h:1", 3, 0, "at least 1 replica, not 0")]
    [InlineData("n 1=h:1", 3, 3, "'n 1' can't name a node")]
    [InlineData("=h:1", 3, 3, "'' can't name a node")]
    [InlineData("n1=h", 3, 3, "Node n1: 'h' is no address")]
    [InlineData("n1=:1", 3, 3, "is no address")]
    [InlineData("n1=h:", 3, 3, "is no address")]
    [InlineData("n1=h:0", 3, 3, "is no address")]
    [InlineData("n1=h:65536", 3, 3, "is no address")]
    [InlineData("n1=h:-1", 3, 3, "is no address")]
    [InlineData("n1=h:1x", 3, 3, "is no address")]
    [InlineData("n1=::1:50051", 3, 3, "is no address")]
    [InlineData("n1=http://h:1", 3, 3, "is no address")]
    public void Flags_that_make_no_sense_are_refused_with_a_clear_message(string members, int shards, int replicas, string part)
    {
        var parsed = members.Split(',', StringSplitOptions.RemoveEmptyEntries).Select(m => m.Split('=', 2)).Select(m => new ClusterMember(new(m[0]), m[1]));
        var message = Assert.Throws<GenesisException>(() => Genesis.Compute([.. parsed], shards, replicas)).Message;
        Assert.Contains(part, message, StringComparison.Ordinal);
        Assert.EndsWith(".", message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("localhost:50051")]
    [InlineData("[::1]:50051")]
    [InlineData("node-1.example.org:65535")]
    [InlineData("10.99.0.1:1")]
    public void Usual_addresses_are_taken(string address) => Assert.NotEqual(0UL, Genesis.Compute([new(new("S-1"), address)], 1, 3).ClusterId);

    private static ClusterMember[] Members(int count) => [.. Enumerable.Range(1, count).Select(i => new ClusterMember(new NodeId($"n{i}"), $"h:{i}"))];

    private static string[] Printed(Genesis genesis) =>
        [.. genesis.Shards.Select(s => $"{s.Shard} {s.Group} {string.Join(',', s.Voters)} {s.Slots.Count} {s.Slots[0]}-{s.Slots[^1]}")];

    private static void Balanced(IEnumerable<NodeId> places, int nodes, int slack)
    {
        var counts = Enumerable.Range(1, nodes).ToDictionary(i => new NodeId($"n{i}"), _ => 0);
        foreach (var place in places)
        {
            counts[place]++;
        }

        Assert.InRange(counts.Values.Max() - counts.Values.Min(), 0, slack);
    }
}
