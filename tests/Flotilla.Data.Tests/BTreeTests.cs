using System.Text;

namespace Flotilla.Data.Tests;

/// <summary>What a user of the tree may rely on, one thing at a time.</summary>
public sealed class BTreeTests
{
    private static readonly Version V1 = new(1, 0, 1, 0);
    private static readonly Version V2 = new(1, 0, 2, 0);

    [Fact]
    public void An_empty_tree_has_nothing_to_show()
    {
        var tree = new BTree();

        Assert.Equal((0, 0), (tree.Count, tree.Bytes));
        Assert.False(tree.TryGet("a"u8, out _));
        Assert.False(tree.Remove("a"u8));
        Assert.Empty(KeysOf(tree));
        Assert.Empty(KeysOf(tree.Snapshot()));
    }

    [Fact]
    public void A_record_comes_back_as_it_was_put()
    {
        var tree = new BTree();
        tree.Put("key"u8, "value"u8, new Version(uint.MaxValue, 7, ulong.MaxValue, 9), long.MaxValue);

        Assert.True(tree.TryGet("key"u8, out var record));
        Assert.Equal("key", Encoding.UTF8.GetString(record.Key.Span));
        Assert.Equal("value", Encoding.UTF8.GetString(record.Value.Span));
        Assert.Equal(new Version(uint.MaxValue, 7, ulong.MaxValue, 9), record.Version);
        Assert.Equal(long.MaxValue, record.ExpiresAtMs);
    }

    [Fact]
    public void The_empty_key_and_empty_values_are_records_like_others()
    {
        var tree = new BTree();
        tree.Put([], [], V1, 0);
        tree.Put("a"u8, [], V1, 0);

        Assert.True(tree.TryGet([], out var record));
        Assert.True(record.Key.IsEmpty && record.Value.IsEmpty);
        Assert.Equal(["", "a"], KeysOf(tree));
        Assert.Equal((2, 1), (tree.Count, tree.Bytes));
        Assert.True(tree.Remove([]));
        Assert.Equal(["a"], KeysOf(tree));
    }

    [Fact]
    public void Counts_follow_every_change()
    {
        var tree = new BTree();
        tree.Put("a"u8, new byte[10], V1, 0);
        tree.Put("b"u8, new byte[100_000], V1, 0);
        Assert.Equal((2, 100_012), (tree.Count, tree.Bytes));
        tree.Put("a"u8, new byte[20], V2, 0);
        tree.Put("b"u8, new byte[3], V2, 0);
        Assert.Equal((2, 25), (tree.Count, tree.Bytes));
        tree.Remove("b"u8);
        Assert.False(tree.Remove("b"u8));
        Assert.Equal((1, 21), (tree.Count, tree.Bytes));
        tree.Validate();
    }

    [Fact]
    public void Keys_are_ordered_bytewise_unsigned_and_a_key_comes_before_its_extensions()
    {
        byte[][] ascending =
        [
            [], [0], [0, 0], [0, 0, 0, 0, 0, 0, 0, 0, 0], [0, 1], [1], [1, 0], [0x7f], [0x7f, 0xff], [0x80], [0x80, 0], [0xff], [0xff, 0xff],
        ];
        var tree = new BTree();
        foreach (var key in ascending.Reverse())
        {
            tree.Put(key, key, V1, 0);
        }

        Assert.Equal(ascending, Visited(tree, []));
        for (var i = 0; i < ascending.Length; i++)
        {
            Assert.Equal(ascending[i..], Visited(tree, ascending[i]));
        }
    }

    [Fact]
    public void A_visit_starts_at_the_first_key_not_below_and_ends_when_told()
    {
        var tree = Numbered(10_000);

        Assert.Equal(["key-005000", "key-005001", "key-005002"], KeysOf(tree, "key-004999~", 3));
        Assert.Equal(["key-009999"], KeysOf(tree, "key-009999", 3));
        Assert.Empty(KeysOf(tree, "key-009999\0"));
        Assert.Equal(10_000, KeysOf(tree).Count);
    }

    [Fact]
    public void A_visit_of_a_prefix_shows_exactly_the_keys_that_begin_so()
    {
        var tree = Numbered(10_000);
        tree.Put("key"u8, [], V1, 0);
        tree.Put("key-00500"u8, [], V1, 0);
        tree.Put([0xff], [], V1, 0);
        tree.Put([0xff, 0xff, 1], [], V1, 0);

        Assert.Equal(["key-00500", .. Enumerable.Range(5000, 10).Select(Name)], PrefixOf(tree, "key-00500", ""));
        Assert.Equal(["key-005009"], PrefixOf(tree, "key-00500", "key-005009"));
        Assert.Empty(PrefixOf(tree, "key-00500", "key-00501"));
        Assert.Equal(10, PrefixOf(tree, "key-00512", "a").Count);
        Assert.Equal(10_002, PrefixOf(tree, "key", "").Count);
        Assert.Empty(PrefixOf(tree, "kez", ""));
        Assert.Equal(10_004, PrefixOf(tree, "", "").Count);
        var all = new Keys(int.MaxValue);
        tree.VisitPrefix([0xff], [], ref all);
        Assert.Equal([[0xff], [0xff, 0xff, 1]], all.Seen);
    }

