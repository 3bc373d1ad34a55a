using System.Buffers;
using System.Diagnostics;
using Flotilla.Node.Loops;
using Flotilla.Raft;
using Flotilla.Shards.Image;
using Flotilla.Storage.Snapshots;
using Flotilla.Wire.Log;
using Microsoft.Extensions.Logging;

namespace Flotilla.Node.Snapshots;

/// <summary>
/// Does what snapshots need of the disk, beside the loops: writes images to files, reads pieces to be sent, stores pieces
/// that were received and loads the whole. Two threads, so that a transfer never waits for an image to be written. Each
/// result goes to the replica's loop as an input. A disk that fails here harms a snapshot and nothing else.
/// </summary>
internal sealed class SnapshotWorker : IDisposable
{
    /// <summary>How fast images are written, at most: on a small machine, a snapshot must leave cores and disk to the clients. 32 MiB a second.</summary>
    private const double WriteBytesPerMs = 32 << 10;

    /// <summary>What a record takes in an image beside key and value, about: lengths and version.</summary>
    private const int BytesBesideRecord = 12;

    private static readonly TimeSpan PauseAfterFailure = TimeSpan.FromMilliseconds(500);

    private readonly SnapshotStore _store;
    private readonly Func<long, bool> _hasRoomFor;
    private readonly Action<Exception> _fatal;
    private readonly ILogger _log;
    private readonly WorkLane _images;
    private readonly WorkLane _transfers;
    private readonly SnapshotTransfers _underWay; // the transfer thread's own

    /// <summary>Starts the threads.</summary>
    /// <param name="store">The files.</param>
    /// <param name="hasRoomFor">Whether the disk has room for so many bytes more and what the log owes; may throw what a disk throws.</param>
    /// <param name="fatal">The node can't go on.</param>
    /// <param name="log">Where it says what became of snapshots.</param>
    public SnapshotWorker(SnapshotStore store, Func<long, bool> hasRoomFor, Action<Exception> fatal, ILogger log)
    {
        _store = store;
        _underWay = new SnapshotTransfers(store);
        _hasRoomFor = hasRoomFor;
        _fatal = fatal;
        _log = log;
        _images = new WorkLane("snapshot-writer", Failed);
        _transfers = new WorkLane("snapshot-transfers", Failed);
    }

    /// <summary>Writes an image to a durable file.</summary>
    public void Write(HostedReplica hosted, StateImage image) => _images.Add(() =>
    {
        var start = Stopwatch.GetTimestamp();
        SnapshotMeta? taken = null;
        try
        {
            var info = WriteImage(hosted.Genesis.Group, image, start);
            taken = info.Meta;
            var took = Stopwatch.GetElapsedTime(start);
            NodeMetrics.SnapshotSeconds.Record(took.TotalSeconds);
            _log.SnapshotTaken(hosted.Genesis.Shard, info.Index.Value, info.Bytes, took);
        }
        catch (IOException e)
        {
            _log.SnapshotFailed(hosted.Genesis.Shard, e.Message);
        }

        Tell(hosted, (replica, clock) => replica.SnapshotTaken(taken, clock));
    });

    /// <summary>Reads a piece to be sent.</summary>
    public void Read(HostedReplica hosted, Effect.ReadSnapshot read) => _transfers.Add(() =>
    {
        var data = Array.Empty<byte>();
        try
        {
            var source = _underWay.SourceFor(read.To, hosted.Genesis.Group, read.Snapshot);
            data = new byte[(int)Math.Min(read.MaxBytes, read.Snapshot.Bytes - read.Offset)];
            if (source.Read(read.Offset, data) != data.Length)
            {
                throw new IOException($"{source.Info.FileName} is shorter than it was.");
            }
        }
        catch (IOException e)
        {
            _log.SnapshotUnreadable(hosted.Genesis.Shard, read.To, e.Message);
            data = [];
        }

        var crc = Crc32C.Compute(0, data);
        Tell(hosted, (replica, clock) => replica.SnapshotRead(read.To, read.Snapshot.Id, read.Offset, data, crc, clock));
    });

