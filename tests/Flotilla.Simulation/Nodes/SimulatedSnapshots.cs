using System.Buffers;
using Flotilla.Raft;
using Flotilla.Raft.Membership;
using Flotilla.Shards;
using Flotilla.Shards.Image;
using Flotilla.Storage.Snapshots;
using Flotilla.Testing;
using Flotilla.Wire.Log;

namespace Flotilla.Simulation.Nodes;

/// <summary>What a node's process does for snapshots, on virtual time and a simulated disk: images are written, pieces read, stored and loaded.</summary>
internal sealed class SimulatedSnapshots(World world, SimulatedNode node, SnapshotStore store, Chance chance)
{
    private readonly int _boot = node.Boot;
    private readonly SnapshotTransfers _underWay = new(store);
    private readonly List<(HostedReplica Hosted, StateImage Image)> _writing = [];

    /// <summary>What a snapshot's file holds.</summary>
    public static (StateMachine? State, Configuration? Configuration) Load(SnapshotStore store, SnapshotInfo info)
    {
        using var reader = store.OpenRead(info);
        var image = new ImageReader();
        while (reader.TryRead(out var block))
        {
            image.Read(block.ToArray());
        }

        return (image.Machine, ConfigurationCodec.Decode(image.Configuration.Span));
    }

    /// <summary>Writes an image to a file; it takes a while.</summary>
    public void Write(HostedReplica hosted, StateImage image)
    {
        _writing.Add((hosted, image));
        After(hosted, chance.Between(1_000, 300_000), () =>
        {
            SnapshotMeta? taken = null;
            _writing.RemoveAll(w => w.Hosted == hosted);
            try
            {
                taken = WriteFile(hosted, image).Meta;
                world.Count("snapshot");
                world.Say(hosted, $"has snapshot {taken}");
            }
            catch (IOException e)
            {
                world.Count("failed snapshot");
                world.Say(hosted, $"could not write a snapshot: {e.Message}");
            }

            node.Post(hosted, (replica, clock) => replica.SnapshotTaken(taken, clock));
        });
    }

    /// <summary>Reads a piece to be sent.</summary>
    public void Read(HostedReplica hosted, Effect.ReadSnapshot read) => After(hosted, node.Timing.ReadUs(), () =>
    {
        byte[] data = [];
        try
        {
            data = new byte[(int)Math.Min(read.MaxBytes, read.Snapshot.Bytes - read.Offset)];
            _underWay.SourceFor(read.To, hosted.Genesis.Group, read.Snapshot).Read(read.Offset, data);
        }
        catch (IOException e)
        {
            world.Say(hosted, $"could not read a snapshot: {e.Message}");
            data = [];
        }

        var crc = Crc32C.Compute(0, data);
        node.Post(hosted, (replica, clock) => replica.SnapshotRead(read.To, read.Snapshot.Id, read.Offset, data, crc, clock));
    });

    /// <summary>Stores a piece that was received, and after the last one verifies and loads the whole.</summary>
    public void Store(HostedReplica hosted, Effect.StoreSnapshot piece) => After(hosted, node.Timing.ReadUs(), () =>
    {
        var id = piece.Snapshot.Id;
        try
        {
            var receiver = _underWay.ReceiverOf(hosted.Genesis.Group, piece.Snapshot);
            _ = receiver.Write(piece.Offset, piece.Data.Span, piece.Crc);
            var next = receiver.NextOffset;
            node.Post(hosted, (replica, clock) => replica.SnapshotStored(id, next, clock));
            if (receiver.IsWhole)
            {
                After(hosted, chance.Between(1_000, 500_000), () => Install(hosted, receiver));
            }
        }
        catch (IOException e)
        {
            Refuse(hosted, id, e);
        }
    });

    /// <summary>Deletes a snapshot, or what was received of it.</summary>
    public void Drop(HostedReplica hosted, SnapshotMeta snapshot) => _underWay.Drop(hosted.Genesis.Group, snapshot);

    /// <summary>Deletes all that there is of a replica that was taken away.</summary>
    public void Remove(HostedReplica hosted)
    {
        _writing.RemoveAll(w => w.Hosted == hosted);
        _underWay.Remove(hosted.Genesis.Group);
    }

    /// <summary>The process is about to end, perhaps in the middle of writing an image.</summary>
    public void Interrupt(SimulatedDisk disk)
    {
        if (_writing.Count > 0 && chance.Hit(0.5))
        {
            world.Count("torn snapshot");
            disk.PowerOffAfter(chance.Below(5));
            try
            {
                WriteFile(_writing[0].Hosted, _writing[0].Image);
            }
            catch (IOException)
            {
                // That is what was wanted.
            }
        }
    }

    private SnapshotInfo WriteFile(HostedReplica hosted, StateImage image)
    {
        using var writer = store.Create(hosted.Genesis.Group, image.LastApplied, image.LastTerm);
        var blocks = new ImageWriter(image);
        var buffer = new ArrayBufferWriter<byte>(ImageWriter.MaxBlockBytes);
        while (blocks.TryWrite(buffer))
        {
            writer.Append(buffer.WrittenSpan);
            buffer.ResetWrittenCount();
        }

        return writer.Complete();
    }

    private void Install(HostedReplica hosted, SnapshotReceiver receiver)
    {
        if (!_underWay.IsReceiving(hosted.Genesis.Group, receiver))
        {
            return; // Dropped meanwhile.
        }

        try
        {
            var info = receiver.Complete();
            _underWay.Forget(hosted.Genesis.Group);
            var (state, configuration) = Load(store, info);
            world.Count("installed snapshot");
            hosted.Installed++;
            world.Say(hosted, $"has received snapshot {info.Meta}");
            node.Post(hosted, (replica, clock) => replica.SnapshotInstalled(info.Meta, state!, configuration!, clock));
        }
        catch (IOException e)
        {
            Refuse(hosted, receiver.Info.Id, e);
        }
    }

    private void Refuse(HostedReplica hosted, ulong id, IOException e)
    {
        world.Say(hosted, $"could not store a snapshot: {e.Message}");
        _underWay.Forget(hosted.Genesis.Group)?.Dispose();
        After(hosted, 500_000, () => node.Post(hosted, (replica, clock) => replica.SnapshotStored(id, 0, clock)));
    }

    private void After(HostedReplica hosted, long us, Action action) => world.Scheduler.After(us, () =>
    {
        if (node.Up && node.Boot == _boot && !hosted.IsGone)
        {
            action();
        }
    });
}
