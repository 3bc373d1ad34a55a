using Flotilla.Topology.Descriptors;
using Flotilla.Topology.Gossip;

namespace Flotilla.Topology.Tests.Descriptors;

public sealed class MergeTests
{
    [Fact]
    public void The_higher_version_stands()
    {
        var old = Shard(1, 9, ShardState.Active);
        var newTerm = Shard(2, 1, ShardState.Leaving);
        var newIndex = Shard(2, 2, ShardState.Active);
        Assert.True(ShardItem.Compare(newTerm, old) > 0);
        Assert.True(ShardItem.Compare(newIndex, newTerm) > 0);
    }

    [Fact]
    public void Retired_stands_for_ever_whatever_the_version()
    {
        var retired = Shard(1, 1, ShardState.Retired);
        Assert.True(ShardItem.Compare(retired, Shard(9, 9, ShardState.Active)) > 0);
        Assert.True(ShardItem.Compare(Shard(9, 9, ShardState.Joining), retired) < 0);
        Assert.True(ShardItem.Compare(Shard(1, 2, ShardState.Retired), retired) > 0);
    }

    [Fact]
    public void Equal_versions_with_different_content_have_one_winner_everywhere()
    {
        var one = ShardItem.Of(Shard(1, 1, ShardState.Active).Descriptor with { Weight = 50 });
        var other = Shard(1, 1, ShardState.Active);
        Assert.NotEqual(0, ShardItem.Compare(one, other));
        Assert.Equal(Math.Sign(ShardItem.Compare(one, other)), -Math.Sign(ShardItem.Compare(other, one)));
        Assert.Equal(0, ShardItem.Compare(one, one));
    }

    [Fact]
    public void Merging_is_commutative_associative_and_idempotent()
    {
        var random = new Random(1);
        for (var round = 0; round < 300; round++)
        {
            GossipItem[] Draw() => [.. Enumerable.Range(0, random.Next(6)).Select(_ => random.Next(3) == 0 ? (GossipItem)Node(random) : ShardItem.Of(Samples.Draw(random, withSlots: false)))];
            var (a, b, c) = (Draw(), Draw(), Draw());
            var all = Of(a, b, c);
            Assert.True(all.HoldsSameAs(Of(c, b, a)));
            Assert.True(all.HoldsSameAs(Of(b, a, c, a, b)));
            Assert.True(all.HoldsSameAs(Of(a).Merge([.. Items(Of(b, c))], out _)));
            Assert.True(all.HoldsSameAs(Of([.. Of(a, b).Items()], c)));
            Assert.True(all.HoldsSameAs(all.Merge([.. all.Items()], out var changed)));
            Assert.Empty(changed);
            Assert.Equal(Encoded(all), Encoded(Of([.. a.Concat(b).Concat(c).OrderBy(_ => random.Next())])));
            foreach (var shard in all.Shards.Where(s => s.Descriptor.State != ShardState.Retired))
            {
                Assert.DoesNotContain(a.Concat(b).Concat(c).OfType<ShardItem>(), s => s.Key == shard.Key && s.Descriptor.State == ShardState.Retired);
            }
        }
    }

    [Fact]
    public void Two_groups_under_one_number_are_both_kept_and_reported()
    {
        var one = Shard(1, 1, ShardState.Active);
        var other = ShardItem.Of(one.Descriptor with { Key = new ShardKey(new ShardId(1), 99), Version = new DescriptorVersion(9, 9) });
        var table = Of([one], [other]);
        Assert.Equal([one, other], table.Shards.OrderBy(s => s.Key.Group));
        Assert.Equal([new ShardId(1)], table.Doubled);
        Assert.Empty(Of([one]).Doubled);
        Assert.True(table.HoldsSameAs(Of([other], [one])));
    }

    [Fact]
    public void What_changed_is_told()
    {
        var old = Shard(1, 1, ShardState.Active);
        var newer = Shard(1, 2, ShardState.Active);
        var table = GossipTable.Empty.Merge([old, newer], out var changed);
        Assert.Equal([newer], changed);
        Assert.Same(table, table.Merge([old, newer], out changed));
        Assert.Empty(changed);
    }

    private static GossipTable Of(params GossipItem[][] parts) => parts.Aggregate(GossipTable.Empty, (table, part) => table.Merge(part, out _));

    private static IEnumerable<GossipItem> Items(GossipTable table) => table.Items();

    private static byte[] Encoded(GossipTable table) => TableCodec.Encode(table, clusterId: 1);

    private static NodeItem Node(Random random) => NodeItem.Of(new NodeRecord($"n{random.Next(3)}", (ulong)random.Next(1, 3), 1, (ulong)random.Next(3), default, random.Next(2) == 0));

    private static ShardItem Shard(ulong term, ulong index, ShardState state) =>
        ShardItem.Of(new ShardDescriptor { Key = new ShardKey(new ShardId(1), 5), Version = new DescriptorVersion(term, index), State = state });
}
