using Flotilla.Raft;
using Flotilla.Storage.Snapshots;
using Flotilla.Testing;
using Flotilla.Wire.Log;

namespace Flotilla.Storage.Tests.Snapshots;

/// <summary>Snapshots from another node, in chunks that may come twice, late, damaged, or from another attempt.</summary>
[Trait("Hazard", "25")]
public sealed class SnapshotTransferTests
{
    private readonly SimulatedDisk _disk = new();
    private readonly SnapshotStore _store;
    private readonly SimulatedDisk _peerDisk = new();
    private readonly SnapshotStore _peer;
    private readonly SnapshotInfo _offered;

    public SnapshotTransferTests()
    {
        _store = Small.Open(_disk);
        _peer = Small.Open(_peerDisk, seed: 2);
        _offered = Small.Write(_peer, 50, Small.Blocks(50, 8, 200));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(7)]
    [InlineData(64)]
    [InlineData(100_000)]
    public void A_snapshot_arrives_whole_in_chunks_of_any_size(int chunkBytes)
    {
        using var source = _peer.OpenSource(_offered);
        using var receiver = Small.Receive(_store, source.Info);
        _ = Assert.Throws<InvalidOperationException>(() => receiver.Complete());
        Small.Send(source, receiver, chunkBytes);
        Assert.Equal(0, source.Read(_offered.Bytes, new byte[10]));
        Assert.Null(_store.Latest(Small.G));
        Assert.Equal(_offered, receiver.Complete());
        Assert.Equal(_offered, _store.Latest(Small.G));
        Assert.Equal(_peerDisk.Content(_offered.FileName), _disk.Content(_offered.FileName));
        _disk.Crash(5);
        Small.AssertHolds(Small.Open(_disk), _offered, Small.Blocks(50, 8, 200));
    }

    [Fact]
    public void Chunks_out_of_order_repeated_damaged_or_too_long_change_nothing()
    {
        using var source = _peer.OpenSource(_offered);
        using var receiver = Small.Receive(_store, source.Info);
        var random = new SplitMix64(3);
        var chunk = new byte[64];
        while (!receiver.IsWhole)
        {
            var next = receiver.NextOffset;
            var read = chunk.AsSpan(0, source.Read(next, chunk));
            var crc = Crc32C.Compute(0, read);
            switch (random.Below(6))
            {
                case 0:
                    var elsewhere = random.Below((int)_offered.Bytes + 10);
                    var there = chunk.AsSpan(0, source.Read(elsewhere, chunk));
                    Assert.Equal(elsewhere == next ? ChunkOutcome.Written : ChunkOutcome.NotNext, receiver.Write(elsewhere, there, Crc32C.Compute(0, there)));
                    break;
                case 1:
                    read[(int)random.Below(read.Length)] ^= 4;
                    Assert.Equal(ChunkOutcome.Damaged, receiver.Write(next, read, crc));
                    Assert.Equal(next, receiver.NextOffset);
                    break;
                case 2:
                    var tooLong = new byte[_offered.Bytes - next + 1];
                    Assert.Equal(ChunkOutcome.Damaged, receiver.Write(next, tooLong, Crc32C.Compute(0, tooLong)));
                    break;
                default:
                    Assert.Equal(ChunkOutcome.Written, receiver.Write(next, read, crc));
                    Assert.Equal(next + read.Length, receiver.NextOffset);
                    break;
            }
        }

        _ = receiver.Complete();
        Small.AssertHolds(_store, _offered, Small.Blocks(50, 8, 200));
    }

    [Fact]
    public void An_interrupted_transfer_is_resumed_where_it_was()
    {
        using var source = _peer.OpenSource(_offered);
        var offset = 0L;
        for (var attempt = 0; attempt < 5; attempt++)
        {
            using var receiver = Small.Receive(_store, source.Info);
            Assert.Equal(offset, receiver.NextOffset);
            Small.Send(source, receiver, chunks: 2);
            offset = receiver.NextOffset;
        }

        Assert.InRange(offset, 640, 640);
        Assert.Null(_store.Latest(Small.G));
        using var last = Small.Receive(_store, source.Info);
        Small.Send(source, last);
        _ = last.Complete();
        Small.AssertHolds(_store, _offered, Small.Blocks(50, 8, 200));
        _ = Assert.Throws<InvalidOperationException>(() => last.Write(0, [1], 0));
    }

