namespace Flotilla.Data.Tree;

/// <summary>A place between the records of a tree that does not change meanwhile, with the way to it, so that it can move on by records or by whole nodes.</summary>
internal sealed class TreeCursor
{
    private readonly List<Inner> _way = []; // from the root down to above the leaf
    private readonly List<int> _at = []; // which child of each
    private Leaf? _leaf;
    private int _index;

    /// <summary>At the first record whose key is not below <paramref name="from"/>.</summary>
    public TreeCursor(Node root, ReadOnlySpan<byte> from)
    {
        var node = root;
        while (node is Inner inner)
        {
            _way.Add(inner);
            _at.Add(inner.IndexOf(from));
            node = inner.Child(_at[^1]);
        }

        _leaf = (Leaf)node;
        _index = _leaf.IndexOf(from, out _);
        LeaveFinishedLeaf();
    }

    /// <summary>True behind the last record.</summary>
    public bool IsAtEnd => _leaf is null;

    /// <summary>The record at hand.</summary>
    public Record Record => _leaf!.Record(_index);

    /// <summary>On to the next record.</summary>
    public void Next()
    {
        _index++;
        LeaveFinishedLeaf();
    }

    /// <summary>
    /// If both stand at one place of one node, moves both behind the largest node of which that is so. What comes before in
    /// that node is dealt with, and what follows in it is the same for both, since it is the very same memory.
    /// </summary>
    public static bool SkipShared(TreeCursor a, TreeCursor b)
    {
        if (a._leaf is null || !ReferenceEquals(a._leaf, b._leaf) || a._index != b._index)
        {
            return false;
        }

        var height = 0; // of the node to leave, over the leaves
        while (height < a._way.Count && height < b._way.Count
            && ReferenceEquals(a._way[^(height + 1)], b._way[^(height + 1)]) && a._at[^(height + 1)] == b._at[^(height + 1)])
        {
            height++;
        }

        a.Leave(height);
        b.Leave(height);
        return true;
    }

    private void LeaveFinishedLeaf()
    {
        while (_leaf is not null && _index == _leaf.Count)
        {
            Leave(0);
        }
    }

    // On to the first record behind the node which is so high over the leaf.
    private void Leave(int height)
    {
        var level = _way.Count - 1 - height;
        while (level >= 0 && _at[level] + 1 == _way[level].Count)
        {
            level--;
        }

        if (level < 0)
        {
            _leaf = null;
            return;
        }

        _way.RemoveRange(level + 1, _way.Count - level - 1);
        _at.RemoveRange(level + 1, _at.Count - level - 1);
        _at[level]++;
        var node = _way[level].Child(_at[level]);
        while (node is Inner inner)
        {
            _way.Add(inner);
            _at.Add(0);
            node = inner.Child(0);
        }

        _leaf = (Leaf)node;
        _index = 0;
        LeaveFinishedLeaf();
    }
}
