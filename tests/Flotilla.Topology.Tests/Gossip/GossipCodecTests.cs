using System.Collections.Immutable;
using Flotilla.Topology.Descriptors;
using Flotilla.Topology.Gossip;
using Flotilla.Topology.Sealing;
using Flotilla.Topology.Tests.Descriptors;

namespace Flotilla.Topology.Tests.Gossip;

public sealed class GossipCodecTests
{
    [Fact]
    public void Messages_come_back_and_their_length_is_known_before()
    {
        var random = new Random(1);
        for (var round = 0; round < 60; round++)
        {
            foreach (var message in Messages(random))
            {
                var bytes = GossipCodec.Encode(message);
                Assert.Equal(bytes.Length, GossipCodec.LengthOf(message));
                Assert.True(GossipCodec.TryDecode(bytes, out var read, out var problem), problem);
                Assert.Null(problem);
                Assert.Equal(message.GetType(), read!.GetType());
                Assert.Equal(bytes, GossipCodec.Encode(read));
            }
        }
    }

    [Fact]
    [Trait("Hazard", "53")]
    public void A_flipped_bit_in_a_message_is_refused()
    {
        var random = new Random(2);
        foreach (var message in Messages(random, items: 2))
        {
            var bytes = GossipCodec.Encode(message);
            for (var n = 0; n < 4000; n++)
            {
                var bit = bytes.Length < 500 ? n % (bytes.Length * 8) : random.Next(bytes.Length * 8);
                bytes[bit >> 3] ^= (byte)(1 << (bit & 7));
                Assert.False(GossipCodec.TryDecode(bytes, out var read, out var problem));
                Assert.Null(read);
                Assert.NotNull(problem);
                bytes[bit >> 3] ^= (byte)(1 << (bit & 7));
            }
        }
    }

    [Fact]
    public void Any_bytes_are_a_message_or_a_refusal()
    {
        var random = new Random(3);
        for (var round = 0; round < 1000; round++)
        {
            foreach (var message in Messages(random, items: 1))
            {
                Assert.True(Seal.TryOpen(GossipCodec.Encode(message), out var kind, out var opened, out _));
                var body = opened.ToArray();
                for (var change = random.Next(1, 4); change > 0 && body.Length > 0; change--)
                {
                    var at = random.Next(Math.Min(body.Length, 60));
                    body = random.Next(3) switch
                    {
                        0 => body[..at],
                        1 => [.. body[..at], 0xFF, 0xFF, 0xFF, 0x7F, .. body[at..]],
                        _ => [.. body[..at], (byte)random.Next(256), .. body[(at + 1)..]],
                    };
                }

                Assert.Equal(GossipCodec.TryDecode(Seal.Close(kind, body), out var read, out var problem), read is not null);
                Assert.True(read is not null || problem is not null);
            }
        }

        Assert.False(GossipCodec.TryDecode(new byte[GossipCodec.MaxBytes + 1], out _, out _));
        Assert.False(GossipCodec.TryDecode(Seal.Close((byte)'?', new byte[20]), out _, out var unknown));
        Assert.Equal("it is no message of gossip", unknown);
    }

    [Fact]
    public void An_item_that_is_refused_leaves_the_others_standing()
    {
        var good = NodeItem.Of(Typical.Node(1));
        var other = NodeItem.Of(Typical.Node(2));
        var bad = good.Bytes.ToArray();
        bad[8] ^= 1;
        var to = new SealWriter();
        to.UInt64(7);
        to.Varint(3);
        to.Bytes(good.Bytes.Span);
        to.Bytes(bad);
        to.Bytes(other.Bytes.Span);
        Assert.True(GossipCodec.TryDecode(Seal.Close((byte)'W', to.Written), out var message, out var problem));
        Assert.Equal(2, Assert.IsType<GossipMessage.News>(message).Items.Length);
        Assert.Equal("an item was left out: its checksum is wrong", problem);
    }

    [Fact]
    public void A_table_comes_back_from_its_file_and_a_damaged_one_counts_as_empty()
    {
        var random = new Random(4);
        var table = GossipTable.Empty.Merge([.. Enumerable.Range(0, 30).Select(i => NodeItem.Of(Typical.Node(i))), .. Items(random, 20)], out _);
        var bytes = TableCodec.Encode(table, clusterId: 9);
        Assert.True(table.HoldsSameAs(TableCodec.Decode(bytes, 9, out var problem)));
        Assert.Null(problem);
        Assert.True(table.HoldsSameAs(TableCodec.Decode(bytes, 0, out _)));
        Assert.Equal(0, TableCodec.Decode(bytes, 8, out problem).Count);
        Assert.Equal("it belongs to cluster 0000000000000009, not to 0000000000000008", problem);
        for (var n = 0; n < 2000; n++)
        {
            var bit = random.Next(bytes.Length * 8);
            bytes[bit >> 3] ^= (byte)(1 << (bit & 7));
            Assert.Same(GossipTable.Empty, TableCodec.Decode(bytes, 9, out problem));
            Assert.NotNull(problem);
            bytes[bit >> 3] ^= (byte)(1 << (bit & 7));
        }

        for (var length = 0; length < bytes.Length; length += 97)
        {
            Assert.Same(GossipTable.Empty, TableCodec.Decode(bytes.AsSpan(0, length), 9, out _));
        }

        Assert.Same(GossipTable.Empty, TableCodec.Decode(GossipCodec.Encode(new GossipMessage.News(9, [])), 9, out _));
    }

    private static IEnumerable<GossipMessage> Messages(Random random, int items = 5)
    {
        var some = Items(random, items);
        var table = GossipTable.Empty.Merge(some, out _);
        yield return new GossipMessage.Digest((ulong)random.NextInt64(), TableDigest.Of(table, (ulong)random.NextInt64(), random.Next(TableDigest.MinBits, TableDigest.MaxBits + 1)));
        yield return new GossipMessage.Difference((ulong)random.NextInt64(), 5, [.. Enumerable.Range(0, 32).Where(_ => random.Next(3) == 0).Select(b => (ushort)b)], some);
        yield return new GossipMessage.News((ulong)random.NextInt64(), some);
        yield return new GossipMessage.News(1, []);
        yield return new GossipMessage.Difference(1, 9, [], []);
    }

    private static ImmutableArray<GossipItem> Items(Random random, int count) =>
        [.. Enumerable.Range(0, random.Next(count + 1)).Select(_ => random.Next(2) == 0 ? (GossipItem)ShardItem.Of(Samples.Draw(random)) : NodeItem.Of(Typical.Node(random.Next(99))))];
}
