namespace Flotilla.Data.Tree;

/// <summary>What a tree looks like, having been found sound.</summary>
/// <param name="Depth">Levels, leaves included.</param>
/// <param name="Leaves">How many leaves there are.</param>
/// <param name="Inners">How many inner nodes there are.</param>
/// <param name="SmallLeaves">Leaves below the least fill, other than the first and the last. Records of about half a page and more excuse some.</param>
/// <param name="Records">How many records there are.</param>
/// <param name="RecordBytes">Bytes of their keys and values.</param>
/// <param name="UsedBytes">Bytes of live cells and slots in all pages.</param>
/// <param name="PageBytes">Bytes of all pages.</param>
internal sealed record TreeShape(int Depth, int Leaves, int Inners, int SmallLeaves, long Records, long RecordBytes, long UsedBytes, long PageBytes)
{
    /// <summary>Checks everything below a root: order, bounds, depth, counts, fill, and each node's own bookkeeping.</summary>
    /// <exception cref="InvalidOperationException">Something is wrong.</exception>
    public static TreeShape Of(Node root, TreeLimits limits)
    {
        var walk = new Walk(limits);
        walk.Check(root, level: 1, low: [], high: null, isFirst: true, isLast: true, maxEdit: long.MaxValue);
        return new TreeShape(walk.Depth, walk.Leaves, walk.Inners, walk.SmallLeaves, walk.Records, walk.RecordBytes, walk.UsedBytes, walk.PageBytes);
    }

    private sealed class Walk(TreeLimits limits)
    {
        public int Depth { get; private set; }

        public int Leaves { get; private set; }

        public int Inners { get; private set; }

        public int SmallLeaves { get; private set; }

        public long Records { get; private set; }

        public long RecordBytes { get; private set; }

        public long UsedBytes { get; private set; }

        public long PageBytes { get; private set; }

        public void Check(Node node, int level, byte[] low, byte[]? high, bool isFirst, bool isLast, long maxEdit)
        {
            Require(node.Edit <= maxEdit, "a node is younger than its parent");
            if (node is Inner inner)
            {
                CheckInner(inner, level, low, high, isFirst, isLast);
            }
            else
            {
                CheckLeaf((Leaf)node, level, low, high, isFirst, isLast);
            }
        }

        private static void Require(bool holds, string otherwise)
        {
            if (!holds)
            {
                throw new InvalidOperationException($"Damaged tree: {otherwise}.");
            }
        }

        private void CheckInner(Inner inner, int level, byte[] low, byte[]? high, bool isFirst, bool isLast)
        {
            Inners++;
            Require(inner.Count >= (level == 1 ? 2 : inner.MinCount), "an inner node has too few children");
            inner.ValidateHeads();
            for (var i = 0; i < inner.Count; i++)
            {
                var from = i == 0 ? low : inner.SeparatorArray(i - 1);
                var to = i == inner.Count - 1 ? high : inner.SeparatorArray(i);
                Require(to is null || from.AsSpan().SequenceCompareTo(to) < 0, "separators are out of order");
                Check(inner.Child(i), level + 1, from, to, isFirst && i == 0, isLast && i == inner.Count - 1, inner.Edit);
            }
        }

        private void CheckLeaf(Leaf leaf, int level, byte[] low, byte[]? high, bool isFirst, bool isLast)
        {
            Leaves++;
            Require(Depth == 0 || Depth == level, "leaves are at different depths");
            Depth = level;
            leaf.ValidatePage();
            Require(leaf.Count > 0 || level == 1, "a leaf is empty");
            Require(leaf.UsedBytes <= limits.PageBytes || leaf.Count <= 1 || HasLargeRecord(leaf), "a page is too full");
            if (leaf.Count > 0)
            {
                Require(leaf.Key(0).SequenceCompareTo(low) >= 0, "a key is below its leaf's bounds");
                Require(high is null || leaf.Key(leaf.Count - 1).SequenceCompareTo(high) < 0, "a key is above its leaf's bounds");
            }

            SmallLeaves += leaf.UsedBytes < limits.MinLeafBytes && !isFirst && !isLast ? 1 : 0;
            UsedBytes += leaf.UsedBytes;
            PageBytes += leaf.PageBytes;
            Records += leaf.Count;
            for (var i = 0; i < leaf.Count; i++)
            {
                RecordBytes += leaf.Key(i).Length + leaf.Lengths(i).ValueBytes;
            }
        }

        private bool HasLargeRecord(Leaf leaf)
        {
            for (var i = 0; i < leaf.Count; i++)
            {
                if (leaf.BytesAt(i) > limits.PageBytes / 4)
                {
                    return true;
                }
            }

            return false;
        }
    }
}
