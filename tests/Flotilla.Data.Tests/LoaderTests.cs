using System.Buffers.Binary;
using Flotilla.Data.Tests.Harness;
using Flotilla.Data.Tree;

namespace Flotilla.Data.Tests;

/// <summary>Trees built from sorted records. The random scripts reload their trees too.</summary>
public sealed class LoaderTests
{
    private static readonly Version V1 = new(1, 0, 1, 0);

    [Fact]
    public void Nothing_loaded_is_an_empty_tree()
    {
        var tree = new BTreeLoader().Finish();
        Assert.Equal(0, tree.Count);
        tree.Put("a"u8, "1"u8, V1, 0);
        Assert.True(tree.TryGet("a"u8, out _));
        tree.Validate();
    }

    [Fact]
    public void Every_number_of_records_makes_a_sound_tree_that_can_be_changed()
    {
        for (var count = 1; count < 700; count++)
        {
            var tree = Load(count, valueBytes: 20, new TreeLimits(256, 8, 64));
            Assert.Equal(count, tree.Validate().Records);
            tree.Put(Key((count * 7L) + 1), new byte[30], V1, 0);
            Assert.True(tree.Remove(Key(0)));
            tree.Validate();
            Assert.Equal(count, Model.Gather(tree, [], []).Count);
        }
    }

    [Fact]
    public void Loaded_leaves_are_full_and_take_fewer_bytes_than_those_of_random_inserts()
    {
        var loaded = Load(20_000, valueBytes: 100, TreeLimits.Default).Validate();
        Assert.Equal(0, loaded.SmallLeaves);
        Assert.True(loaded.UsedBytes >= (loaded.Leaves - 1) * 3950L, $"{loaded}");
        Assert.True(loaded.PageBytes <= loaded.Leaves * 4096L, $"{loaded}");
    }

    [Fact]
    public void Records_larger_than_a_page_are_loaded()
    {
        var loader = new BTreeLoader();
        for (var i = 0; i < 40; i++)
        {
            byte[] key = [.. Key(i), .. new byte[i % 3 == 0 ? 10_000 : 5]];
            loader.Add(key, new byte[i % 2 == 0 ? 900 : 70_000], V1, i);
        }

        var tree = loader.Finish();
        tree.Validate();
        Assert.Equal(40, Model.Gather(tree, [], []).Count);
    }

    [Fact]
    public void A_snapshot_of_a_loaded_tree_stays_as_it_was()
    {
        var tree = Load(5000, valueBytes: 10, TreeLimits.Default);
        var snapshot = tree.Snapshot();
        for (var i = 0; i < 5000; i += 2)
        {
            tree.Remove(Key(i * 7L));
        }

        Assert.Equal(5000, Model.Gather(snapshot, [], []).Count);
        Assert.Equal(2500, Model.Gather(tree, [], []).Count);
        tree.Validate();
    }

    [Fact]
    public void What_is_not_in_order_is_refused()
    {
        var loader = new BTreeLoader();
        loader.Add([], [], V1, 0);
        loader.Add("b"u8, [], V1, 0);
        Assert.Throws<ArgumentException>(() => loader.Add("b"u8, [], V1, 0));
        Assert.Throws<ArgumentException>(() => loader.Add("a"u8, [], V1, 0));
        Assert.Throws<ArgumentException>(() => loader.Add(new byte[BTree.MaxKeyBytes + 1], [], V1, 0));
        loader.Add("c"u8, [], V1, 0);
        Assert.Equal(3, loader.Finish().Count);
        Assert.Throws<InvalidOperationException>(loader.Finish);
        Assert.Throws<InvalidOperationException>(() => loader.Add("d"u8, [], V1, 0));
    }

    private static BTree Load(int count, int valueBytes, TreeLimits limits)
    {
        var loader = new BTreeLoader(limits);
        for (var i = 0; i < count; i++)
        {
            loader.Add(Key(i * 7L), new byte[valueBytes], V1, 0);
        }

        return loader.Finish();
    }

    private static byte[] Key(long number)
    {
        var key = new byte[16];
        BinaryPrimitives.WriteInt64BigEndian(key, number);
        return key;
    }
}
