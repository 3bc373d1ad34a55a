using Flotilla.Data.Tree;

namespace Flotilla.Data;

/// <summary>
/// Records in memory, ordered by key: a copy-on-write B+tree whose leaves are packed pages (docs/data.md). A snapshot is
/// O(1) and pauses nothing: it ends the current edit, and each later change copies the nodes on its way that belong to an
/// earlier edit, once. Nodes of the current edit are changed in place.
/// </summary>
/// <remarks>
/// One thread owns the tree. Snapshots are immutable and may be read by any thread; handing one over must publish it
/// safely, as a channel or a lock does. What <see cref="TryGet"/> and visits of the tree itself hand out is valid until its next change.
/// Changing the tree from inside one of its own visits throws <see cref="InvalidOperationException"/>.
/// </remarks>
public sealed class BTree : IRecordStore
{
    /// <summary>The longest key, in bytes. What clients may send is limited further by options.</summary>
    public const int MaxKeyBytes = 16 * 1024;

    private readonly TreeWriter _writer;
    private int _visits;

    /// <summary>An empty tree.</summary>
    public BTree()
        : this(TreeLimits.Default)
    {
    }

    internal BTree(TreeLimits limits)
        : this(limits, Leaf.Empty(TreeWriter.FirstEdit), 0, 0)
    {
    }

    /// <summary>A tree over nodes of the first edit, which nobody else uses.</summary>
    internal BTree(TreeLimits limits, Node root, long count, long bytes)
    {
        _writer = new TreeWriter(limits, root);
        Count = count;
        Bytes = bytes;
    }

    /// <inheritdoc/>
    public long Count { get; private set; }

    /// <inheritdoc/>
    public long Bytes { get; private set; }

    /// <inheritdoc/>
    /// <exception cref="ArgumentException">The key is longer than <see cref="MaxKeyBytes"/>.</exception>
    public void Put(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, Version version, long expiresAtMs)
    {
        ThrowIfVisited();
        if (key.Length > MaxKeyBytes)
        {
            throw new ArgumentException($"A key of {key.Length} bytes is over the tree's limit of {MaxKeyBytes}.", nameof(key));
        }

        if (_writer.Put(key, value, version, expiresAtMs, out var oldValueLength))
        {
            Bytes += value.Length - oldValueLength;
        }
        else
        {
            Count++;
            Bytes += key.Length + value.Length;
        }
    }

    /// <inheritdoc/>
    public bool Remove(ReadOnlySpan<byte> key)
    {
        ThrowIfVisited();
        var keyLength = key.Length;
        if (!_writer.Remove(key, out var valueLength))
        {
            return false;
        }

        Count--;
        Bytes -= keyLength + valueLength;
        return true;
    }

    /// <inheritdoc/>
    public bool TryGet(ReadOnlySpan<byte> key, out Record record) => TreeReader.TryGet(_writer.Root, key, out record);

    /// <inheritdoc/>
    public void Visit<TVisitor>(ReadOnlySpan<byte> from, ref TVisitor visitor)
        where TVisitor : struct, IRecordVisitor => VisitPrefix(default, from, ref visitor);

    /// <inheritdoc/>
    public void VisitPrefix<TVisitor>(ReadOnlySpan<byte> prefix, ReadOnlySpan<byte> from, ref TVisitor visitor)
        where TVisitor : struct, IRecordVisitor
    {
        _visits++;
        try
        {
            TreeReader.Visit(_writer.Root, prefix, from, ref visitor);
        }
        finally
        {
            _visits--;
        }
    }

    /// <inheritdoc/>
    public void VisitChanges<TVisitor>(IRecordView older, ReadOnlySpan<byte> from, ref TVisitor visitor)
        where TVisitor : struct, IChangeVisitor
    {
        _visits++;
        try
        {
            TreeChanges.Visit(TreeSnapshot.RootOf(older), _writer.Root, from, ref visitor);
        }
        finally
        {
            _visits--;
        }
    }

    /// <inheritdoc/>
    public IRecordView Snapshot()
    {
        _writer.BeginEdit();
        return new TreeSnapshot(_writer.Root, Count, Bytes);
    }

    /// <summary>Checks the whole structure and measures it; for tests. Throws if anything is wrong.</summary>
    internal TreeShape Validate()
    {
        var shape = TreeShape.Of(_writer.Root, _writer.Limits);
        return shape.Records == Count && shape.RecordBytes == Bytes
            ? shape
            : throw new InvalidOperationException($"{shape.Records} records of {shape.RecordBytes} bytes, counted as {Count} of {Bytes}.");
    }

    private void ThrowIfVisited()
    {
        if (_visits != 0)
        {
            throw new InvalidOperationException("The live store was changed during a visit of it: visit a snapshot, or gather the changes and make them afterwards.");
        }
    }
}
