namespace Flotilla.Data.Tree;

/// <summary>Reads below a root, alike for the live tree and for snapshots.</summary>
internal static class TreeReader
{
    /// <summary>Finds a record.</summary>
    public static bool TryGet(Node root, ReadOnlySpan<byte> key, out Record record)
    {
        var node = root;
        while (node is Inner inner)
        {
            node = inner.Child(inner.IndexOf(key));
        }

        var leaf = (Leaf)node;
        var index = leaf.IndexOf(key, out var found);
        record = found ? leaf.Record(index) : default;
        return found;
    }

    /// <summary>Visits the keys that begin with <paramref name="prefix"/> and are not below <paramref name="from"/>.</summary>
    public static void Visit<TVisitor>(Node root, ReadOnlySpan<byte> prefix, ReadOnlySpan<byte> from, ref TVisitor visitor)
        where TVisitor : struct, IRecordVisitor
    {
        // From here on no key that is met is below the prefix, so those that begin with it come first.
        var start = from.SequenceCompareTo(prefix) < 0 ? prefix : from;
        Walk(root, prefix, start, fromStart: true, ref visitor);
    }

    // False ends the walk. Only the nodes on the way to the first key look for it; fromStart says that this is one.
    private static bool Walk<TVisitor>(Node node, ReadOnlySpan<byte> prefix, ReadOnlySpan<byte> start, bool fromStart, ref TVisitor visitor)
        where TVisitor : struct, IRecordVisitor
    {
        if (node is Inner inner)
        {
            var first = fromStart ? inner.IndexOf(start) : 0;
            for (var i = first; i < inner.Count; i++)
            {
                if (!Walk(inner.Child(i), prefix, start, fromStart && i == first, ref visitor))
                {
                    return false;
                }
            }

            return true;
        }

        var leaf = (Leaf)node;
        var from = fromStart ? leaf.IndexOf(start, out _) : 0;
        if (from == leaf.Count)
        {
            return true;
        }

        // One look at the last key decides for the whole leaf, so that a prefix costs nothing per record.
        var goesOn = leaf.Key(leaf.Count - 1).StartsWith(prefix);
        var to = goesOn ? leaf.Count : leaf.EndOfPrefix(prefix, from);
        return leaf.Visit(from, to, ref visitor) && goesOn;
    }
}
