namespace Flotilla.Raft.Progress;

/// <summary>
/// How far a leader is in sending one snapshot to one follower: one piece at a time, each asked for by the answer to the one
/// before, and none sooner than the rate allows. The follower says where to go on, so a connection or a process that ends in
/// the middle costs what was under way.
/// </summary>
internal sealed class SnapshotTransfer(SnapshotMeta snapshot, Instant now)
{
    public SnapshotMeta Snapshot { get; } = snapshot;

    /// <summary>Where the next piece begins: what the follower has asked for.</summary>
    public long Offset { get; private set; }

    /// <summary>A piece is being read from the disk.</summary>
    public bool Reading { get; set; }

    /// <summary>A piece is under way since then; null if none is.</summary>
    public Instant? SentAt { get; private set; }

    /// <summary>When the rate allows the next piece.</summary>
    public Instant NextAt { get; private set; } = now;

    /// <summary>When the follower last answered, or the transfer began.</summary>
    public Instant LastAnswer { get; private set; } = now;

    /// <summary>Every piece has been sent since the follower last asked for the first.</summary>
    public bool SentAll { get; private set; }

    public void Sent(int bytes, RaftOptions options, Instant now)
    {
        Reading = false;
        SentAll = Offset + bytes == Snapshot.Bytes;
        SentAt = now;
        NextAt = now.PlusMs(bytes * 1000.0 / options.SnapshotBytesPerSecond);
    }

    public void Answered(long nextOffset, Instant now)
    {
        Offset = Math.Clamp(nextOffset, 0, Snapshot.Bytes);
        SentAt = null;
        LastAnswer = now;
        if (Offset == Snapshot.Bytes)
        {
            // The follower verifies and loads what it has: asking how far it is can wait.
            SentAt = now;
        }
    }
}
