using Flotilla.Raft;

namespace Flotilla.Storage.Snapshots;

/// <summary>Brings log and snapshots together at a start, before any group's state is built from them.</summary>
public static class SnapshotRecovery
{
    /// <summary>
    /// Checks every group (<see cref="SnapshotStore.Reconcile"/>), and finishes what a crash interrupted between a snapshot that
    /// was installed and the reset of the log: that reset is made durable here, with a term not below the snapshot's, and a
    /// commit hint that covers it. Afterwards <see cref="Wal.Recovered"/> and <see cref="SnapshotStore.Latest"/> fit together for
    /// every group. Returns the groups whose log was reset. On the log's appending thread, before its first append.
    /// </summary>
    /// <exception cref="SnapshotMissingException">A log begins behind what any snapshot of its group holds.</exception>
    /// <exception cref="SnapshotCorruptException">A snapshot and the log contradict each other.</exception>
    public static IReadOnlyList<GroupId> Settle(Wal wal, SnapshotStore snapshots)
    {
        ArgumentNullException.ThrowIfNull(wal);
        ArgumentNullException.ThrowIfNull(snapshots);
        var reset = new List<(GroupId Group, Effect.Persist Persist)>();
        foreach (var group in wal.Groups.Union(snapshots.Groups).OrderBy(static g => g.Value))
        {
            var recovered = wal.Recovered(group);
            if (snapshots.Reconcile(group, recovered) is { } to)
            {
                reset.Add((group, new Effect.Persist(default, Raised(recovered.HardState, to), null, [], MustSync: true, to)));
            }
        }

        // Nothing is written before all groups have been checked.
        foreach (var (group, persist) in reset)
        {
            wal.Append(group, persist);
        }

        wal.Sync();
        return [.. reset.Select(static r => r.Group)];
    }

    // The term of an entry that is committed was reached by a majority; in a term above its own this node has not voted.
    private static HardState Raised(HardState state, LogBase to)
    {
        var commit = LogIndex.Max(state.Commit, to.Index);
        return state.Term < to.Term ? new HardState(to.Term, default, commit) : state with { Commit = commit };
    }
}
