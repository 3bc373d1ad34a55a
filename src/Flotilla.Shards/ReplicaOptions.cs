using Flotilla.Raft;
using Flotilla.Shards.Handoff;

namespace Flotilla.Shards;

/// <summary>Limits of one replica.</summary>
public sealed record ReplicaOptions
{
    /// <summary>Raft's times and limits.</summary>
    public RaftOptions Raft { get; init; } = new();

    /// <summary>The terms of the sessions that this replica opens when it leads.</summary>
    public SessionTerms Sessions { get; init; } = SessionTerms.Default;

    /// <summary>The terms of the idempotency keys that this replica takes when it leads.</summary>
    public KeyTerms IdempotencyKeys { get; init; } = KeyTerms.Default;

    /// <summary>Times and sizes of handoffs that this replica drives when it leads.</summary>
    public HandoffOptions Handoffs { get; init; } = new();

    /// <summary>Unused allowance of handoffs is kept up to so many bytes (<see cref="Replica.AllowHandoffBytes"/>): what a pause of the copy left unused does not come as a burst. Default 64 KiB, a chunk.</summary>
    public long MaxHandoffAllowance { get; init; } = 64 << 10;

    /// <summary>Longest key in bytes, up to 16,000. Default 4 KiB.</summary>
    public int MaxKeyBytes { get; init; } = 4 << 10;

    /// <summary>Longest value in bytes. Default 1 MiB.</summary>
    public int MaxValueBytes { get; init; } = 1 << 20;

    /// <summary>Payload bytes in one entry over which the next command starts another. Default 256 KiB.</summary>
    public int MaxEntryBytes { get; init; } = 256 << 10;

    /// <summary>Commands and reads that may wait in one replica before new ones are answered <see cref="ResultCode.Overloaded"/>. Default 16,384.</summary>
    public int MaxWaiting { get; init; } = 16_384;

    /// <summary>No deadline counts that lies further ahead than this, so that everything that waits ends. Milliseconds, default 60,000.</summary>
    public int MaxWaitMs { get; init; } = 60_000;

    /// <summary>
    /// Bytes of entries applied in one <see cref="Replica.Flush"/>, so that a long backlog after a restart does not hold up
    /// heartbeats and votes. Default 256 KiB, some three milliseconds of small writes.
    /// </summary>
    public int ApplyBytesPerFlush { get; init; } = 256 << 10;

    /// <summary>Bytes of answers to reads made in one <see cref="Replica.Flush"/>; the rest follows in the next. Default 8 MiB.</summary>
    public int ReadBytesPerFlush { get; init; } = 8 << 20;

    /// <summary>Bytes of entries applied since the last snapshot after which another is taken, if they are a quarter of that one's at least. Default 16 MiB.</summary>
    public long SnapshotLogBytes { get; init; } = 16L << 20;

    /// <summary>A snapshot that could not be written is tried again after this. Milliseconds, default 10,000.</summary>
    public int SnapshotRetryMs { get; init; } = 10_000;

    /// <summary>
    /// Bytes of events kept for those who watch: how far one may fall behind, or be away, and still go on without a gap. Default
    /// 2 MiB. Memory is taken as events come.
    /// </summary>
    public long EventBytes { get; init; } = 2L << 20;

    /// <summary>
    /// In the modes sync and chain a leader refuses writes once a member of the in-sync set has not answered for so long. Two
    /// heartbeats at least. Milliseconds, default 100.
    /// </summary>
    public int SyncSilenceMs { get; init; } = 100;

    /// <summary>
    /// In the modes sync and chain a member that acknowledges nothing for so long is taken out of the in-sync set, so that
    /// writes go on; 0 for never. Milliseconds, default 10,000.
    /// </summary>
    public int HealAfterMs { get; init; } = 10_000;

    /// <summary>
    /// A leader that only waits for records to expire adds a time entry at most this often: a bound on its syncs, and on
    /// how long an expired record is still seen in an idle shard. Milliseconds, default 25.
    /// </summary>
    public int TimeEntrySpacingMs { get; init; } = 25;
}
