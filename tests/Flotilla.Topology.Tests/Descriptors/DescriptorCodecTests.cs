using Flotilla.Topology.Descriptors;
using Flotilla.Topology.Gossip;
using Flotilla.Topology.Sealing;

namespace Flotilla.Topology.Tests.Descriptors;

public sealed class DescriptorCodecTests(ITestOutputHelper output)
{
    [Fact]
    public void A_descriptor_comes_back_as_it_was()
    {
        var random = new Random(1);
        for (var round = 0; round < 100; round++)
        {
            var descriptor = Samples.Draw(random);
            var bytes = DescriptorCodec.Encode(descriptor);
            Assert.True(DescriptorCodec.TryDecode(bytes, out var read, out var problem), problem);
            Assert.Equal(bytes, DescriptorCodec.Encode(read!));
            Assert.Equal(descriptor, read);
            Assert.Equal(descriptor.Slots, read!.Slots);
            Assert.Equal(descriptor.Voters, read.Voters);
            Assert.Equal(descriptor.Learners, read.Learners);
            Assert.Equal(descriptor.InSync, read.InSync);
            Assert.Equal(descriptor.Former, read.Former);
            Assert.Equal(descriptor.Outgoing, read.Outgoing);
            Assert.Equal(descriptor.Incoming, read.Incoming);
            Assert.Equal(
                (descriptor.Key, descriptor.Version, descriptor.State, descriptor.Mode, descriptor.Weight, descriptor.Leader, descriptor.ConfigurationIndex, descriptor.RingDigest),
                (read.Key, read.Version, read.State, read.Mode, read.Weight, read.Leader, read.ConfigurationIndex, read.RingDigest));
        }
    }

    [Fact]
    [Trait("Hazard", "53")]
    public void Every_flipped_bit_and_every_cut_is_refused()
    {
        var random = new Random(2);
        var bytes = ShardItem.Of(Samples.Draw(random) with { Slots = SlotEpochs.Of(new Ring([new(new(1)), new(new(2)), new(new(3))]).SlotsOf(new(1)).Take(200), SlotEpoch.First), State = ShardState.Active }).Bytes.ToArray();
        for (var bit = 0; bit < bytes.Length * 8; bit++)
        {
            bytes[bit >> 3] ^= (byte)(1 << (bit & 7));
            Assert.False(DescriptorCodec.TryDecode(bytes, out var descriptor, out var problem));
            Assert.Null(descriptor);
            Assert.NotNull(problem);
            bytes[bit >> 3] ^= (byte)(1 << (bit & 7));
        }

        for (var length = 0; length < bytes.Length; length++)
        {
            Assert.False(DescriptorCodec.TryDecode(bytes.AsSpan(0, length), out _, out _));
        }

        Assert.False(DescriptorCodec.TryDecode([.. bytes, 0], out _, out _));
        Assert.True(DescriptorCodec.TryDecode(bytes, out _, out _));
    }

    [Fact]
    [Trait("Hazard", "53")]
    public void Any_bytes_are_a_descriptor_or_a_refusal()
    {
        var random = new Random(3);
        var accepted = 0;
        for (var round = 0; round < 5_000; round++)
        {
            // Bodies of descriptors with some bytes changed, cut or added, under a checksum that fits: the checksum would
            // refuse nearly all else, and what is behind it has to stand by itself.
            Assert.True(Seal.TryOpen(DescriptorCodec.Encode(Small(random)), out var kind, out var opened, out _));
            var body = opened.ToArray();
            for (var change = random.Next(1, 6); change > 0 && body.Length > 0; change--)
            {
                var at = random.Next(body.Length);
                body = random.Next(5) switch
                {
                    0 => body[..at],
                    1 => [.. body[..at], (byte)random.Next(256), .. body[at..]],
                    2 => [.. body[..at], 0xFF, 0xFF, 0xFF, 0xFF, 0x0F, .. body[at..]],
                    _ => [.. body[..at], (byte)random.Next(256), .. body[(at + 1)..]],
                };
            }

            if (DescriptorCodec.TryDecode(Seal.Close(kind, body), out var descriptor, out var problem))
            {
                accepted++;
                Assert.Equal(descriptor, Decode(DescriptorCodec.Encode(descriptor!)));
            }
            else
            {
                Assert.NotEmpty(problem!);
            }

            var noise = new byte[random.Next(100)];
            random.NextBytes(noise);
            Assert.False(DescriptorCodec.TryDecode(noise, out _, out _));
        }

        output.WriteLine($"{accepted} of 5000 changed bodies still made sense");
        Assert.InRange(accepted, 100, 4_900);
    }

    [Fact]
    public void A_claimed_length_allocates_nothing()
    {
        // Behind a good checksum: a descriptor that claims 2^31 members, slots or bytes, without having them.
        foreach (var at in new[] { 1, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 30 })
        {
            Assert.True(Seal.TryOpen(DescriptorCodec.Encode(Small(new Random(4))), out var kind, out var body, out _));
            byte[] changed = [.. body[..at], 0xFF, 0xFF, 0xFF, 0xFF, 0x07, .. body[at..]];
            var bytes = Seal.Close(kind, changed);
            var before = GC.GetAllocatedBytesForCurrentThread();
            DescriptorCodec.TryDecode(bytes, out _, out _);
            Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 200_000);
        }

