using Flotilla.Raft.Membership;
using Flotilla.Raft.Progress;

namespace Flotilla.Raft;

/// <content>
/// Snapshots (the paper, section 7; dissertation, chapter 5): the log is truncated behind a durable snapshot, and a follower
/// that needs what is gone is sent the snapshot's file in pieces (figure 13).
/// <para>Invariants. The newest snapshot is durable before the log forgets anything that it holds, so at every moment snapshot
/// and log together are the whole history. A snapshot holds committed entries only. A received snapshot is complete,
/// verified and durable before this replica speaks of it or forgets its log (<see cref="SnapshotInstalled"/>). If the log
/// holds the snapshot's last entry with the same term, what follows it stays (figure 13, step 6: Log Matching makes it the
/// leader's); else the whole log goes, a conflicting suffix with it (hazard 24).</para>
/// <para>A piece names its file by a random id: pieces of another leader's file, or of an older one, never join it (hazard 25).
/// While a file is being sent, it is kept, and so is the log behind it: the follower can go on from there, however long it
/// takes and however many snapshots are taken meanwhile (hazard 28).</para>
/// </content>
public sealed partial class Raft
{
    private readonly List<SnapshotMeta> _snapshots = []; // by age; all but the newest are being sent
    private SnapshotMeta? _receiving;
    private long _received;
    private bool _storing;
    private LogBase? _resetTo;

    /// <summary>The newest durable snapshot, or null.</summary>
    public SnapshotMeta? Snapshot => _snapshots.Count > 0 ? _snapshots[^1] : null;

    /// <summary>A follower could not verify the newest snapshot, which is sent to nobody any more: taking another one heals that.</summary>
    public bool SnapshotIsSuspect { get; private set; }

    private Instant SnapshotDeadline
    {
        get
        {
            var next = Instant.Never;
            foreach (var follower in _followers)
            {
                if (follower.Transfer is { Reading: false, SentAt: null } transfer)
                {
                    next = Instant.Min(next, transfer.NextAt);
                }
            }

            return next;
        }
    }

    /// <summary>A snapshot of this replica's own applied state is durable: the log behind it may go.</summary>
    public void SnapshotTaken(SnapshotMeta snapshot, Instant now)
    {
        ArgumentNullException.ThrowIfNull(snapshot);
        _now = now;
        Invariant.Require(snapshot.Index <= CommitIndex, "a snapshot holds committed entries only");
        if (Snapshot is { } newest && newest.Index > snapshot.Index)
        {
            // One that a leader sent has overtaken it.
            _effects.Add(new Effect.DropSnapshot(snapshot));
            return;
        }

        SnapshotIsSuspect = false;
        AddSnapshot(snapshot);
        Compact();
    }

    /// <summary>Bytes asked for by <see cref="Effect.ReadSnapshot"/>; none if they could not be read, then they are asked for again.</summary>
    public void SnapshotRead(NodeId to, ulong id, long offset, ReadOnlyMemory<byte> data, uint crc, Instant now)
    {
        _now = now;
        if (FollowerOf(to)?.Transfer is not { Reading: true } transfer || transfer.Snapshot.Id != id)
        {
            return;
        }

        if (transfer.Offset != offset)
        {
            // An answer to an earlier transfer of the same file has come meanwhile, and the follower is further than was thought:
            // what it lacks is read next.
            transfer.Reading = false;
            return;
        }

        transfer.Sent(data.Length, _options, now);
        if (!data.IsEmpty)
        {
            Send(to, new InstallSnapshot(Term, transfer.Snapshot, offset, data, crc, SeatOf(to)), default);
        }
    }

    /// <summary>
    /// A piece given by <see cref="Effect.StoreSnapshot"/> was stored, or could not be. <paramref name="nextOffset"/> is what is
    /// wanted next: 0 to start over (the whole did not verify, or the disk failed); the file's length once all of it is there
    /// and being verified.
    /// </summary>
    public void SnapshotStored(ulong id, long nextOffset, Instant now)
    {
        _now = now;
        _storing = false;
        if (_receiving is { } snapshot && snapshot.Id == id)
        {
            _received = nextOffset;
            if (Role == Role.Follower && !Leader.IsNone)
            {
                Send(Leader, new InstallSnapshotReply(Term, id, nextOffset, default), Vow);
            }
        }
    }

