using Flotilla.Raft;

namespace Flotilla.Shards;

/// <summary>
/// When a replica takes a snapshot: after so many bytes of log since the last one, and a quarter of what that one has; when asked to, or when a follower could
/// not verify the last one. One at a time; one that could not be written is tried again after a pause.
/// </summary>
internal sealed class SnapshotSchedule(ReplicaOptions options)
{
    private long _bytes;
    private bool _isUnderWay;
    private Instant _notBefore;

    /// <summary>Somebody wants one whatever the length of the log.</summary>
    public bool Asked { get; set; }

    /// <summary>When one that failed may be tried again; never if none must be.</summary>
    public Instant RetryAt { get; private set; } = Instant.Never;

    /// <summary>An entry was applied.</summary>
    public void Applied(int cost) => _bytes += cost;

    /// <summary>Another node's snapshot has taken the place of the state.</summary>
    public void Installed() => _bytes = 0;

    /// <summary>It is time for one, of the state after <paramref name="applied"/>.</summary>
    public bool IsDue(Raft.Raft raft, LogIndex applied, Instant now)
    {
        // A restart loads the snapshot and applies the log behind it, which takes about as long as loading four times as much:
        // so the log grows to a quarter of the snapshot, and snapshots cost the disk four times what the log does at most.
        var due = _bytes >= Math.Max(options.SnapshotLogBytes, (raft.Snapshot?.Bytes ?? 0) / 4) || Asked || raft.SnapshotIsSuspect || RetryAt != Instant.Never;
        if (!due || _isUnderWay || now < _notBefore)
        {
            return false;
        }

        // Nothing new since the last one: then that one will do, unless it is damaged.
        var newest = raft.Snapshot?.Index ?? LogIndex.Zero;
        var isNew = applied > newest || (raft.SnapshotIsSuspect && applied == newest);
        if (!isNew)
        {
            Asked = false;
            RetryAt = Instant.Never;
        }

        return isNew;
    }

    /// <summary>One is being written.</summary>
    public void Begun()
    {
        _isUnderWay = true;
        Asked = false;
        _bytes = 0;
        RetryAt = Instant.Never;
    }

    /// <summary>It is written, or could not be.</summary>
    public void Ended(bool isWritten, Instant now)
    {
        _isUnderWay = false;
        if (!isWritten)
        {
            RetryAt = _notBefore = now.PlusMs(options.SnapshotRetryMs);
        }
    }
}
