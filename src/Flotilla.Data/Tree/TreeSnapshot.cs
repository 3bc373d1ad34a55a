namespace Flotilla.Data.Tree;

/// <summary>The tree as it was at one moment. Immutable: any number of threads may read it, also while the tree is written.</summary>
internal sealed class TreeSnapshot(Node root, long count, long bytes) : IRecordView
{
    /// <summary>The node at the top.</summary>
    public Node Root => root;

    /// <inheritdoc/>
    public long Count { get; } = count;

    /// <inheritdoc/>
    public long Bytes { get; } = bytes;

    /// <inheritdoc/>
    public bool TryGet(ReadOnlySpan<byte> key, out Record record) => TreeReader.TryGet(root, key, out record);

    /// <inheritdoc/>
    public void Visit<TVisitor>(ReadOnlySpan<byte> from, ref TVisitor visitor)
        where TVisitor : struct, IRecordVisitor => TreeReader.Visit(root, default, from, ref visitor);

    /// <inheritdoc/>
    public void VisitPrefix<TVisitor>(ReadOnlySpan<byte> prefix, ReadOnlySpan<byte> from, ref TVisitor visitor)
        where TVisitor : struct, IRecordVisitor => TreeReader.Visit(root, prefix, from, ref visitor);

    /// <inheritdoc/>
    public void VisitChanges<TVisitor>(IRecordView older, ReadOnlySpan<byte> from, ref TVisitor visitor)
        where TVisitor : struct, IChangeVisitor => TreeChanges.Visit(RootOf(older), root, from, ref visitor);

    /// <summary>The node at the top of a view that must be a snapshot of a tree.</summary>
    public static Node RootOf(IRecordView view) =>
        view is TreeSnapshot snapshot ? snapshot.Root : throw new ArgumentException($"A {view.GetType().Name} is no snapshot of a tree.", nameof(view));
}