        Assert.False(DescriptorCodec.TryDecode(new byte[DescriptorCodec.MaxBytes + 1], out _, out var problem));
        Assert.Contains("more than", problem, StringComparison.Ordinal);
    }

    [Fact]
    public void Fields_of_a_later_release_are_skipped_and_passed_on()
    {
        Assert.True(Seal.TryOpen(DescriptorCodec.Encode(Small(new Random(5))), out var kind, out var body, out _));
        var later = Seal.Close(kind, [.. body, 77, 3, 1, 2, 3, 78, 0]);
        var item = ShardItem.TryOpen(later, out var problem);
        Assert.True(item is not null, problem);
        Assert.Equal(Small(new Random(5)), item!.Descriptor);
        Assert.Equal(later, item.Bytes.ToArray());
        Assert.Null(ShardItem.TryOpen(Seal.Close(kind, [.. body, 78, 0, 77, 0]), out problem));
        Assert.Equal("its fields are out of order", problem);
    }

    [Fact]
    public void A_format_of_a_later_release_is_refused_by_name()
    {
        var bytes = DescriptorCodec.Encode(Small(new Random(6)))[..^4];
        bytes[1] = 2;
        Assert.False(DescriptorCodec.TryDecode([.. bytes, .. BitConverter.GetBytes(Crc32C.Compute(0, bytes))], out _, out var problem));
        Assert.Equal("its format is 2, and this release reads 1", problem);
    }

    [Fact]
    public void What_breaks_a_rule_is_neither_written_nor_read()
    {
        var good = Small(new Random(7)) with { State = ShardState.Active, Slots = SlotEpochs.Of(SlotSet.Of([SlotRange.Of(1, 5)]), SlotEpoch.First) };
        ShardMember Member(string node) => new(node, default);
        ShardDescriptor[] bad =
        [
            good with { Key = new ShardKey(new ShardId(0), 1) },
            good with { Key = new ShardKey(new ShardId(1), 0) },
            good with { State = (ShardState)9 },
            good with { Mode = (ShardMode)9 },
            good with { Weight = 0 },
            good with { Weight = Ring.MaxWeight + 1 },
            good with { State = ShardState.Retired },
            good with { Voters = [Member("b"), Member("a")] },
            good with { Voters = [Member("a"), Member("a")] },
            good with { Voters = [Member("a")], Learners = [Member("a")] },
            good with { Voters = [Member("a")], InSync = ["b"] },
            good with { Voters = [Member("a b")] },
            good with { Voters = [Member(new string('x', 256))] },
            good with { Voters = [.. Enumerable.Range(0, 65).Select(i => Member($"n{i:00}"))] },
            good with { Leader = "ä" },
            good with { Former = [new FormerMember("a", 0)] },
            good with { Outgoing = [new MoveProgress(new ShardKey(new ShardId(0), 1), MovePhase.Frozen, 1, 0, 0)] },
        ];
        Assert.All(bad, d => Assert.Throws<ArgumentException>(() => DescriptorCodec.Encode(d)));
        DescriptorCodec.Encode(good);
    }

    [Fact]
    public void Descriptors_are_small()
    {
        // One shard of three replicas among as many shards as the first column says; the slots are those of the ring.
        foreach (var (shards, most) in new[] { (3, 2400), (10, 2400), (100, 800), (1000, 400) })
        {
            var ring = new Ring([.. Enumerable.Range(1, shards).Select(s => new RingMember(new ShardId(s)))]);
            var sizes = Enumerable.Range(1, Math.Min(shards, 50)).Select(s => DescriptorCodec.Encode(Typical.Shard(s, shards, ring)).Length).ToArray();
            output.WriteLine($"{shards} shards: {sizes.Min()} to {sizes.Max()} bytes");
            Assert.InRange(sizes.Max(), 100, most);
        }
    }

    [Fact]
    public void A_node_record_comes_back_and_its_flipped_bits_are_refused()
    {
        var record = new NodeRecord("n1", 7, 3, NodeRecord.FirstRevision(3) + 5, new NodeAddresses("127.0.0.1:8001", "127.0.0.1:50051", null, "127.0.0.1:7101"), IsReluctant: true);
        foreach (var one in new[] { record, record with { Addresses = default }, record with { IsReluctant = false } })
        {
            var bytes = NodeItem.Of(one).Bytes.ToArray();
            Assert.Equal(one, NodeItem.TryOpen(bytes, out _)!.Record);
            for (var bit = 0; bit < bytes.Length * 8; bit++)
            {
                bytes[bit >> 3] ^= (byte)(1 << (bit & 7));
                Assert.Null(NodeItem.TryOpen(bytes, out var problem));
                Assert.NotNull(problem);
                bytes[bit >> 3] ^= (byte)(1 << (bit & 7));
            }
        }

        Assert.Null(NodeItem.TryOpen(DescriptorCodec.Encode(Small(new Random(8))), out _));
        Assert.Null(ShardItem.TryOpen(NodeItem.Of(record).Bytes.Span, out _));
        Assert.Throws<ArgumentOutOfRangeException>(() => NodeItem.Of(record with { Incarnation = 0 }));
    }

    private static ShardDescriptor Small(Random random) =>
        Samples.Draw(random) with { Slots = SlotEpochs.Of(SlotSet.Of([SlotRange.Of(5, 9), SlotRange.Of(11, 400)]), new SlotEpoch(2)), State = ShardState.Leaving };

    private static ShardDescriptor Decode(byte[] bytes)
    {
        Assert.True(DescriptorCodec.TryDecode(bytes, out var descriptor, out var problem), problem);
        return descriptor!;
    }
}
