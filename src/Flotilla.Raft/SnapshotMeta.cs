namespace Flotilla.Raft;

/// <summary>One snapshot file of one group: the state after applying every entry up to <paramref name="Index"/>.</summary>
/// <param name="Index">The last entry that it includes.</param>
/// <param name="Term">That entry's term.</param>
/// <param name="Id">Drawn at random for this very file: two files of equal state have two ids, so that pieces of different files are never mixed (hazard 25).</param>
/// <param name="Bytes">The file's length.</param>
public sealed record SnapshotMeta(LogIndex Index, Term Term, ulong Id, long Bytes)
{
    /// <inheritdoc/>
    public override string ToString() => $"{Index}/{Term}";
}
