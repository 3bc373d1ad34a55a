namespace Flotilla.Data.Tree;

/// <summary>
/// An inner node: up to fan-out children and one separator between each two. Child <c>i</c> holds the keys that are not
/// below separator <c>i - 1</c> and below separator <c>i</c>.
/// </summary>
internal sealed class Inner : Node
{
    private readonly Node[] _children;
    private readonly byte[][] _separators;
    private readonly ulong[] _heads;

    // What every separator here begins with; heads start behind it.
    private SharedPrefix _shared;

    private Inner(long edit, int fanout)
        : base(edit)
    {
        _children = new Node[fanout];
        _separators = new byte[fanout - 1][];
        _heads = new ulong[fanout - 1];
    }

    /// <summary>How many children there are; one more than separators.</summary>
    public int Count { get; private set; }

    /// <summary>How many children there may be.</summary>
    public int Fanout => _children.Length;

    /// <summary>How many children a node other than the root has at the least.</summary>
    public int MinCount => _children.Length / 4;

    /// <summary>A new root over two nodes.</summary>
    public static Inner Over(long edit, int fanout, Node left, byte[] separator, Node right)
    {
        var root = new Inner(edit, fanout) { Count = 2 };
        root._children[0] = left;
        root._children[1] = right;
        root._separators[0] = separator;
        root.RefreshHeads();
        return root;
    }

    /// <summary>A node over these children with these separators between them.</summary>
    public static Inner Of(long edit, int fanout, ReadOnlySpan<Node> children, ReadOnlySpan<byte[]> separators)
    {
        var node = new Inner(edit, fanout) { Count = children.Length };
        children.CopyTo(node._children);
        separators.CopyTo(node._separators);
        node.RefreshHeads();
        return node;
    }

    /// <summary>A child.</summary>
    public Node Child(int index) => _children[index];

    /// <summary>What tells child <paramref name="index"/> from the next.</summary>
    public ReadOnlySpan<byte> Separator(int index) => _separators[index];

    /// <summary>Which child a key belongs to.</summary>
    public int IndexOf(ReadOnlySpan<byte> key)
    {
        var separators = Count - 1;
        var side = _shared.AgainstHead(key);
        if (side == 0 && !_shared.IsShort)
        {
            side = _shared.Against(key, _separators[0]);
        }

        if (side != 0)
        {
            return side < 0 ? 0 : separators;
        }

        var heads = _heads.AsSpan(0, separators);
        var head = KeyOrder.Head(key, _shared.Length);
        var low = 0;
        var high = heads.Length;
        while (low < high)
        {
            var middle = (low + high) >>> 1;
            var other = heads[middle];
            if (other < head || (other == head && key.SequenceCompareTo(_separators[middle]) >= 0))
            {
                low = middle + 1;
            }
            else
            {
                high = middle;
            }
        }

        return low;
    }

    /// <summary>The same node for another edit.</summary>
    public Inner Copy(long edit)
    {
        var copy = new Inner(edit, Fanout);
        copy.AppendFrom(this, 0, Count);
        copy._shared = _shared;
        _heads.AsSpan(0, Count - 1).CopyTo(copy._heads);
        return copy;
    }

    /// <summary>Puts another node in a child's place. The owning edit only.</summary>
    public void Replace(int index, Node child) => _children[index] = child;

    /// <summary>Adds a child behind child <paramref name="index"/>. The owning edit only; there must be room.</summary>
    public void InsertAfter(int index, byte[] separator, Node child)
    {
        var separators = Count - 1;
        Array.Copy(_children, index + 1, _children, index + 2, Count - index - 1);
        Array.Copy(_separators, index, _separators, index + 1, separators - index);
        Array.Copy(_heads, index, _heads, index + 1, separators - index);
        var sharesPrefix = separators > 0 && separator.AsSpan().StartsWith(_separators[index == 0 ? 1 : 0].AsSpan(0, _shared.Length));
        _children[index + 1] = child;
        _separators[index] = separator;
        Count++;
        if (sharesPrefix)
        {
            _heads[index] = KeyOrder.Head(separator, _shared.Length);
        }
        else
        {
            RefreshHeads();
        }
    }

