using System.Buffers.Binary;
using Flotilla.Data;
using Flotilla.Raft;
using Flotilla.Shards.ExactlyOnce;
using Flotilla.Shards.Image;
using Flotilla.Shards.Tests.Harness;
using Flotilla.Topology;
using static Flotilla.Shards.Tests.Harness.Words;

namespace Flotilla.Shards.Tests.Image;

/// <summary>The blocks of an image: what is in them, and that nothing else is taken for one.</summary>
public sealed class ImageFormatTests
{
    private static readonly SessionTerms Terms = new(3_600_000, 4096, 10_000, 1_000_000);

    [Fact]
    public void The_format_on_disk_never_changes()
    {
        var log = new LogOf(new BTree(), [.. AllSlots.Take(100), .. AllSlots.Skip(1000)]);
        log.Apply(1000, Opening(Terms));
        var session = new SessionId(new LogIndex(1), 0);
        log.Apply(
            1500,
            Command.Put(B("a"), B("1"), ttlMs: 500),
            Command.Increment(B("n"), 7).In(session, 9, mark: 8),
            Command.Delete(B("none")).In(session, 12, mark: 8),
            Command.PutIfAbsent(B("a"), B("2")).Under("id"));
        var digest = LittleEndian(Digest128.Of(Command.PutIfAbsent(B("a"), B("2")))); // Other tests hold the values of both.
        var name = LittleEndian(Digest128.OfKey(new Slot(0x3C87), B("id")));
        var blocks = Images.Blocks(log.Machine.TakeImage(B("config"))).Select(Convert.ToHexString).ToArray();
        Assert.Equal(
            (string[])[
                "00" + "01" + "464C5349" + "04" + "02" + "01" + "DC0B" + "01" + "02" + "01" + "02" + "06636F6E666967",
                "01" + "02" + "0164" + "008407" + "019878",
                "02" + "09" + "02" + "64" + "00" + "00" + "00" + "00" + "00" + "00" + "00" + "00" + "00" + "00" + "01" + "00",
                "03" + "03" + "0000" + "0100" + "80DDDB01" + "8020" + "904E" + "C0843D" + "DC0B" + "08" + "02"
                    + "01" + "E81A" + "00" + "01000201" + "0137"
                    + "03" + "F431" + "01" + "00000000" + "00",
                "04" + "04" + "9D01" + "DCE8DB01" + "8779" + name + digest[..16] + "02" + "01000200",
                "05" + "05" + "0161" + "01000200" + "D00F" + "0131" + "016E" + "01000201" + "00" + "0137",
                "06" + "08",
            ],
            blocks);

        // The same state as format 1 had it, with keys as they are: for all that anybody can see it is the same.
        string[] format1 =
        [
            blocks[0][..12] + "01" + blocks[0][14..],
            blocks[1],
            "02" + "03" + blocks[3][8..],
            "03" + "04" + "043C876964" + "01000200" + "DCE8DB01" + "11" + digest + "02",
            "04" + blocks[5][2..],
            "05" + "08",
        ];
        string[] format2 = [blocks[0][..12] + "02" + blocks[0][14..], blocks[1], format1[2], "03" + blocks[4][2..], format1[4], format1[5]];
        string[] format3 = [blocks[0][..12] + "03" + blocks[0][14..], blocks[1], blocks[2][..^4], .. blocks[3..]];
        Assert.Equal(log.Machine.StateDigest(), Images.Read(format3.Select(Convert.FromHexString)).Machine.StateDigest());
        Assert.Equal(log.Machine.StateDigest(), Images.Read(format2.Select(Convert.FromHexString)).Machine.StateDigest());
        Assert.Equal(log.Machine.StateDigest(), Images.Read(format1.Select(Convert.FromHexString)).Machine.StateDigest());
        Assert.True(Images.Read(blocks.Select(Convert.FromHexString)).IsComplete);
        Assert.True(Refuses([Convert.FromHexString(blocks[0][..12] + "05" + blocks[0][14..]), .. blocks[1..].Select(Convert.FromHexString)]), "A format of the future was taken for one of ours.");
    }