    /// <summary>Stores a piece that was received; the last one leads to the whole being verified, made durable and loaded.</summary>
    public void Store(HostedReplica hosted, Effect.StoreSnapshot store) => _transfers.Add(() =>
    {
        var id = store.Snapshot.Id;
        try
        {
            var receiver = _underWay.ReceiverOf(hosted.Genesis.Group, store.Snapshot, RequireRoom);
            _ = receiver.Write(store.Offset, store.Data.Span, store.Crc); // What it says is in NextOffset, too.
            var next = receiver.NextOffset;
            Tell(hosted, (replica, clock) => replica.SnapshotStored(id, next, clock));
            if (receiver.IsWhole)
            {
                Install(hosted, receiver);
            }
        }
        catch (IOException e)
        {
            _log.SnapshotNotStored(hosted.Genesis.Shard, e.Message);
            _underWay.Forget(hosted.Genesis.Group)?.Dispose();
            _transfers.Pause(PauseAfterFailure);
            Tell(hosted, (replica, clock) => replica.SnapshotStored(id, 0, clock));
        }
    });

    /// <summary>Deletes a snapshot that nobody needs, or what was received of one.</summary>
    public void Drop(HostedReplica hosted, SnapshotMeta snapshot) => _transfers.Add(() => _underWay.Drop(hosted.Genesis.Group, snapshot));

    /// <summary>Deletes all that there is of a group which is hosted here no more, behind whatever is under way for it.</summary>
    public void Remove(HostedReplica hosted) => _images.Add(() => _transfers.Add(() => _underWay.Remove(hosted.Genesis.Group)));

    /// <summary>Ends the threads; an image or a transfer under way is given up.</summary>
    public void Dispose()
    {
        _images.Dispose();
        _transfers.Dispose();
        _underWay.GiveUp();
    }

    private SnapshotInfo WriteImage(GroupId group, StateImage image, long start)
    {
        // About what the file will have: a snapshot that would fill the disk harms the log, for which it was to make room.
        RequireRoom(image.Records.Bytes + (image.Records.Count * BytesBesideRecord));
        using var writer = _store.Create(group, image.LastApplied, image.LastTerm);
        var blocks = new ImageWriter(image);
        var buffer = new ArrayBufferWriter<byte>(ImageWriter.MaxBlockBytes);
        while (blocks.TryWrite(buffer))
        {
            _images.Stopping.ThrowIfCancellationRequested();
            RequireRoom(buffer.WrittenCount);
            writer.Append(buffer.WrittenSpan);
            buffer.ResetWrittenCount();
            _images.Pause(TimeSpan.FromMilliseconds((writer.Bytes / WriteBytesPerMs) - Stopwatch.GetElapsedTime(start).TotalMilliseconds));
        }

        return writer.Complete();
    }

    private void RequireRoom(long bytes)
    {
        if (!_hasRoomFor(bytes))
        {
            throw new IOException($"The disk has no room for {bytes} bytes of a snapshot beside what it reserves for the log.");
        }
    }

    private void Install(HostedReplica hosted, SnapshotReceiver receiver)
    {
        var info = receiver.Complete();
        _underWay.Forget(hosted.Genesis.Group)?.Dispose();
        var loaded = LoadedSnapshot.Read(_store, info);
        _log.SnapshotReceived(hosted.Genesis.Shard, info.Index.Value, info.Bytes);
        Tell(hosted, (replica, clock) => replica.SnapshotInstalled(info.Meta, loaded.State, loaded.Configuration, clock));
    }

    private static void Tell(HostedReplica hosted, Action<Shards.Replica, Shards.ClockReading> what) => hosted.Loop.Inbox.Post(LoopInput.ForAct(hosted, what));

    private void Failed(Exception e) => _fatal(e as NodeFailedException ?? new NodeFailedException($"A snapshot met a state that must not be ({e.GetType().Name}: {e.Message}). The node stops rather than go on from it; its data is as durable as before. Start it again, and report this with the log.", e));
}
