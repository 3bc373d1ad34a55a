using System.Buffers;
using Flotilla.Raft;
using Flotilla.Wire.Peers;
using Google.Protobuf;

namespace Flotilla.Wire.Tests.Peers;

[Trait("Hazard", "56")]
public sealed class PeerCodecFuzzTests
{
    [Fact]
    public void Random_bytes_throw_nothing_but_the_one_exception()
    {
        var random = new Random(11);
        for (var round = 0; round < 100_000; round++)
        {
            var bytes = new byte[random.Next(200)];
            random.NextBytes(bytes);
            FrameBudget.CheckAll(new ReadOnlySequence<byte>(bytes));
            Try(bytes, $"random bytes, round {round}");
        }
    }

    [Fact]
    public void Mutated_frames_throw_nothing_but_the_one_exception_and_what_decodes_encodes_again()
    {
        var random = new Random(12);
        var decoded = 0;
        for (var round = 0; round < 50_000; round++)
        {
            var bytes = PeerCodec.ToProto(new RandomFrames(round % 500).Frame()).ToByteArray().ToList();
            for (var i = random.Next(1, 4); i > 0 && bytes.Count > 0; i--)
            {
                Mutate(bytes, random);
            }

            decoded += Try([.. bytes], $"mutated frame, round {round}") ? 1 : 0;
        }

        // The mutations are small enough that many still make sense: else this would test the parser alone.
        Assert.True(decoded > 1000, $"only {decoded} mutated frames decoded");
    }

    [Fact]
    public void A_frame_cut_off_anywhere_throws_nothing_but_the_one_exception()
    {
        for (var seed = 0; seed < 40; seed++)
        {
            var bytes = PeerCodec.ToProto(new RandomFrames(seed).Frame()).ToByteArray();
            for (var length = 0; length < bytes.Length; length++)
            {
                Try(bytes.AsSpan(0, length).ToArray(), $"seed {seed} cut at {length}");
            }
        }
    }

    [Theory]
    [Trait("Hazard", "55")]
    [InlineData("1A00")] // envelopes
    [InlineData("1A0E090100000000000000 2A03 1A00 1000")] // an envelope around entries
    [InlineData("2200")] // calls
    [InlineData("2A041A021200")] // pages of records
    [InlineData("3A00")] // messages of gossip
    public void Millions_of_empty_parts_are_refused_before_they_become_objects(string hex)
    {
        var part = Convert.FromHexString(hex.Replace(" ", "", StringComparison.Ordinal));
        var frame = new byte[(4 << 20) / part.Length * part.Length];
        for (var at = 0; at < frame.Length; at += part.Length)
        {
            part.CopyTo(frame, at);
        }

        var before = GC.GetAllocatedBytesForCurrentThread();
        Assert.Throws<PeerFormatException>(() => PeerCodec.Decode(new ReadOnlySequence<byte>(frame), new PeerFrame()));
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 100_000);
    }

    [Fact]
    public void A_large_frame_of_a_correct_peer_is_within_the_budget()
    {
        var frame = new PeerFrame();
        var payload = new byte[100];
        for (ulong group = 1; group <= 100; group++)
        {
            var entries = Enumerable.Range(1, 1000).Select(i => new Entry(new((ulong)i), new(1), EntryKind.Command, payload)).ToArray();
            frame.Messages.Add(new PeerEnvelope(new(group), new AppendEntries(new(1), default, default, entries, default, 0)));
        }

        Assert.True(Try(PeerCodec.ToProto(frame).ToByteArray(), "a large frame"));
    }

    private static void Mutate(List<byte> bytes, Random random)
    {
        var at = random.Next(bytes.Count);
        switch (random.Next(5))
        {
            case 0:
                bytes[at] ^= (byte)(1 << random.Next(8));
                break;
            case 1:
                bytes[at] = (byte)(random.Next(2) == 0 ? 0xff : 0);
                break;
            case 2:
                bytes.RemoveAt(at);
                break;
            case 3:
                bytes.InsertRange(at, [0xff, 0xff, 0xff, 0xff, (byte)random.Next(256)]);
                break;
            default:
                bytes.InsertRange(at, bytes.GetRange(at, Math.Min(random.Next(20), bytes.Count - at)));
                break;
        }
    }

    private static bool Try(byte[] bytes, string what)
    {
        var into = new PeerFrame();
        try
        {
            PeerCodec.Decode(new ReadOnlySequence<byte>(bytes), into);
        }
        catch (PeerFormatException)
        {
            return false;
        }
        catch (Exception e)
        {
            Assert.Fail($"{what}: {Convert.ToHexString(bytes)}\n{e}");
        }

        var again = new PeerFrame();
        PeerCodec.Decode(new ReadOnlySequence<byte>(PeerCodec.ToProto(into).ToByteArray()), again);
        Assert.Equal(FrameText.Of(into), FrameText.Of(again));
        return true;
    }
}