    [Fact]
    public void Keys_of_format_1_answer_and_end_as_they_would_have()
    {
        var log = new LogOf();
        Command[] commands = [Command.Increment(B("n"), -7), Command.Put(B("n"), B("x")), Command.Delete(B("none"))];
        log.Apply(1000, [.. commands.Select((c, i) => c.Under($"id-{i}"))]);
        var blocks = Images.Blocks(log.Machine.TakeImage(default));
        var keys = commands.Select((c, i) => (Slot: Slot.Of(c.Key.Span).Value, Name: $"id-{i}", Digest: Digest128.Of(in c), Code: i == 2 ? 1 : 0, Place: i, Text: i == 0 ? "-7" : ""))
            .OrderBy(k => k.Slot).ThenBy(k => k.Name, StringComparer.Ordinal);
        var items = keys.Select(k => "06" + k.Slot.ToString("X4") + Convert.ToHexString(B(k.Name)) + (k.Code == 0 ? $"010001{k.Place:X2}" : "00000000") + "E8E4DB01"
            + (17 + k.Text.Length).ToString("X2") + LittleEndian(k.Digest) + k.Code.ToString("X2") + Convert.ToHexString(B(k.Text)));
        blocks[0][6] = 1;
        blocks.RemoveAt(2); // The ownership.
        blocks.ForEach(b => b[0] = (byte)blocks.IndexOf(b));
        blocks[2] = Convert.FromHexString("0204" + string.Concat(items));
        var machine = Images.Read(blocks).Machine;
        Assert.Equal(3, machine.IdempotencyKeyCount);
        var again = new List<CommandResult>();
        machine.Apply(new Entry(new LogIndex(2), new Term(1), EntryKind.Command, CommandCodec.Encode(2000, [.. commands.Select((c, i) => c.Under($"id-{i}")), Command.Put(B("n"), B("y")).Under("id-1")])), again);
        Assert.Equal(
            [(ResultCode.Ok, new Data.Version(1, 0, 1, 0), "-7"), (ResultCode.Ok, new Data.Version(1, 0, 1, 1), ""), (ResultCode.NotFound, default, ""), (ResultCode.KeyReused, default, "")],
            again.Select(r => (r.Code, r.Version, Text(r.Value))));
        machine.Apply(new Entry(new LogIndex(3), new Term(1), EntryKind.Command, CommandCodec.Encode(3_601_000, [])), again);
        Assert.Equal(0, machine.IdempotencyKeyCount);
    }

    [Fact]
    public void A_state_that_knows_nothing_has_an_image_too()
    {
        var machine = new StateMachine(new BTree(), []);
        var blocks = Images.Blocks(machine.TakeImage(default));
        Assert.Equal(4, blocks.Count);
        Assert.Equal(machine.StateDigest(), Images.Read(blocks).Machine.StateDigest());
    }

    [Fact]
    public void The_configuration_comes_back_and_is_bounded()
    {
        var machine = new StateMachine(new BTree(), AllSlots);
        var configuration = new byte[StateImage.MaxConfigurationBytes];
        configuration[^1] = 7;
        Assert.Equal(configuration, Images.Read(Images.Blocks(machine.TakeImage(configuration))).Configuration.ToArray());
        Assert.Throws<ArgumentException>(() => machine.TakeImage(new byte[configuration.Length + 1]));
    }

    [Fact]
    public void Values_of_every_length_around_a_block_come_back_whole()
    {
        var log = new LogOf();
        int[] lengths = [0, 1, 1000, ImageWriter.MaxBlockBytes - 40, ImageWriter.MaxBlockBytes - 20, ImageWriter.MaxBlockBytes, ImageWriter.MaxBlockBytes + 1, (2 * ImageWriter.MaxBlockBytes) - 30, 1 << 20, 5 << 20];
        foreach (var length in lengths)
        {
            for (var more = 0; more < 12; more++)
            {
                var value = new byte[length + more];
                Scramble(value);
                log.Apply(0, Command.Put(B($"{length:D8}-{more:D2}"), value));
            }
        }

        Assert.Equal(log.Machine.StateDigest(), Images.Restored(log.Machine).StateDigest());
    }