    [Fact]
    public void Another_snapshot_never_goes_on_with_the_bytes_of_an_earlier_one()
    {
        // The same index and term, taken by another leader: the same meaning, but not the same bytes.
        var other = Small.Write(Small.Open(_peerDisk, seed: 9), 50, Small.Blocks(50, 8, 200));
        var peer = Small.Open(_peerDisk);
        using (var source = peer.OpenSource(_offered))
        using (var receiver = Small.Receive(_store, _offered))
        {
            Small.Send(source, receiver, chunks: 3);
            _ = Assert.Throws<InvalidOperationException>(() => Small.Receive(_store, other));
        }

        Assert.Single(_disk.List());
        using (var source = peer.OpenSource(other))
        using (var receiver = Small.Receive(_store, other))
        {
            Assert.Equal(0, receiver.NextOffset);
            Assert.Single(_disk.List());
            Small.Send(source, receiver);
            _ = receiver.Complete();
        }

        Small.AssertHolds(_store, other, Small.Blocks(50, 8, 200));
        Assert.Equal([other.FileName], _disk.List());
    }

    [Fact]
    public void Chunks_of_two_files_make_no_snapshot()
    {
        var other = Small.Write(_peer, 50, Small.Blocks(50, 8, 200));
        using var first = _peer.OpenSource(_offered);
        using var second = _peer.OpenSource(other);
        for (var mixed = 1; mixed * 64 < _offered.Bytes; mixed++)
        {
            using var receiver = Small.Receive(_store, _offered);
            Small.Send(first, receiver, chunks: mixed);
            Small.Send(second, receiver);
            var e = Assert.Throws<SnapshotRefusedException>(() => receiver.Complete());
            Assert.Contains("was deleted", e.Message, StringComparison.Ordinal);
            Assert.Empty(_disk.List());
        }

        Assert.Null(_store.Latest(Small.G));
    }

    [Fact]
    public void A_snapshot_that_is_not_what_was_announced_is_refused()
    {
        foreach (var announced in new[] { _offered with { Group = new GroupId(1) }, _offered with { Index = new LogIndex(51) }, _offered with { Term = new Term(4) }, _offered with { Id = 1 } })
        {
            using var source = _peer.OpenSource(_offered);
            using var receiver = Small.Receive(_store, announced);
            Small.Send(source, receiver);
            Assert.Contains("it says that it is", Assert.Throws<SnapshotRefusedException>(() => receiver.Complete()).Message, StringComparison.Ordinal);
            Assert.Empty(_disk.List());
        }

        _ = Assert.Throws<SnapshotRefusedException>(() => Small.Receive(_store, _offered with { Bytes = 95 }));
        _ = Assert.Throws<SnapshotRefusedException>(() => Small.Receive(_store, _offered with { Bytes = -1 }));
        _ = Assert.Throws<SnapshotRefusedException>(() => Small.Receive(_store, _offered with { Index = default }));
    }

    [Fact]
    public void A_snapshot_of_another_length_than_announced_is_refused()
    {
        using var source = _peer.OpenSource(_offered);
        using (var receiver = Small.Receive(_store, _offered with { Bytes = _offered.Bytes - 1 }))
        {
            var chunk = new byte[_offered.Bytes - 1];
            Assert.Equal(chunk.Length, source.Read(0, chunk));
            Assert.Equal(ChunkOutcome.Written, receiver.Write(0, chunk, Crc32C.Compute(0, chunk)));
            _ = Assert.Throws<SnapshotRefusedException>(() => receiver.Complete());
        }

        using (var receiver = Small.Receive(_store, _offered with { Bytes = _offered.Bytes + 1 }))
        {
            byte[] chunk = [.. _peerDisk.Content(_offered.FileName), 0];
            Assert.Equal(ChunkOutcome.Written, receiver.Write(0, chunk, Crc32C.Compute(0, chunk)));
            _ = Assert.Throws<SnapshotRefusedException>(() => receiver.Complete());
        }

        Assert.Empty(_disk.List());
    }

