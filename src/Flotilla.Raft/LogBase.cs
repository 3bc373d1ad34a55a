namespace Flotilla.Raft;

/// <summary>
/// The position that a group's stored log begins behind: its first entry, once there is one, is <c>Index.Next</c>. What
/// lies at or below it is in a snapshot.
/// </summary>
/// <param name="Index">The last index that is not in the log; 0 for a log that begins with its first entry.</param>
/// <param name="Term">The term of the entry at <paramref name="Index"/>; 0 at index 0, and where the log doesn't know it (then the snapshot does).</param>
public readonly record struct LogBase(LogIndex Index, Term Term)
{
    /// <inheritdoc/>
    public override string ToString() => $"{Index}/{Term}";
}