    [Fact]
    public void Epochs_that_differ_from_slot_to_slot_fit_into_their_block()
    {
        var log = new LogOf(new BTree(), [.. AllSlots.Where(s => s.Value % 2 == 0)]);
        Assert.Equal(log.Machine.StateDigest(), Images.Restored(log.Machine).StateDigest());
    }

    [Fact]
    public void Sessions_with_more_results_than_a_block_holds_go_on_in_the_next()
    {
        var log = new LogOf();
        var first = log.Open(0, Terms with { Window = 100_000 });
        log.Open(0);
        var last = log.Open(0, Terms with { Window = 100_000 });
        for (var i = 0UL; i < 30_000; i += 100)
        {
            var from = i;
            log.Apply(0, [.. Enumerable.Range(0, 100).SelectMany(k => new[] { Command.Increment(B($"{k}"), 1).In(first, from + (ulong)k), Command.Increment(B($"{k}"), 1).In(last, (from + (ulong)k) * 2) })]);
        }

        Assert.Equal(60_000, log.Machine.RecordedResultCount);
        var blocks = Images.Blocks(log.Machine.TakeImage(default));
        Assert.True(blocks.Count(b => b[1] == 3) > 2);
        Assert.Equal(log.Machine.StateDigest(), Images.Read(blocks).Machine.StateDigest());
    }

    [Fact]
    public void Images_are_taken_and_held_in_numbers_while_sessions_change()
    {
        var log = new LogOf();
        var session = log.Open(0);
        var images = new List<(StateImage Image, ulong Digest)>();
        for (var i = 1UL; i < 60; i++)
        {
            log.Apply(0, Command.Increment(B("n"), 1).In(session, i, mark: i / 2));
            images.Add((log.Machine.TakeImage(default), log.Machine.StateDigest()));
        }

        Assert.All(images, taken => Assert.Equal(taken.Digest, Images.Read(Images.Blocks(taken.Image)).Machine.StateDigest()));
    }

    [Fact]
    [Trait("Hazard", "25")]
    public void Blocks_that_are_missing_swapped_repeated_or_of_another_image_are_refused()
    {
        var blocks = Sample();
        for (var i = 0; i < blocks.Count; i++)
        {
            var others = blocks.Where((_, n) => n != i).ToArray();
            Assert.True(Refuses(others), $"Block {i} was not missed.");
            Assert.True(i == blocks.Count - 1 || Refuses([.. blocks.Take(i + 1), blocks[i], .. blocks.Skip(i + 1)]), $"Block {i} was taken twice.");
            if (i > 0)
            {
                Assert.True(Refuses([.. blocks.Take(i - 1), blocks[i], blocks[i - 1], .. blocks.Skip(i + 1)]), $"Block {i} was taken before the one ahead of it.");
            }
        }

        Assert.Throws<InvalidOperationException>(() => Images.Read(blocks.Take(blocks.Count - 1)).Machine);
        var complete = Images.Read(blocks);
        Assert.Throws<InvalidOperationException>(() => complete.Read(blocks[^1]));
        var broken = new ImageReader();
        Assert.Throws<MalformedImageException>(() => broken.Read(blocks[1]));
        Assert.Throws<InvalidOperationException>(() => broken.Read(blocks[0]));
    }

    [Fact]
    public void A_block_cut_anywhere_is_refused_or_leaves_something_missing()
    {
        var blocks = Sample();
        for (var i = 0; i < blocks.Count; i++)
        {
            for (var length = 0; length < blocks[i].Length; length += length < 100 ? 1 : 50_000)
            {
                Assert.True(Refuses([.. blocks.Take(i), blocks[i][..length], .. blocks.Skip(i + 1)]), $"Block {i} was taken with {length} of {blocks[i].Length} bytes.");
            }

            Assert.True(Refuses([.. blocks.Take(i), [.. blocks[i], 0], .. blocks.Skip(i + 1)]), $"Block {i} was taken with a byte too many.");
        }
    }

