namespace Flotilla.Data.Tree;

/// <summary>
/// Changes a tree: finds the leaf, makes the way to it the current edit's own, edits the page, and splits, merges or
/// evens out nodes where that leaves one too full or too empty.
/// </summary>
internal sealed class TreeWriter(TreeLimits limits, Node root)
{
    /// <summary>The edit of a tree that no snapshot was ever taken of.</summary>
    public const long FirstEdit = 1;

    private readonly PagePool _pool = new(limits.PageBytes);

    // The way from the root to the leaf at hand: inner nodes, and which child was taken in each.
    private Inner[] _path = new Inner[8];
    private int[] _taken = new int[8];
    private int _depth;
    private long _edit = FirstEdit;

    /// <summary>The sizes that the tree is built to.</summary>
    public TreeLimits Limits => limits;

    /// <summary>The root, to read from.</summary>
    public Node Root { get; private set; } = root;

    /// <summary>From now on no node that exists already is changed.</summary>
    public void BeginEdit() => _edit++;

    /// <summary>Inserts or replaces; true if it replaced a value of <paramref name="oldValueLength"/>.</summary>
    public bool Put(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, Version version, long expiresAtMs, out int oldValueLength)
    {
        var leaf = Descend(key);
        var index = leaf.IndexOf(key, out var found);

        // Bytes out of the very page that is about to be edited would change under our hands.
        if (leaf.Overlaps(key))
        {
            key = key.ToArray();
        }

        if (leaf.Overlaps(value))
        {
            value = value.ToArray();
        }

        var draft = new Cell.Draft(key, value, version, expiresAtMs, outside: value.Length > limits.InlineValueBytes);
        if (!found)
        {
            oldValueLength = 0;
            Insert(Own(leaf, draft.Length + Slot.Bytes), index, draft);
            return false;
        }

        (oldValueLength, var oldLength) = leaf.Lengths(index);
        if (draft.Length <= oldLength)
        {
            leaf = Own(leaf, 0);
            leaf.Overwrite(index, draft);
            if (draft.Length < oldLength)
            {
                AfterShrinking(leaf);
            }
        }
        else
        {
            leaf = Own(leaf, draft.Length);
            leaf.RemoveAt(index, oldLength);
            Insert(leaf, index, draft);
        }

        return true;
    }

    /// <summary>Removes; true if the key was there, with a value of <paramref name="valueLength"/>.</summary>
    public bool Remove(ReadOnlySpan<byte> key, out int valueLength)
    {
        var leaf = Descend(key);
        var index = leaf.IndexOf(key, out var found);
        valueLength = 0;
        if (!found)
        {
            return false;
        }

        (valueLength, var cellBytes) = leaf.Lengths(index);
        leaf = Own(leaf, 0);
        leaf.RemoveAt(index, cellBytes);
        AfterShrinking(leaf);
        return true;
    }

    private Leaf Descend(ReadOnlySpan<byte> key)
    {
        _depth = 0;
        var node = Root;
        while (node is Inner inner)
        {
            if (_depth == _path.Length)
            {
                Array.Resize(ref _path, _depth * 2);
                Array.Resize(ref _taken, _depth * 2);
            }

            var index = inner.IndexOf(key);
            _path[_depth] = inner;
            _taken[_depth++] = index;
            node = inner.Child(index);
        }

        return (Leaf)node;
    }

    private Leaf Own(Leaf leaf, int moreBytes)
    {
        if (leaf.Edit == _edit)
        {
            // Whoever links to a node of this edit was changed in this edit: the whole way is ours.
            return leaf;
        }

        for (var level = 0; level < _depth; level++)
        {
            if (_path[level].Edit != _edit)
            {
                _path[level] = _path[level].Copy(_edit);
                Link(level, _path[level]);
            }
        }

        // A leaf that is going to be split needs no room for what comes.
        var room = leaf.UsedBytes + moreBytes > limits.PageBytes ? 0 : moreBytes;
        var copy = leaf.Copy(_edit, room, _pool);
        Link(_depth, copy);
        return copy;
    }

