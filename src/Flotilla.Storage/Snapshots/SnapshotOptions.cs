using Flotilla.Raft;

namespace Flotilla.Storage.Snapshots;

/// <summary>How snapshots are stored.</summary>
public sealed record SnapshotOptions
{
    /// <summary>
    /// Makes the ids of snapshots a function of this number, so that a simulation repeats itself; it must then be another one at
    /// each start. Null (the default) draws them at random.
    /// </summary>
    public ulong? IdSeed { get; init; }

    /// <summary>Groups of which nothing is wanted any more: their files are deleted unread when the directory is opened.</summary>
    public IReadOnlySet<GroupId> Retired { get; init; } = new HashSet<GroupId>();
}
