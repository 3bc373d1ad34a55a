using System.Text;
using Flotilla.Data.Tests.Harness;
using Flotilla.Data.Tree;

namespace Flotilla.Data.Tests;

public sealed class SnapshotTests
{
    [Fact]
    public void A_snapshot_shows_the_tree_as_it_was()
    {
        var tree = BTreeTests.Numbered(5000);
        var snapshot = tree.Snapshot();
        var keys = BTreeTests.KeysOf(tree);

        for (var i = 0; i < 5000; i++)
        {
            var name = Encoding.UTF8.GetBytes(BTreeTests.Name(i));
            if (i % 3 == 0)
            {
                tree.Remove(name);
            }
            else
            {
                tree.Put(name, "changed"u8, new Version(2, 0, 0, 0), 0);
            }
        }

        Assert.Equal(5000, snapshot.Count);
        Assert.Equal(5000 * 20, snapshot.Bytes);
        Assert.Equal(keys, BTreeTests.KeysOf(snapshot));
        Assert.True(snapshot.TryGet("key-000003"u8, out var record));
        Assert.Equal("key-000003", Encoding.UTF8.GetString(record.Value.Span));
        Assert.False(tree.TryGet("key-000003"u8, out _));
    }

    [Fact]
    public void What_a_snapshot_handed_out_never_changes()
    {
        var tree = BTreeTests.Numbered(5000);
        var snapshot = tree.Snapshot();
        var records = Enumerable.Range(0, 5000).Select(i =>
        {
            Assert.True(snapshot.TryGet(Encoding.UTF8.GetBytes(BTreeTests.Name(i)), out var record));
            return record;
        }).ToArray();

        // Enough changes, with pages going back to the pool and out again, to write over anything that may be written over.
        for (var round = 0; round < 4; round++)
        {
            for (var i = 0; i < 5000; i++)
            {
                tree.Put(Encoding.UTF8.GetBytes(BTreeTests.Name(i)), new byte[i % 90], new Version(3, 0, 0, 0), 5);
            }

            for (var i = round; i < 5000; i += 2)
            {
                tree.Remove(Encoding.UTF8.GetBytes(BTreeTests.Name(i)));
            }
        }

        for (var i = 0; i < 5000; i++)
        {
            Assert.Equal(BTreeTests.Name(i), Encoding.UTF8.GetString(records[i].Key.Span));
            Assert.Equal(BTreeTests.Name(i), Encoding.UTF8.GetString(records[i].Value.Span));
        }
    }

    [Fact]
    public void A_snapshot_costs_the_same_however_large_the_tree_is()
    {
        Assert.Equal(Cost(BTreeTests.Numbered(10)), Cost(BTreeTests.Numbered(100_000)));

        static long Cost(BTree tree)
        {
            tree.Snapshot();
            var before = GC.GetAllocatedBytesForCurrentThread();
            tree.Snapshot();
            return GC.GetAllocatedBytesForCurrentThread() - before;
        }
    }

    [Fact]
    public void A_write_after_a_snapshot_copies_one_way_from_root_to_leaf_and_only_once()
    {
        var tree = BTreeTests.Numbered(100_000);
        tree.Put("key-050000"u8, "key-050000"u8, default, 0);
        var held = tree.Snapshot();

        var first = Allocated(tree);
        var second = Allocated(tree);

        Assert.InRange(first, 1000, 16_000);
        Assert.Equal(0, second);
        GC.KeepAlive(held);

        static long Allocated(BTree tree)
        {
            var before = GC.GetAllocatedBytesForCurrentThread();
            tree.Put("key-050000"u8, "key-05000x"u8, default, 0);
            return GC.GetAllocatedBytesForCurrentThread() - before;
        }
    }

    [Fact]
    public async Task A_snapshot_is_read_on_another_thread_while_the_writer_goes_on()
    {
        var tree = new BTree(new TreeLimits(512, 8, 128));
        var model = Model.Empty;
        var random = new Random(7);
        for (var round = 0; round < 30; round++)
        {
            for (var i = 0; i < 400; i++)
            {
                model = Change(tree, model, random);
            }

            // The reader compares the whole snapshot, again and again, for as long as the writer writes.
            var snapshot = tree.Snapshot();
            var then = model;
            using var stop = new CancellationTokenSource();
            var reader = Task.Run(() =>
            {
                var reads = 0;
                do
                {
                    Model.MustEqual(then, snapshot, "read on another thread");
                    reads++;
                }
                while (!stop.IsCancellationRequested);

                return reads;
            });
            for (var i = 0; i < 2000; i++)
            {
                model = Change(tree, model, random);
            }

            await stop.CancelAsync();
            Assert.True(await reader >= 1);
            tree.Validate();
        }

        Model.MustEqual(model, tree, "at the end");
    }

    private static System.Collections.Immutable.ImmutableSortedDictionary<byte[], Expected> Change(
        BTree tree, System.Collections.Immutable.ImmutableSortedDictionary<byte[], Expected> model, Random random)
    {
        var key = Encoding.UTF8.GetBytes($"user:{random.Next(3000)}");
        if (random.Next(3) == 0)
        {
            Assert.Equal(model.ContainsKey(key), tree.Remove(key));
            return model.Remove(key);
        }

        var value = new byte[random.Next(200)];
        random.NextBytes(value);
        var version = new Version(1, 0, (ulong)random.NextInt64(), 0);
        tree.Put(key, value, version, 0);
        return model.SetItem(key, new Expected(value, version, 0));
    }
}