    [Fact]
    public void A_senders_damaged_file_is_refused_by_the_receiver_and_replaced_by_the_next()
    {
        var content = _peerDisk.Content(_offered.FileName);
        content[100] ^= 1;
        _peerDisk.SetContent(_offered.FileName, content);
        _ = Assert.Throws<SnapshotRefusedException>(() => Small.Transfer(_peer, _store, _offered));
        var next = Small.Write(_peer, 60);
        Small.AssertHolds(_store, Small.Transfer(_peer, _store, next));
    }

    [Fact]
    public void An_abandoned_transfer_leaves_nothing_and_a_parked_one_goes_with_the_process()
    {
        using var source = _peer.OpenSource(_offered);
        using (var receiver = Small.Receive(_store, _offered))
        {
            Small.Send(source, receiver, chunks: 3);
            receiver.Abandon();
            Assert.Empty(_disk.List());
        }

        using (var receiver = Small.Receive(_store, _offered))
        {
            Assert.Equal(0, receiver.NextOffset);
            Small.Send(source, receiver, chunks: 3);
        }

        Assert.Single(_disk.List());
        using (var receiver = Small.Receive(_store, _offered))
        {
            // In use: not dropped under the receiver.
            _store.Drop(_offered);
            Assert.Equal(3 * 64, receiver.NextOffset);
            Assert.Single(_disk.List());
        }

        _store.Drop(_offered with { Id = 5 });
        Assert.Single(_disk.List());
        _store.Drop(_offered);
        Assert.Empty(_disk.List());
        using (var receiver = Small.Receive(_store, _offered))
        {
            Assert.Equal(0, receiver.NextOffset);
            Small.Send(source, receiver, chunks: 3);
        }

        Assert.Single(_disk.List());
        _disk.Kill();
        var store = Small.Open(_disk);
        Assert.Empty(_disk.List());
        using (var receiver = Small.Receive(store, _offered))
        {
            Assert.Equal(0, receiver.NextOffset);
        }
    }

    [Fact]
    [Trait("Hazard", "29")]
    public void Receiving_the_same_snapshot_again_keeps_the_one_that_is_there()
    {
        _ = Small.Transfer(_peer, _store, _offered);
        using (var reader = _store.OpenRead(_offered))
        {
            Assert.Equal(_offered, Small.Transfer(_peer, _store, _offered));
            Assert.Equal(8, Small.Read(reader).Length);
        }

        // Also one that is superseded, but still in use: the name must not be deleted under it.
        var source = _store.OpenSource(_offered);
        var newer = Small.Write(_store, 60);
        _store.Retire(Small.G);
        Assert.Equal(_offered, Small.Transfer(_peer, _store, _offered));
        source.Dispose();
        Assert.Equal(newer, _store.Latest(Small.G));
        Small.AssertHolds(_store, _offered, Small.Blocks(50, 8, 200));
        _store.Retire(Small.G);
        Assert.Equal([newer.FileName], _disk.List());
    }

    [Fact]
    [Trait("Hazard", "29")]
    public void A_snapshot_is_received_while_another_is_written()
    {
        foreach (var writtenFirst in new[] { true, false })
        {
            var disk = new SimulatedDisk();
            var store = Small.Open(disk);
            using var writer = store.Create(Small.G, new LogIndex(40), new Term(3));
            using var source = _peer.OpenSource(_offered);
            using var receiver = Small.Receive(store, _offered);
            foreach (var block in Small.Blocks(40))
            {
                writer.Append(block);
                Small.Send(source, receiver, chunks: 1);
            }

            Small.Send(source, receiver);
            if (writtenFirst)
            {
                _ = writer.Complete();
                store.Retire(Small.G);
            }

            Assert.Equal(_offered, receiver.Complete());
            store.Retire(Small.G);
            if (!writtenFirst)
            {
                _ = writer.Complete();
                store.Retire(Small.G);
            }

            Assert.Equal(_offered, store.Latest(Small.G));
            Small.AssertHolds(store, _offered, Small.Blocks(50, 8, 200));
            Assert.Equal([_offered.FileName], disk.List());
        }
    }
}
