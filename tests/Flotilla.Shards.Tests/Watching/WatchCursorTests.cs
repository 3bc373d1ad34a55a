using System.Buffers.Text;
using Flotilla.Raft;
using Flotilla.Shards.Watching;
using Flotilla.Topology;

namespace Flotilla.Shards.Tests.Watching;

/// <summary>Cursors as text.</summary>
public sealed class WatchCursorTests
{
    [Fact]
    public void A_cursor_reads_back_as_it_was()
    {
        var random = new Random(1);
        for (var n = 0; n < 200; n++)
        {
            var positions = Positions(random, random.Next(20));
            var cluster = (ulong)random.NextInt64();
            var text = WatchCursor.Encode(cluster, positions);
            Assert.True(WatchCursor.TryDecode(text, out var readCluster, out var read));
            Assert.Equal(cluster, readCluster);
            Assert.Equal(positions, read);
        }

        Assert.True(WatchCursor.TryDecode(WatchCursor.Encode(1, [.. Enumerable.Range(1, 1000).Select(s => (new ShardId(s), new EventPosition(new LogIndex(ulong.MaxValue >> 8), 9)))]), out _, out _));
    }

    [Fact]
    public void Three_shards_take_less_than_forty_characters() =>
        Assert.InRange(WatchCursor.Encode(ulong.MaxValue, [.. Enumerable.Range(1, 3).Select(s => (new ShardId(s), new EventPosition(new LogIndex(90_000), 3)))]).Length, 20, 40);

    [Fact]
    public void Nothing_but_what_was_written_is_a_cursor()
    {
        var random = new Random(2);
        var good = WatchCursor.Encode(77, Positions(random, 4));
        const string Alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=+/ é";
        for (var at = 0; at < good.Length; at++)
        {
            foreach (var other in Alphabet)
            {
                var changed = string.Concat(good.AsSpan(0, at), [other], good.AsSpan(at + 1));
                Assert.Equal(changed == good, WatchCursor.TryDecode(changed, out _, out _));
            }

            Assert.False(WatchCursor.TryDecode(good.AsSpan(0, at), out _, out _));
            Assert.False(WatchCursor.TryDecode(good.Insert(at, "A"), out _, out _));
        }

        // With a right checksum too: what is inside must hold.
        for (var n = 0; n < 20_000; n++)
        {
            var bytes = new byte[9 + random.Next(30)];
            random.NextBytes(bytes);
            bytes[0] = 1;
            byte[] sealed_ = [.. bytes, .. BitConverter.GetBytes(Crc32.Compute(bytes))];
            var text = Base64Url.EncodeToString(sealed_);
            if (WatchCursor.TryDecode(text, out var cluster, out var positions))
            {
                Assert.Equal(text, WatchCursor.Encode(cluster, positions));
            }
        }

        Assert.False(WatchCursor.TryDecode("", out _, out _));
        Assert.False(WatchCursor.TryDecode("1.0.5.0", out _, out _));
        Assert.False(WatchCursor.TryDecode(new string('A', WatchCursor.MaxChars + 1), out _, out _));
    }

    private static List<(ShardId Shard, EventPosition At)> Positions(Random random, int count) =>
        [.. Enumerable.Range(1, count).Select(s => (new ShardId(s * 3), new EventPosition(new LogIndex((ulong)random.NextInt64() >> random.Next(60)), (uint)random.Next(100))))];
}