    /// <summary>
    /// A snapshot that the leader sent is durable, and the state machine holds its state; or went on beyond it meanwhile, which is as good.
    /// </summary>
    /// <param name="snapshot">The file.</param>
    /// <param name="configuration">The configuration that it holds.</param>
    /// <param name="now">The time.</param>
    public void SnapshotInstalled(SnapshotMeta snapshot, Configuration configuration, Instant now)
    {
        ArgumentNullException.ThrowIfNull(snapshot);
        ArgumentNullException.ThrowIfNull(configuration);
        _now = now;
        _applied = LogIndex.Max(_applied, snapshot.Index);
        if (_receiving?.Id == snapshot.Id)
        {
            _receiving = null;
        }

        if (snapshot.Index <= CommitIndex)
        {
            SnapshotTaken(snapshot, now);
            return;
        }

        AddSnapshot(snapshot);
        if (Log.TermAt(snapshot.Index) == snapshot.Term)
        {
            CommitIndex = snapshot.Index;
            Compact();
        }
        else
        {
            Invariant.Require(Role != Role.Leader, "a leader's log holds every committed entry (Leader Completeness)");
            ResetLog(new LogBase(snapshot.Index, snapshot.Term), configuration);
        }

        if (Role == Role.Follower && !Leader.IsNone)
        {
            Send(Leader, new InstallSnapshotReply(Term, snapshot.Id, snapshot.Bytes, snapshot.Index), DurableThrough(snapshot.Index));
        }
    }

    /// <summary>At a start: the disk may hold a snapshot that was installed just before the log could be reset to it.</summary>
    private void RecoverSnapshot(RaftRecovery recovered)
    {
        Invariant.Require(recovered.Base.Index <= (recovered.Snapshot?.Index ?? LogIndex.Zero), "a log begins behind a snapshot that is there");
        if (recovered.Snapshot is not { } snapshot)
        {
            return;
        }

        _snapshots.Add(snapshot);
        _applied = snapshot.Index;
        var configuration = recovered.SnapshotConfiguration ?? Configuration;
        if (Log.TermAt(snapshot.Index) != snapshot.Term)
        {
            ResetLog(new LogBase(snapshot.Index, snapshot.Term), configuration);
        }
        else
        {
            _configurations.ResetTo(snapshot.Index, configuration);
        }

        CommitIndex = LogIndex.Max(CommitIndex, snapshot.Index);
    }

    private void ResetLog(LogBase @base, Configuration configuration)
    {
        Log.ResetTo(@base);
        _configurations.ResetTo(@base.Index, configuration);
        NoticeMembership();
        _resetTo = @base;
        _unpersisted.Clear();
        for (var i = 0; i < _underWay.Count; i++)
        {
            _underWay[i] = _underWay[i] with { LastIndex = LogIndex.Zero };
        }

        // What the base stands for is durable in the snapshot.
        _durableIndex = @base.Index;
        CommitIndex = LogIndex.Max(CommitIndex, @base.Index);
    }

    private void AddSnapshot(SnapshotMeta snapshot)
    {
        _snapshots.Add(snapshot);
        DropUnusedSnapshots();
    }

    private void DropUnusedSnapshots()
    {
        for (var i = _snapshots.Count - 2; i >= 0; i--)
        {
            if (!_followers.Exists(follower => follower.Transfer?.Snapshot == _snapshots[i]))
            {
                _effects.Add(new Effect.DropSnapshot(_snapshots[i]));
                _snapshots.RemoveAt(i);
            }
        }
    }

