namespace Flotilla.Raft;

/// <summary>The times and limits of one group. The defaults suit a LAN; all nodes of a cluster should use the same.</summary>
public sealed record RaftOptions
{
    /// <summary>A follower that hears nothing for a random time in [this, 2 × this) starts an election. Milliseconds, default 300.</summary>
    public int ElectionTimeoutMs { get; init; } = 300;

    /// <summary>How often an idle leader sends heartbeats. Milliseconds, default 50; at most a third of <see cref="ElectionTimeoutMs"/>.</summary>
    public int HeartbeatMs { get; init; } = 50;

    /// <summary>A leader whose own disk acknowledges nothing for this long hands leadership over (hazard 5). Milliseconds, default 1000.</summary>
    public int DiskStallMs { get; init; } = 1000;

    /// <summary>Entries in one AppendEntries, in bytes of cost; one entry is always sent, however large. Default 1 MiB.</summary>
    public int MaxAppendBytes { get; init; } = 1 << 20;

    /// <summary>AppendEntries with entries under way to one follower at a time (pipelining window). Default 64.</summary>
    public int MaxInflightAppends { get; init; } = 64;

    /// <summary>
    /// Where followers pass entries on (<see cref="Raft.Chain"/>): one that has not acknowledged for so long what another was to pass on is asked
    /// whether it came, and is fed by the leader itself if not. Milliseconds, default 50.
    /// </summary>
    public int RelayStallMs { get; init; } = 50;

    /// <summary>Bytes of cost under way to one follower at a time. Default 8 MiB.</summary>
    public int MaxInflightBytes { get; init; } = 8 << 20;

    /// <summary>Uncommitted bytes over which a leader refuses proposals as overloaded (hazard 63). Default 32 MiB.</summary>
    public int MaxUncommittedBytes { get; init; } = 32 << 20;

    /// <summary>Bytes of payload that a replica whose disk is full still keeps until there is room again: what may be under way as disks run full. Default 64 KiB.</summary>
    public long FullDiskBytes { get; init; } = 64 << 10;

    /// <summary>Bytes of applied, durable entries kept in memory for followers; older ones are read back from disk (hazard 62). Default 4 MiB.</summary>
    public int LogCacheBytes { get; init; } = 4 << 20;

    /// <summary>
    /// Bytes of log kept behind a snapshot, so that a follower which is only a little behind is served from the log. Default 16 MiB.
    /// </summary>
    public int LogTailBytes { get; init; } = 16 << 20;

    /// <summary>
    /// A follower that answers and is not further behind than this keeps the log from being truncated in front of it. Default 256 MiB.
    /// </summary>
    public long MaxLagBytes { get; init; } = 256L << 20;

    /// <summary>Bytes of a snapshot in one InstallSnapshot. Default 256 KiB.</summary>
    public int SnapshotChunkBytes { get; init; } = 256 << 10;

    /// <summary>
    /// How fast one follower is sent a snapshot, at most, so that others' traffic keeps its latency. Bytes a second, default 32 MiB.
    /// </summary>
    public int SnapshotBytesPerSecond { get; init; } = 32 << 20;

    /// <summary>A snapshot's receiver that does not answer for this long is given up until it is heard of again. Milliseconds, default 10,000.</summary>
    public int SnapshotTimeoutMs { get; init; } = 10_000;

    /// <summary>
    /// A leader that has had nothing to do for this long asks its followers to be quiet with it, where node heartbeats are sent
    /// (<see cref="Raft.Pulse"/>); 0 for never, less than two heartbeats counts as two. Milliseconds, default 1000.
    /// </summary>
    public int QuietAfterMs { get; init; } = 1000;

    /// <summary>A read that got no read index after this long fails. Milliseconds, default 1000.</summary>
    public int ReadTimeoutMs { get; init; } = 1000;
}

/// <summary>What a replica finds on its disk at a start.</summary>
/// <param name="HardState">Term, vote and commit hint; all zero for an empty directory.</param>
/// <param name="Identity">The identity state.</param>
/// <param name="LastIndex">The last durable entry, or <see cref="LogBase.Index"/> of <paramref name="Base"/> if there is none.</param>
/// <param name="TermStarts">
/// Where each term of the durable log begins, in order: (first index, term). If the term of <paramref name="Base"/> is known and
/// its index is not 0, the first one is the term that holds that index, so it may begin at or below it.
/// </param>
/// <param name="Base">What is released or reset to: the log holds the entries in (<c>Base.Index</c>, <paramref name="LastIndex"/>]. Its term is 0 if the log doesn't know it; then the snapshot does.</param>
/// <param name="BytesAboveCommit">The <see cref="Entry.Cost"/> of the recovered entries above <c>HardState.Commit</c>, in bytes (hazard 63).</param>
/// <param name="Configurations">All recovered entries of kind <see cref="EntryKind.Configuration"/>, in order; replaced and released ones are left out.</param>
/// <param name="Snapshot">The newest snapshot on the disk, or null. Not below <paramref name="Base"/>.</param>
/// <param name="SnapshotConfiguration">The configuration that it holds.</param>
public sealed record RaftRecovery(
    HardState HardState,
    IdentityState Identity,
    LogIndex LastIndex,
    IReadOnlyList<(LogIndex First, Term Term)> TermStarts,
    LogBase Base = default,
    long BytesAboveCommit = 0,
    IReadOnlyList<Entry>? Configurations = null,
    SnapshotMeta? Snapshot = null,
    Membership.Configuration? SnapshotConfiguration = null)
{
    /// <summary>The recovery of an empty directory.</summary>
    public static RaftRecovery Empty { get; } = new(default, IdentityState.Empty, default, []);

    /// <summary>All recovered entries of kind <see cref="EntryKind.Configuration"/>, in order; replaced and released ones are left out.</summary>
    public IReadOnlyList<Entry> Configurations { get; init; } = Configurations ?? [];
}