    // Puts a node in the place at this level of the way; level 0 is the root's.
    private void Link(int level, Node node)
    {
        if (level == 0)
        {
            Root = node;
        }
        else
        {
            _path[level - 1].Replace(_taken[level - 1], node);
        }
    }

    private void Insert(Leaf leaf, int index, in Cell.Draft draft)
    {
        var moreBytes = draft.Length + Slot.Bytes;
        if (leaf.Count > 0 && leaf.UsedBytes + moreBytes > limits.PageBytes)
        {
            SplitAndInsert(leaf, index, draft);
        }
        else
        {
            leaf.MakeRoom(moreBytes, _pool);
            leaf.Insert(index, draft);
        }
    }

    private void SplitAndInsert(Leaf leaf, int index, in Cell.Draft draft)
    {
        var moreBytes = draft.Length + Slot.Bytes;
        var (leftCount, goesLeft) = WhereToSplit(leaf, index, moreBytes);
        var left = Leaf.From(_edit, leaf, ..leftCount, null, default, goesLeft ? moreBytes : 0, _pool);
        var right = Leaf.From(_edit, leaf, leftCount.., null, default, goesLeft ? 0 : moreBytes, _pool);
        leaf.Release(_pool);
        if (goesLeft)
        {
            left.Insert(index, draft);
        }
        else
        {
            right.Insert(index - leftCount, draft);
        }

        Link(_depth, left);
        AddBehind(_depth, KeyOrder.Separator(left.Key(left.Count - 1), right.Key(0)), right);
    }

    // How many of the leaf's records stay left, and whether the new one, of so many bytes at index, does.
    private (int LeftCount, bool GoesLeft) WhereToSplit(Leaf leaf, int index, int moreBytes)
    {
        // Keys that come in ascending (or descending) order leave full pages behind, not halves.
        if (index == leaf.Count && IsLastOfTree())
        {
            return (leaf.Count, false);
        }

        if (index == 0 && IsFirstOfTree())
        {
            return (0, true);
        }

        var total = leaf.UsedBytes + moreBytes;
        var leftBytes = 0;
        for (var i = 0; i <= leaf.Count; i++)
        {
            // The record at place i, the new one being at place index. The one in the middle goes where it leaves less of a difference.
            var bytes = i == index ? moreBytes : leaf.BytesAt(i < index ? i : i - 1);
            if (i > 0 && (leftBytes * 2) + bytes > total)
            {
                return i <= index ? (i, false) : (i - 1, true);
            }

            leftBytes += bytes;
        }

        // Only the last record is beyond the middle.
        return index == leaf.Count ? (leaf.Count, false) : (leaf.Count - 1, true);
    }

    private bool IsLastOfTree()
    {
        for (var level = 0; level < _depth; level++)
        {
            if (_taken[level] != _path[level].Count - 1)
            {
                return false;
            }
        }

        return true;
    }

    private bool IsFirstOfTree() => !_taken.AsSpan(0, _depth).ContainsAnyExcept(0);

    // Adds a node behind the one at this level of the way, splitting upwards as far as needed.
    private void AddBehind(int level, byte[] separator, Node right)
    {
        if (level == 0)
        {
            Root = Inner.Over(_edit, limits.Fanout, Root, separator, right);
            return;
        }

        var parent = _path[level - 1];
        var index = _taken[level - 1];
        if (parent.Count < parent.Fanout)
        {
            parent.InsertAfter(index, separator, right);
            return;
        }

        // Ascending keys leave inner nodes three quarters full.
        var leftCount = index == parent.Count - 1 ? parent.Count - parent.MinCount : parent.Count / 2;
        var (leftHalf, between, rightHalf) = parent.Split(_edit, leftCount);
        if (index < leftCount)
        {
            leftHalf.InsertAfter(index, separator, right);
        }
        else
        {
            rightHalf.InsertAfter(index - leftCount, separator, right);
        }

        Link(level - 1, leftHalf);
        AddBehind(level - 1, between, rightHalf);
    }