    /// <summary>
    /// Truncates the log behind the newest snapshot, but for a tail, and for what a follower needs that answers and is not
    /// too far behind, or that is being sent an older snapshot.
    /// </summary>
    private void Compact()
    {
        if (Snapshot is not { } snapshot || snapshot.Index <= Log.Base.Index)
        {
            return;
        }

        var through = LogIndex.Min(snapshot.Index, Log.BeforeLast(_options.LogTailBytes));
        if (_followers.Count > 0)
        {
            var tooFar = Log.BeforeLast(_options.MaxLagBytes);
            foreach (var follower in _followers)
            {
                if (follower.Transfer is { } transfer)
                {
                    through = LogIndex.Min(through, transfer.Snapshot.Index);
                }
                else if (_now.MsSince(follower.LastHeard) < _options.ElectionTimeoutMs && follower.Match >= tooFar)
                {
                    through = LogIndex.Min(through, follower.Match);
                }
            }
        }

        if (through > Log.Base.Index)
        {
            Log.CompactThrough(through);
            _configurations.CompactedThrough(through);
            _effects.Add(new Effect.Release(through));
        }
    }

    /// <summary>Sends to each follower that needs a snapshot its next piece, if it is time.</summary>
    private void SendSnapshots()
    {
        foreach (var follower in _followers)
        {
            if (follower.Transfer is null && follower.Next <= Log.Base.Index && !SnapshotIsSuspect && !follower.HasNoRoom && _now.MsSince(follower.LastHeard) < _options.ElectionTimeoutMs)
            {
                follower.BeginSnapshot(Snapshot!, _now);
            }

            if (follower.Transfer is not { } transfer || transfer.Reading || _now < transfer.NextAt)
            {
                continue;
            }

            if (_now.MsSince(transfer.LastAnswer) > _options.SnapshotTimeoutMs)
            {
                follower.EndSnapshot();
                DropUnusedSnapshots();
            }
            else if (transfer.SentAt is { } sent && _now.MsSince(sent) < 2 * _options.ElectionTimeoutMs)
            {
                continue;
            }
            else if (transfer.Offset == transfer.Snapshot.Bytes)
            {
                transfer.Sent(0, _options, _now);
                Send(follower.Id, new InstallSnapshot(Term, transfer.Snapshot, transfer.Offset, default, 0, SeatOf(follower.Id)), default);
            }
            else
            {
                transfer.Reading = true;
                _effects.Add(new Effect.ReadSnapshot(follower.Id, transfer.Snapshot, transfer.Offset, _options.SnapshotChunkBytes));
            }
        }
    }

    private void OnInstallSnapshot(NodeId from, InstallSnapshot request)
    {
        HearLeader(from);
        var snapshot = request.Snapshot;
        if (snapshot.Index <= CommitIndex)
        {
            Send(from, new InstallSnapshotReply(Term, snapshot.Id, snapshot.Bytes, snapshot.Index), DurableThrough(snapshot.Index));
            return;
        }

        if (_storing || (HasNoRoom && _receiving != snapshot))
        {
            return; // The leader asks again.
        }

        if (_receiving != snapshot)
        {
            if (_receiving is { } abandoned)
            {
                _effects.Add(new Effect.DropSnapshot(abandoned));
            }

            _receiving = snapshot;
            _received = 0;
        }

        if (request.Offset == _received && !request.Data.IsEmpty && request.Data.Length <= snapshot.Bytes - request.Offset)
        {
            _storing = true;
            _effects.Add(new Effect.StoreSnapshot(snapshot, request.Offset, request.Data, request.Crc));
        }
        else
        {
            Send(from, new InstallSnapshotReply(Term, snapshot.Id, _received, default), Vow);
        }
    }

    private void OnInstallSnapshotReply(NodeId from, InstallSnapshotReply reply)
    {
        if (FollowerOf(from) is not { } follower)
        {
            return;
        }

        follower.Heard(0, _now);
        if (reply.MatchIndex > LogIndex.Zero)
        {
            Invariant.Require(reply.MatchIndex <= Log.LastIndex, "a follower acknowledges only what its leader sent");
            follower.Acknowledged(reply.MatchIndex);
            DropUnusedSnapshots();
            MaybeCommit();
            MaybeFinishTransfer(follower);
        }
        else if (follower.Transfer is { } transfer && transfer.Snapshot.Id == reply.Id)
        {
            if (transfer.SentAll && reply.NextOffset == 0)
            {
                // It could not verify what it was sent; or it was restarted, then one snapshot more does no harm.
                SnapshotIsSuspect = transfer.Snapshot == Snapshot;
                follower.EndSnapshot();
                DropUnusedSnapshots();
                return;
            }

            transfer.Answered(reply.NextOffset, _now);
        }
    }
}
