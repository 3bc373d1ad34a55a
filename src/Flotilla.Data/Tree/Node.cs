namespace Flotilla.Data.Tree;

/// <summary>
/// A node of the tree. It may be changed in place by the edit that made it and by no other: a snapshot begins a new
/// edit, and from then on the nodes that it can reach are copied before they change.
/// </summary>
internal abstract class Node(long edit)
{
    /// <summary>The edit that owns this node.</summary>
    public long Edit { get; } = edit;
}