    [Fact]
    public void A_changed_byte_never_does_worse_than_lead_to_another_state()
    {
        var blocks = Sample(withLarge: false);
        var refused = 0;
        var random = new SplitMix64(9);
        for (var n = 0; n < 4000; n++)
        {
            var i = (int)random.Below(blocks.Count);
            var changed = (byte[])blocks[i].Clone();
            for (var times = random.Below(3); times >= 0; times--)
            {
                changed[random.Below(changed.Length)] = random.Chance(0.5) ? (byte)random.Next() : (byte)(random.Below(4) * 85);
            }

            byte[][] all = [.. blocks.Take(i), changed, .. blocks.Skip(i + 1)];
            if (Refuses(all))
            {
                refused++;
            }
            else
            {
                // What is accepted has one encoding: nothing in it was ignored.
                var reader = Images.Read(all);
                Assert.Equal(all, Images.Blocks(reader.Machine.TakeImage(reader.Configuration)));
            }
        }

        Assert.True(refused > 400, $"{refused} were refused.");
    }

    [Fact]
    public void A_claim_of_much_sets_no_memory_aside()
    {
        var log = new LogOf();
        log.Apply(0, Command.Put(B("k"), new byte[300_000]));
        var blocks = Images.Blocks(log.Machine.TakeImage(default));
        var large = blocks.FindIndex(b => b[1] == 6);

        // number, kind, key (2), version (4), expiry, then the length as a varint of three bytes: it becomes 2^31 - 1 in five.
        byte[] claiming = [.. blocks[large][..9], 0xFF, 0xFF, 0xFF, 0xFF, 0x07, .. blocks[large][12..]];
        var before = GC.GetAllocatedBytesForCurrentThread();
        Assert.True(Refuses([.. blocks.Take(large), claiming, .. blocks.Skip(large + 1)]));
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 20 << 20);
    }

    private static string LittleEndian(UInt128 number)
    {
        var bytes = new byte[16];
        BinaryPrimitives.WriteUInt128LittleEndian(bytes, number);
        return Convert.ToHexString(bytes);
    }

    private static void Scramble(byte[] value)
    {
        var random = new SplitMix64((ulong)value.Length);
        for (var at = 0; at < value.Length; at++)
        {
            value[at] = (byte)random.Next();
        }
    }

    private static bool Refuses(IEnumerable<byte[]> blocks)
    {
        try
        {
            return !Images.Read(blocks).IsComplete;
        }
        catch (MalformedImageException)
        {
            return true;
        }
    }

    // Small, and with a block of every kind, or all but those of large records.
    private static List<byte[]> Sample(bool withLarge = true)
    {
        var log = new LogOf(new BTree(), [.. AllSlots.Take(50), .. AllSlots.Skip(100)]);
        var sessions = Enumerable.Range(0, 3).Select(_ => log.Open(100)).ToArray();
        for (var i = 0UL; i < 6; i++)
        {
            log.Apply(200, Command.Increment(B($"n{i}"), 1).In(sessions[i % 2], 3 + (i * i), mark: i / 2), Command.Delete(B("x")).Under($"id-{i}"), Command.Put(B($"k{i}"), B("v"), ttlMs: (long)i * 1000));
        }

        log.Apply(200, Command.Put(B("large"), new byte[withLarge ? ImageWriter.MaxBlockBytes + 50 : 5]));
        var blocks = Images.Blocks(log.Machine.TakeImage(B("c")));
        Assert.Equal(withLarge ? [1, 2, 9, 3, 4, 5, 6, 7, 5, 8] : [1, 2, 9, 3, 4, 5, 8], blocks.Select(b => (int)b[1]));
        return blocks;
    }
}
