using System.Buffers.Binary;
using Flotilla.Data.Tree;

namespace Flotilla.Data.Tests;

/// <summary>Keys that come and go in orders which real loads have.</summary>
public sealed class OrderTests
{
    private const int Records = 60_000;

    public enum Order
    {
        Ascending,
        Descending,
        Random,
        InterleavedStreams,
        FromBothEnds,
    }

    [Theory]
    [EveryPairOfOrders]
    public void A_tree_filled_and_emptied_in_any_order_stays_sound(Order fill, Order empty)
    {
        var tree = new BTree(TreeLimits.Default with { Fanout = 16 });
        foreach (var number in Numbers(fill))
        {
            tree.Put(Key(number), Key(number), new Version(1, 0, (ulong)number, 0), 0);
        }

        var full = tree.Validate();
        Assert.Equal(Records, tree.Count);
        Assert.Equal(0, full.SmallLeaves);

        // Three quarters gone: what is left has come closer together.
        var order = Numbers(empty).ToArray();
        foreach (var number in order.AsSpan(0, Records * 3 / 4))
        {
            Assert.True(tree.Remove(Key(number)));
        }

        var quarter = tree.Validate();
        Assert.Equal(0, quarter.SmallLeaves);
        Assert.True(quarter.Leaves <= full.Leaves * 0.7, $"{quarter.Leaves} of {full.Leaves} leaves are left");
        Assert.True(quarter.PageBytes <= quarter.UsedBytes * 1.5, $"pages of {quarter.PageBytes} bytes for {quarter.UsedBytes}");

        foreach (var number in order.AsSpan(Records * 3 / 4))
        {
            Assert.True(tree.Remove(Key(number)));
        }

        var nothing = tree.Validate();
        Assert.Equal((1, 1, 0, 0), (nothing.Depth, nothing.Leaves, nothing.Inners, nothing.Records));
        Assert.InRange(nothing.PageBytes, 0, TreeLimits.Default.PageBytes / 8);
        Assert.Equal((0, 0), (tree.Count, tree.Bytes));
    }

    [Theory]
    [InlineData(Order.Ascending)]
    [InlineData(Order.Descending)]
    public void Keys_in_order_fill_their_pages(Order order)
    {
        var tree = new BTree();
        foreach (var number in Numbers(order))
        {
            tree.Put(Key(number), Key(number), default, 0);
        }

        var shape = tree.Validate();
        Assert.True(shape.UsedBytes > 0.95 * shape.Leaves * TreeLimits.Default.PageBytes, $"{shape}");
    }

    [Fact]
    public void A_queue_that_moves_through_the_key_space_stays_small()
    {
        var tree = new BTree();
        for (var i = 0; i < 200_000; i++)
        {
            tree.Put(Key(i), Key(i), default, 0);
            if (i >= 1000)
            {
                Assert.True(tree.Remove(Key(i - 1000)));
            }
        }

        var shape = tree.Validate();
        Assert.Equal(1000, tree.Count);
        Assert.InRange(shape.Leaves, 1, 20);
        Assert.InRange(shape.Depth, 1, 2);
    }

    private static byte[] Key(int number)
    {
        var key = new byte[12];
        BinaryPrimitives.WriteInt32BigEndian(key.AsSpan(8), number);
        return key;
    }

    private static IEnumerable<int> Numbers(Order order)
    {
        switch (order)
        {
            case Order.Ascending:
                return Enumerable.Range(0, Records);
            case Order.Descending:
                return Enumerable.Range(0, Records).Reverse();
            case Order.InterleavedStreams:
                // Ten ascending streams side by side.
                return Enumerable.Range(0, Records).Select(i => (i % 10 * (Records / 10)) + (i / 10));
            case Order.FromBothEnds:
                return Enumerable.Range(0, Records).Select(i => i % 2 == 0 ? i / 2 : Records - 1 - (i / 2));
            default:
                var numbers = Enumerable.Range(0, Records).ToArray();
                new Random(3).Shuffle(numbers);
                return numbers;
        }
    }

    [AttributeUsage(AttributeTargets.Method)]
    private sealed class EveryPairOfOrdersAttribute : Xunit.v3.DataAttribute
    {
        public override ValueTask<IReadOnlyCollection<ITheoryDataRow>> GetData(System.Reflection.MethodInfo testMethod, Xunit.Sdk.DisposalTracker disposalTracker) =>
            new([.. from fill in Enum.GetValues<Order>() from empty in Enum.GetValues<Order>() select new TheoryDataRow<Order, Order>(fill, empty)]);

        public override bool SupportsDiscoveryEnumeration() => true;
    }
}