    [Fact]
    public void What_the_tree_handed_out_may_be_put_back_into_it()
    {
        // Touching a record's expiry is a put of its own key and value, which lie in the page that is edited.
        var tree = Numbered(1000);
        for (var i = 0; i < 1000; i++)
        {
            Assert.True(tree.TryGet(Encoding.UTF8.GetBytes(Name(i)), out var record));
            tree.Put(record.Key.Span, record.Value.Span, new Version(1, 0, ulong.MaxValue, 0), 1_700_000_000_000);
            Assert.True(tree.TryGet(Encoding.UTF8.GetBytes(Name(i / 2)), out record));
            tree.Put(record.Key.Span, record.Value.Span, V1, 0);
        }

        tree.Validate();
        for (var i = 0; i < 1000; i++)
        {
            Assert.True(tree.TryGet(Encoding.UTF8.GetBytes(Name(i)), out var record));
            Assert.Equal(Name(i), Encoding.UTF8.GetString(record.Value.Span));
        }
    }

    [Fact]
    public void A_put_of_a_part_of_the_old_value_is_not_disturbed_by_the_longer_version_before_it()
    {
        var tree = new BTree();
        var value = Enumerable.Range(0, 100).Select(i => (byte)i).ToArray();
        tree.Put("key"u8, value, V1, 0);
        Assert.True(tree.TryGet("key"u8, out var record));
        tree.Put("key"u8, record.Value.Span[..50], new Version(uint.MaxValue, uint.MaxValue, ulong.MaxValue, ulong.MaxValue), long.MaxValue);

        Assert.True(tree.TryGet("key"u8, out record));
        Assert.Equal(value[..50], record.Value.ToArray());
    }

    [Fact]
    public void The_bytes_of_a_put_are_copied()
    {
        var tree = new BTree();
        byte[] key = [1, 2, 3];
        var small = new byte[10];
        var large = new byte[5000];
        tree.Put(key, small, V1, 0);
        tree.Put([9], large, V1, 0);
        key[0] = small[0] = large[0] = 0xff;

        Assert.True(tree.TryGet([1, 2, 3], out var record));
        Assert.Equal(0, record.Value.Span[0]);
        Assert.True(tree.TryGet([9], out record));
        Assert.Equal(0, record.Value.Span[0]);
    }

    [Fact]
    public void A_key_over_the_limit_is_refused_and_one_at_the_limit_is_not()
    {
        var tree = Numbered(100);
        tree.Put(new byte[BTree.MaxKeyBytes], new byte[1024], V1, 0);
        tree.Validate();

        Assert.Throws<ArgumentException>(() => tree.Put(new byte[BTree.MaxKeyBytes + 1], [], V1, 0));
        Assert.Equal(101, tree.Count);
    }

    [Fact]
    public void Changing_a_tree_from_inside_its_own_visit_is_refused()
    {
        var tree = Numbered(10);
        var changer = new Changer(tree);

        Assert.Throws<InvalidOperationException>(() => tree.Visit([], ref changer));

        // The visit is over, also when it ended with an exception.
        tree.Put("later"u8, [], V1, 0);
        var snapshotChanger = new Changer(tree);
        tree.Snapshot().Visit([], ref snapshotChanger);
        Assert.Equal(13, tree.Count);
    }

    [Fact]
    public void Overwriting_in_place_and_reading_allocate_nothing()
    {
        var tree = Numbered(10_000);
        var key = Encoding.UTF8.GetBytes(Name(5000));
        tree.Put(key, "key-00500x"u8, V2, 0);
        tree.TryGet(key, out _);

        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var i = 0; i < 1000; i++)
        {
            tree.Put(key, "key-00500y"u8, V1, 0);
            tree.TryGet(key, out _);
        }

        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());
    }

    [Fact]
    public void Records_in_random_order_are_packed_densely()
    {
        var tree = new BTree();
        var random = new Random(1);
        var key = new byte[16];
        for (var i = 0; i < 200_000; i++)
        {
            random.NextBytes(key);
            tree.Put(key, new byte[100], new Version(1, 0, (ulong)i, 0), 0);
        }

        // Pages, and a generous account of the objects around them: the benchmark measures the heap itself.
        var shape = tree.Validate();
        var bytes = shape.PageBytes + (shape.Leaves * (24 + 56 + 72L)) + (shape.Inners * 1700L);
        Assert.InRange((bytes - tree.Bytes) / (double)tree.Count, 0, 40);
    }

    internal static string Name(int number) => $"key-{number:000000}";

    internal static BTree Numbered(int count)
    {
        var tree = new BTree();
        for (var i = 0; i < count; i++)
        {
            var name = Encoding.UTF8.GetBytes(Name(i * 7919 % count));
            tree.Put(name, name, V1, 0);
        }

        return tree;
    }

    internal static List<string> KeysOf(IRecordView view, string from = "", int atMost = int.MaxValue)
    {
        var keys = new Keys(atMost);
        view.Visit(Encoding.UTF8.GetBytes(from), ref keys);
        return [.. keys.Seen.Select(Encoding.UTF8.GetString)];
    }

    private static List<string> PrefixOf(IRecordView view, string prefix, string from)
    {
        var keys = new Keys(int.MaxValue);
        view.VisitPrefix(Encoding.UTF8.GetBytes(prefix), Encoding.UTF8.GetBytes(from), ref keys);
        return [.. keys.Seen.Select(Encoding.UTF8.GetString)];
    }

    private static List<byte[]> Visited(IRecordView view, byte[] from)
    {
        var keys = new Keys(int.MaxValue);
        view.Visit(from, ref keys);
        return keys.Seen;
    }

    private readonly struct Keys(int atMost) : IRecordVisitor
    {
        public List<byte[]> Seen { get; } = [];

        public bool Visit(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, Version version, long expiresAtMs)
        {
            Seen.Add(key.ToArray());
            return Seen.Count < atMost;
        }
    }

    private struct Changer(BTree tree) : IRecordVisitor
    {
        private int _visited;

        public bool Visit(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, Version version, long expiresAtMs)
        {
            tree.Put([(byte)_visited], [], version, 0);
            return ++_visited < 2;
        }
    }
}
