using Flotilla.Data.Tree;

namespace Flotilla.Data.Tests;

/// <summary>The small pieces that pages are made of.</summary>
public sealed class TreePartsTests
{
    [Fact]
    public void A_lower_head_means_a_lower_key()
    {
        var random = new Random(11);
        for (var i = 0; i < 20_000; i++)
        {
            var (a, b) = (Draw(), Draw());
            var skip = random.Next(a.AsSpan().CommonPrefixLength(b) + 1);
            var heads = KeyOrder.Head(a, skip).CompareTo(KeyOrder.Head(b, skip));
            var keys = a.AsSpan().SequenceCompareTo(b);
            Assert.True(heads == 0 || heads == Math.Sign(keys), $"{Convert.ToHexString(a)} and {Convert.ToHexString(b)} from {skip}");
        }

        byte[] Draw()
        {
            var key = new byte[random.Next(14)];
            for (var i = 0; i < key.Length; i++)
            {
                key[i] = (byte)(random.Next(3) * 127.5);
            }

            return key;
        }
    }

    [Fact]
    public void A_shared_prefix_tells_on_which_side_of_it_a_key_lies()
    {
        byte[][] prefixes = [[], [0], [0, 0], [1], [1, 0], [1, 0, 0], [255], [0, 0, 0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0, 0, 0], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]];
        byte[][] keys = [.. prefixes, [2], [1, 1], [1, 2, 3, 4, 5, 6, 7, 8], [1, 2, 3, 4, 5, 6, 7, 8, 10], [1, 2, 3, 4, 5, 6, 7, 9], [255, 255], new byte[20]];
        foreach (var prefix in prefixes)
        {
            byte[] member = [.. prefix, 7];
            var shared = new SharedPrefix(member, prefix.Length);
            foreach (var key in keys)
            {
                var expected = key.AsSpan().StartsWith(prefix) ? 0 : Math.Sign(key.AsSpan().SequenceCompareTo(prefix));
                Assert.Equal(expected, Math.Sign(shared.Against(key, member)));
                if (shared.IsShort || shared.AgainstHead(key) != 0)
                {
                    Assert.Equal(expected, shared.AgainstHead(key));
                }
            }
        }
    }

    [Theory]
    [InlineData("", "a", "a")]
    [InlineData("a", "b", "b")]
    [InlineData("apple", "apricot", "apr")]
    [InlineData("app", "apple", "appl")]
    public void A_separator_is_the_shortest_key_that_tells_two_apart(string below, string first, string separator) =>
        Assert.Equal(
            System.Text.Encoding.UTF8.GetBytes(separator),
            KeyOrder.Separator(System.Text.Encoding.UTF8.GetBytes(below), System.Text.Encoding.UTF8.GetBytes(first)));

    [Fact]
    public void A_cell_reads_back_what_was_written_and_is_as_long_as_measured()
    {
        ulong[] numbers = [0, 1, 127, 128, 16_383, 16_384, uint.MaxValue, 1UL << 35, (1UL << 63) - 1, 1UL << 63, ulong.MaxValue];
        foreach (var number in numbers)
        {
            foreach (var expiresAtMs in new[] { 0, 1, 1_700_000_000_000, long.MaxValue, -1 })
            {
                foreach (var outside in new[] { false, true })
                {
                    byte[] key = [1, 2, 3];
                    var value = new byte[300];
                    var version = new Version((uint)number, (uint)~number, number, ~number);
                    var draft = new Cell.Draft(key, value, version, expiresAtMs, outside);
                    var bytes = new byte[draft.Length];
                    draft.WriteTo(bytes);
                    var cell = Cell.Read(bytes, key.Length);

                    Assert.Equal((version, expiresAtMs, outside, bytes.Length), (cell.Version, cell.ExpiresAtMs, cell.IsOutside, cell.Length));
                    Assert.Equal(outside ? 0 : 300, cell.ValueLength);
                }
            }
        }
    }

    [Fact]
    public void A_pool_hands_out_what_it_took_back_and_pages_that_fit()
    {
        var pool = new PagePool(4096);
        Assert.Empty(pool.Take(0));
        Assert.Equal(512, pool.Take(1).Length);
        Assert.Equal(4096, pool.Take(4096).Length);
        Assert.Equal(17_408, pool.Take(17_000).Length);

        var page = pool.Take(1000);
        pool.Return(page);
        Assert.NotSame(page, pool.Take(1025));
        Assert.Same(page, pool.Take(513));
        Assert.NotSame(page, pool.Take(513));
    }
}