    /// <summary>Takes out the child behind child <paramref name="index"/>, and the separator between the two. The owning edit only.</summary>
    public void RemoveAfter(int index)
    {
        var separators = Count - 1;
        Array.Copy(_children, index + 2, _children, index + 1, Count - index - 2);
        Array.Copy(_separators, index + 1, _separators, index, separators - index - 1);
        Array.Copy(_heads, index + 1, _heads, index, separators - index - 1);
        Count--;
        _children[Count] = null!;
        _separators[Count - 1] = null!;
        if (Count == 1)
        {
            _shared = default;
        }
    }

    /// <summary>Puts another separator between child <paramref name="index"/> and the next. The owning edit only.</summary>
    public void ReplaceSeparator(int index, byte[] separator)
    {
        _separators[index] = separator;
        RefreshHeads();
    }

    /// <summary>Two nodes that hold the first <paramref name="leftCount"/> children and the rest, and what lies between them.</summary>
    public (Inner Left, byte[] Separator, Inner Right) Split(long edit, int leftCount)
    {
        var left = new Inner(edit, Fanout);
        var right = new Inner(edit, Fanout);
        left.AppendFrom(this, 0, leftCount);
        right.AppendFrom(this, leftCount, Count);
        left.RefreshHeads();
        right.RefreshHeads();
        return (left, _separators[leftCount - 1], right);
    }

    /// <summary>One node in place of two neighbours; there must be room.</summary>
    public static Inner Merge(long edit, Inner left, byte[] separator, Inner right)
    {
        var merged = new Inner(edit, left.Fanout);
        merged.AppendFrom(left, 0, left.Count);
        merged._separators[merged.Count - 1] = separator;
        merged.AppendFrom(right, 0, right.Count);
        merged.RefreshHeads();
        return merged;
    }

    /// <summary>Two neighbours with their children shared out evenly, and the new separator.</summary>
    public static (Inner Left, byte[] Separator, Inner Right) Even(long edit, Inner left, byte[] separator, Inner right)
    {
        var leftCount = (left.Count + right.Count) / 2;
        var newLeft = new Inner(edit, left.Fanout);
        var newRight = new Inner(edit, left.Fanout);
        byte[] newSeparator;
        newLeft.AppendFrom(left, 0, Math.Min(left.Count, leftCount));
        if (leftCount < left.Count)
        {
            newSeparator = left._separators[leftCount - 1];
            newRight.AppendFrom(left, leftCount, left.Count);
            newRight._separators[newRight.Count - 1] = separator;
            newRight.AppendFrom(right, 0, right.Count);
        }
        else
        {
            // The left one is the smaller of the two: it takes children from the front of the right one.
            var taken = leftCount - left.Count;
            newSeparator = right._separators[taken - 1];
            newLeft._separators[newLeft.Count - 1] = separator;
            newLeft.AppendFrom(right, 0, taken);
            newRight.AppendFrom(right, taken, right.Count);
        }

        newLeft.RefreshHeads();
        newRight.RefreshHeads();
        return (newLeft, newSeparator, newRight);
    }

    /// <summary>The separator itself, to hand on to another node.</summary>
    public byte[] SeparatorArray(int index) => _separators[index];

    /// <summary>Throws unless heads and shared prefix agree with the separators.</summary>
    public void ValidateHeads()
    {
        for (var i = 0; i < Count - 1; i++)
        {
            if (!_separators[i].AsSpan().StartsWith(_separators[0].AsSpan(0, _shared.Length)) || _heads[i] != KeyOrder.Head(_separators[i], _shared.Length))
            {
                throw new InvalidOperationException($"Separator {i} has a wrong head.");
            }
        }
    }

    // Children from..to with the separators between them; the one before the first is the caller's to set.
    private void AppendFrom(Inner source, int from, int to)
    {
        Array.Copy(source._children, from, _children, Count, to - from);
        Array.Copy(source._separators, from, _separators, Count, Math.Max(0, to - from - 1));
        Count += to - from;
    }

    private void RefreshHeads()
    {
        var separators = Count - 1;
        if (separators < 1)
        {
            _shared = default;
            return;
        }

        // Sorted, so what the first and the last share, all share.
        _shared = new SharedPrefix(_separators[0], _separators[0].AsSpan().CommonPrefixLength(_separators[separators - 1]));
        for (var i = 0; i < separators; i++)
        {
            _heads[i] = KeyOrder.Head(_separators[i], _shared.Length);
        }
    }
}
