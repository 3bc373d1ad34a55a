namespace Flotilla.Data.Tree;

/// <summary>The tree as it was at one moment. Immutable: any number of threads may read it, also while the tree is written.</summary>
internal sealed class TreeSnapshot(Node root, long count, long bytes) : IRecordView
{
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
}