    private void AfterShrinking(Leaf leaf)
    {
        if (_depth > 0 && leaf.UsedBytes < limits.MinLeafBytes)
        {
            MendLeaf(leaf);
        }
        else
        {
            leaf.Shrink(_pool, _pool.StepBytes);
        }
    }

    // Merges a leaf that has become too empty with a neighbour, or evens the two out.
    private void MendLeaf(Leaf leaf)
    {
        var parent = _path[_depth - 1];
        var index = _taken[_depth - 1];
        var leftIndex = index > 0 && (index == parent.Count - 1 || CanMerge((Leaf)parent.Child(index - 1), leaf)) ? index - 1 : index;
        var left = (Leaf)parent.Child(leftIndex);
        var right = (Leaf)parent.Child(leftIndex + 1);
        if (CanMerge(left, right))
        {
            parent.Replace(leftIndex, Leaf.From(_edit, left, .., right, .., 0, _pool));
            parent.RemoveAfter(leftIndex);
            MendInner(_depth - 1);
        }
        else
        {
            var leftCount = WhereToEven(left, right);
            var fromLeft = Math.Min(leftCount, left.Count);
            var fromRight = leftCount - fromLeft;
            var newLeft = Leaf.From(_edit, left, ..fromLeft, right, ..fromRight, 0, _pool);
            var newRight = Leaf.From(_edit, left, fromLeft.., right, fromRight.., 0, _pool);
            parent.Replace(leftIndex, newLeft);
            parent.Replace(leftIndex + 1, newRight);
            parent.ReplaceSeparator(leftIndex, KeyOrder.Separator(newLeft.Key(newLeft.Count - 1), newRight.Key(0)));
        }

        Recycle(left);
        Recycle(right);
    }

    private bool CanMerge(Leaf left, Leaf right) =>
        left.Count == 0 || right.Count == 0 || left.UsedBytes + right.UsedBytes <= limits.MergedLeafBytes;

    // How many of both leaves' records belong into the left one, at least one in each.
    private static int WhereToEven(Leaf left, Leaf right)
    {
        var total = left.UsedBytes + right.UsedBytes;
        var count = left.Count + right.Count;
        var leftBytes = 0;
        for (var i = 0; i < count; i++)
        {
            var bytes = i < left.Count ? left.BytesAt(i) : right.BytesAt(i - left.Count);
            if (i > 0 && (leftBytes * 2) + bytes > total)
            {
                return i;
            }

            leftBytes += bytes;
        }

        return count - 1;
    }

    private void Recycle(Leaf leaf)
    {
        if (leaf.Edit == _edit)
        {
            leaf.Release(_pool);
        }
    }

    // A child of the inner node at this level has gone: merges the node with a neighbour if it has too few, or evens the two out.
    private void MendInner(int level)
    {
        var node = _path[level];
        if (level == 0)
        {
            if (node.Count == 1)
            {
                Root = node.Child(0);
            }

            return;
        }

        if (node.Count >= node.MinCount)
        {
            return;
        }

        var parent = _path[level - 1];
        var leftIndex = Math.Max(0, _taken[level - 1] - 1);
        var left = (Inner)parent.Child(leftIndex);
        var right = (Inner)parent.Child(leftIndex + 1);
        var separator = parent.SeparatorArray(leftIndex);
        if (left.Count + right.Count <= node.Fanout - node.MinCount)
        {
            parent.Replace(leftIndex, Inner.Merge(_edit, left, separator, right));
            parent.RemoveAfter(leftIndex);
            MendInner(level - 1);
        }
        else
        {
            var (newLeft, newSeparator, newRight) = Inner.Even(_edit, left, separator, right);
            parent.Replace(leftIndex, newLeft);
            parent.Replace(leftIndex + 1, newRight);
            parent.ReplaceSeparator(leftIndex, newSeparator);
        }
    }
}
