using Flotilla.Topology.Descriptors;
using Flotilla.Topology.Gossip;
using Flotilla.Topology.Tests.Descriptors;

namespace Flotilla.Topology.Tests.Gossip;

public sealed class GossipTableTests
{
    [Fact]
    public void A_difference_that_one_salt_hides_the_next_exchange_shows()
    {
        var one = GossipTable.Empty.Merge([NodeItem.Of(Typical.Node(1))], out _);
        var other = GossipTable.Empty.Merge([NodeItem.Of(Typical.Node(1) with { IsReluctant = true })], out _);
        var hidden = 0;
        const int Salts = 1_000_000;
        for (var salt = 0UL; salt < Salts; salt++)
        {
            hidden += TableDigest.Of(one, salt).BucketsThatDifferFrom(other).Count == 0 ? 1 : 0;
        }

        // 1 in 65,536, however the two tables happen to differ.
        Assert.InRange(hidden, 3, 40);
    }

    [Fact]
    public void Digests_find_exactly_the_buckets_that_differ()
    {
        var random = new SplitMix(1);
        for (var round = 0; round < 50; round++)
        {
            GossipItem[] items = [.. Enumerable.Range(0, random.Below(300)).Select(n => NodeItem.Of(Typical.Node(n)))];
            var (one, other) = (GossipTable.Empty.Merge(items, out _), GossipTable.Empty.Merge([.. items.Reverse()], out _));
            Assert.Empty(TableDigest.Of(one, random.Next()).BucketsThatDifferFrom(other));
            var changed = NodeItem.Of(Typical.Node(random.Below(400)) with { IsReluctant = true });
            other = other.Merge([changed], out _);
            var digest = TableDigest.Of(one, random.Next());
            var found = new List<GossipItem>();
            foreach (var bucket in digest.BucketsThatDifferFrom(other))
            {
                other.AddItemsOf(bucket, digest.Bits, found);
            }

            Assert.True(found.Count == 0 || found.Contains(changed)); // Hidden once in 65,536 times.
            Assert.InRange(digest.Hashes.Length, 16, 512);
        }
    }

    [Fact]
    public void A_full_table_turns_newcomers_away_and_goes_on_learning_of_those_it_knows()
    {
        var gossiper = new Gossiper(new GossipOptions(1, null, 0, 0), GossipTable.Empty);
        var output = gossiper.Receive("n", new GossipMessage.News(1, [.. Enumerable.Range(1, GossipTable.MaxNodes).Select(n => NodeItem.Of(Typical.Node(n)))]));
        Assert.Empty(output.Findings);
        Assert.Equal(GossipTable.MaxNodes, gossiper.Table.NodeCount);
        output = gossiper.Receive("n", new GossipMessage.News(1, [NodeItem.Of(Typical.Node(0)), NodeItem.Of(Typical.Node(5) with { IsReluctant = true, Revision = ulong.MaxValue >> 2 })]));
        Assert.Equal(new GossipFinding.Full(), Assert.Single(output.Findings));
        Assert.Equal("n5", Assert.IsType<NodeItem>(Assert.Single(output.Changed)).Record.Node);
        Assert.Null(gossiper.Table.FindNode("n0"));
    }

    [Fact]
    public void The_largest_descriptor_fits_into_a_message()
    {
        var random = new Random(1);
        var bySlot = new uint[Slot.Count];
        for (var i = 0; i < bySlot.Length; i++)
        {
            bySlot[i] = (uint)random.NextInt64(1, 1L << 32);
        }

        string Long(int n, int length) => n.ToString("00000", System.Globalization.CultureInfo.InvariantCulture).PadRight(length, 'x');
        var address = Long(1, DescriptorCodec.MaxAddress);
        var move = new MoveProgress(new ShardKey(new ShardId(DescriptorCodec.MaxShard), ulong.MaxValue), MovePhase.Purging, Slot.Count, ulong.MaxValue, ulong.MaxValue);
        var item = ShardItem.Of(new ShardDescriptor
        {
            Key = new ShardKey(new ShardId(DescriptorCodec.MaxShard), ulong.MaxValue),
            Version = new DescriptorVersion(ulong.MaxValue, ulong.MaxValue),
            State = ShardState.Leaving,
            Leader = Long(0, DescriptorCodec.MaxNodeId),
            ConfigurationIndex = ulong.MaxValue,
            Voters = [.. Enumerable.Range(0, DescriptorCodec.MaxMembers).Select(n => new ShardMember(Long(n, DescriptorCodec.MaxNodeId), new NodeAddresses(address, address, address, address)))],
            InSync = [.. Enumerable.Range(0, DescriptorCodec.MaxMembers).Select(n => Long(n, DescriptorCodec.MaxNodeId))],
            Former = [.. Enumerable.Range(0, DescriptorCodec.MaxFormer).Select(n => new FormerMember(Long(n, DescriptorCodec.MaxNodeId), ulong.MaxValue))],
            Slots = SlotEpochs.Of(bySlot),
            RingDigest = ulong.MaxValue,
            Outgoing = [.. Enumerable.Repeat(move, DescriptorCodec.MaxMoves)],
            Incoming = [.. Enumerable.Repeat(move, DescriptorCodec.MaxMoves)],
        });
        Assert.InRange(item.Bytes.Length, 150_000, DescriptorCodec.MaxBytes);
        Assert.True(GossipCodec.TryDecode(GossipCodec.Encode(new GossipMessage.Difference(1, 9, [.. Enumerable.Range(0, 512).Select(b => (ushort)b)], [item])), out var message, out var problem), problem);
        Assert.Equal(item.Descriptor, Assert.IsType<ShardItem>(Assert.Single(Assert.IsType<GossipMessage.Difference>(message).Items)).Descriptor);
    }
}
