namespace Flotilla.Data.Tree;

/// <summary>
/// Builds a tree from records in ascending order, leaf after leaf and then level after level, so that nothing is ever
/// searched for, split or moved. Leaves are as full as their records allow; inner nodes share their children out evenly.
/// </summary>
internal sealed class TreeLoader(TreeLimits limits)
{
    // The first edit of a new tree: the writer that takes over goes on in it and changes these nodes in place.
    private const long Edit = TreeWriter.FirstEdit;

    private readonly PagePool _pool = new(limits.PageBytes);
    private readonly List<Node> _nodes = [];
    private readonly List<byte[]> _separators = []; // one between each two nodes
    private Leaf? _leaf;

    /// <summary>The last key added; empty before the first.</summary>
    public ReadOnlySpan<byte> LastKey => _leaf is { } leaf ? leaf.Key(leaf.Count - 1) : [];

    /// <summary>Adds a record, whose key must be above <see cref="LastKey"/>.</summary>
    public void Add(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, Version version, long expiresAtMs)
    {
        var draft = new Cell.Draft(key, value, version, expiresAtMs, outside: value.Length > limits.InlineValueBytes);
        var bytes = draft.Length + Slot.Bytes;
        if (_leaf is null)
        {
            _leaf = Begin(bytes);
        }
        else if (_leaf.UsedBytes + bytes > limits.PageBytes)
        {
            var separator = KeyOrder.Separator(LastKey, key);
            End(_leaf);
            _separators.Add(separator);
            _leaf = Begin(bytes);
        }

        _leaf.Insert(_leaf.Count, draft);
    }

    /// <summary>The root over all that was added. The loader is not to be used any more.</summary>
    public Node Finish()
    {
        if (_leaf is null)
        {
            return Leaf.Empty(Edit);
        }

        End(_leaf);
        while (_nodes.Count > 1)
        {
            BuildLevel();
        }

        return _nodes[0];
    }

    // A page that holds all that a leaf may have, or the one record that needs more.
    private Leaf Begin(int bytes)
    {
        var leaf = Leaf.Empty(Edit);
        leaf.MakeRoom(Math.Max(bytes, limits.PageBytes), _pool);
        return leaf;
    }

    private void End(Leaf leaf)
    {
        leaf.Shrink(_pool, 0);
        _nodes.Add(leaf);
    }

    // Puts one level of inner nodes over what there is, in place. Shared out evenly, no node has fewer than half of the
    // fan-out (when there is more than one), which is above what any node needs.
    private void BuildLevel()
    {
        var parents = (_nodes.Count + limits.Fanout - 1) / limits.Fanout;
        var nodes = _nodes.ToArray();
        var separators = _separators.ToArray();
        _nodes.Clear();
        _separators.Clear();
        for (var i = 0; i < parents; i++)
        {
            var from = (int)((long)nodes.Length * i / parents);
            var to = (int)((long)nodes.Length * (i + 1) / parents);
            _nodes.Add(Inner.Of(Edit, limits.Fanout, nodes.AsSpan(from..to), separators.AsSpan(from..(to - 1))));
            if (i < parents - 1)
            {
                _separators.Add(separators[to - 1]);
            }
        }
    }
}
