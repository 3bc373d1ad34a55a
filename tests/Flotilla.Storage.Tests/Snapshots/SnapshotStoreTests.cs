using Flotilla.Raft;
using Flotilla.Storage.Snapshots;
using Flotilla.Testing;

namespace Flotilla.Storage.Tests.Snapshots;

public sealed class SnapshotStoreTests
{
    [Theory]
    [InlineData(0, 0)]
    [InlineData(1, 1)]
    [InlineData(5, 300_000)]
    [InlineData(40, 50_000)]
    [InlineData(3, SnapshotStore.MaxBlockBytes - 1)]
    public void A_snapshot_reads_back_as_it_was_written(int count, int bytes)
    {
        var disk = new SimulatedDisk();
        var blocks = Small.Blocks(7, count, bytes);
        var info = Small.Write(Small.Open(disk), 7, blocks);
        Assert.Equal(disk.Content(info.FileName).Length, info.Bytes);

        var store = Small.Open(disk);
        Assert.Equal(info, store.Latest(Small.G));
        Assert.Equal([Small.G], store.Groups);
        Small.AssertHolds(store, info, blocks);
        Assert.Equal([info.FileName], disk.List());
    }

    [Fact]
    public void A_block_has_one_byte_at_least_and_no_more_than_the_limit()
    {
        using var writer = Small.Open(new SimulatedDisk()).Create(Small.G, new LogIndex(1), new Term(1));
        _ = Assert.Throws<ArgumentOutOfRangeException>(() => writer.Append([]));
        _ = Assert.Throws<ArgumentOutOfRangeException>(() => writer.Append(new byte[SnapshotStore.MaxBlockBytes + 1]));
        writer.Append([1]);
    }

    [Fact]
    public void A_snapshot_that_is_not_completed_leaves_nothing()
    {
        var disk = new SimulatedDisk();
        var store = Small.Open(disk);
        var before = Small.Write(store, 5);
        var writer = store.Create(Small.G, new LogIndex(9), new Term(3));
        writer.Append(new byte[2 << 20]);
        Assert.Equal(2, disk.List().Count);
        writer.Dispose();
        Assert.Equal([before.FileName], disk.List());
        _ = Assert.Throws<InvalidOperationException>(() => writer.Append([1]));
        _ = Assert.Throws<InvalidOperationException>(() => writer.Complete());
        writer.Dispose();
        Assert.Equal(before, store.Latest(Small.G));
    }

    [Fact]
    public void Groups_have_snapshots_of_their_own()
    {
        var disk = new SimulatedDisk();
        var store = Small.Open(disk);
        var a = Small.Write(store, 5, group: new GroupId(2));
        var b = Small.Write(store, 4, group: new GroupId(1));
        Assert.Equal([new GroupId(1), new GroupId(2)], store.Groups);
        Assert.Null(store.Latest(new GroupId(3)));
        store.Retire(new GroupId(3));
        store.Retire(new GroupId(2));
        store = Small.Open(disk);
        Assert.Equal(a, store.Latest(new GroupId(2)));
        Assert.Equal(b, store.Latest(new GroupId(1)));
        Assert.Equal(a, store.Find(new GroupId(2), a.Id));
        Assert.Null(store.Find(new GroupId(1), a.Id));
        Assert.Equal(a.Bytes + b.Bytes, store.DiskBytes);
    }

    [Fact]
    public void A_start_deletes_what_was_not_finished_and_leaves_other_files_alone()
    {
        var disk = new SimulatedDisk();
        var store = Small.Open(disk);
        var info = Small.Write(store, 5);
        var offered = Small.Write(Small.Open(new SimulatedDisk(), seed: 8), 99);
        _ = store.Create(Small.G, new LogIndex(9), new Term(3));
        _ = Small.Receive(store, offered);
        disk.SetContent("README", [1]);
        disk.SetContent("notes.tmp", [2]);
        Assert.Equal(5, disk.List().Count);
        disk.Kill();
        Assert.Equal(info, Small.Open(disk).Latest(Small.G));
        Assert.Equal(["README", info.FileName, "notes.tmp"], disk.List());
    }

    [Fact]
    [Trait("Hazard", "29")]
    public void Two_snapshots_of_one_group_at_once_do_not_disturb_each_other_whichever_ends_first()
    {
        foreach (var olderFirst in new[] { true, false })
        {
            var disk = new SimulatedDisk();
            var store = Small.Open(disk);
            using var older = store.Create(Small.G, new LogIndex(10), new Term(3));
            using var newer = store.Create(Small.G, new LogIndex(11), new Term(3));
            foreach (var (a, b) in Small.Blocks(10).Zip(Small.Blocks(11)))
            {
                older.Append(a);
                newer.Append(b);
            }

            foreach (var writer in olderFirst ? new[] { older, newer } : [newer, older])
            {
                var info = writer.Complete();
                store.Retire(Small.G);
                if (writer == newer || olderFirst)
                {
                    Small.AssertHolds(store, info);
                }
            }

            var latest = store.Latest(Small.G)!;
            Assert.Equal(new LogIndex(11), latest.Index);
            Small.AssertHolds(store, latest);
            Assert.Equal([latest.FileName], disk.List());
        }
    }

    [Fact]
    [Trait("Hazard", "29")]
    public void Two_snapshots_of_the_same_index_are_two_files_and_the_later_one_is_the_latest()
    {
        var disk = new SimulatedDisk();
        var store = Small.Open(disk);
        var first = Small.Write(store, 10);
        var second = Small.Write(store, 10);
        Assert.NotEqual(first.Id, second.Id);
        Assert.Equal(second, store.Latest(Small.G));
        store.Retire(Small.G);
        store.Retire(Small.G);
        Assert.Equal([second.FileName], disk.List());
        Small.AssertHolds(store, second);
    }

    [Fact]
    [Trait("Hazard", "28")]
    public void A_snapshot_that_is_read_or_sent_stays_until_that_ends()
    {
        var disk = new SimulatedDisk();
        var store = Small.Open(disk);
        var old = Small.Write(store, 10);
        var source = store.OpenSource(old);
        var reader = store.OpenRead(old);
        var latest = Small.Write(store, 20);
        using var another = store.OpenSource(latest);

        store.Retire(Small.G);
        Assert.Equal(2, disk.List().Count);
        Assert.Equal(latest, store.Latest(Small.G));
        Assert.Null(store.Find(Small.G, old.Id));
        Assert.Equal(Small.Text(Small.Blocks(10)), Small.Text(Small.Read(reader)));
        reader.Dispose();
        reader.Dispose();
        Assert.Equal(2, disk.List().Count);

        // It is sent to its end, and another transfer of it may even begin.
        var target = Small.Open(new SimulatedDisk(), seed: 2);
        Small.AssertHolds(target, Small.Transfer(store, target, old));
        source.Dispose();
        source.Dispose();
        Assert.Equal([latest.FileName], disk.List());
        Assert.Contains("superseded", Assert.Throws<IOException>(() => store.OpenRead(old)).Message, StringComparison.Ordinal);
        Assert.Contains("superseded", Assert.Throws<IOException>(() => store.OpenSource(old)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void One_snapshot_is_dropped_by_name_but_never_the_newest()
    {
        var disk = new SimulatedDisk();
        var store = Small.Open(disk);
        var infos = new ulong[] { 10, 20, 30 }.Select(i => Small.Write(store, i)).ToArray();
        store.Drop(infos[2]);
        store.Drop(infos[1] with { Id = 5 });
        Assert.Equal(3, disk.List().Count);
        using (store.OpenSource(infos[1]))
        {
            store.Drop(infos[1]);
            Assert.Equal(3, disk.List().Count);
        }

        Assert.Equal([infos[0].FileName, infos[2].FileName], disk.List());
        store.Drop(infos[0]);
        store.Drop(infos[0]);
        Assert.Equal([infos[2].FileName], disk.List());
        Assert.Equal(infos[2], SnapshotInfo.Of(Small.G, infos[2].Meta));

        // Of two with the same index either may go, but not both.
        var same = Small.Write(store, 30);
        store.Drop(same);
        store.Drop(infos[2]);
        Assert.Equal(infos[2], store.Latest(Small.G));
        Assert.Equal([infos[2].FileName], disk.List());
    }

    [Fact]
    public void Writing_and_reading_take_no_memory_that_grows_with_the_snapshot()
    {
        var disk = new SinkDisk();
        var store = Small.Open(disk);
        var block = new byte[256 << 10];
        _ = Small.Write(store, 1, [block]);
        var before = GC.GetAllocatedBytesForCurrentThread();
        using var writer = store.Create(Small.G, new LogIndex(2), new Term(1));
        for (var i = 0; i < 400; i++)
        {
            writer.Append(block);
        }

        _ = writer.Complete();
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 1 << 20);
    }

    [Fact]
    [Trait("Hazard", "29")]
    public void Writers_readers_senders_receivers_and_retirement_go_on_beside_each_other()
    {
        var (disk, peerDisk) = (new SimulatedDisk(), new SimulatedDisk());
        var (store, peer) = (Small.Open(disk), Small.Open(peerDisk, seed: 2));
        _ = Small.Write(store, 1);
        Exception? failure = null;
        var threads = Enumerable.Range(0, 4).Select(t => new Thread(() =>
        {
            try
            {
                for (ulong i = 0; i < 200; i++)
                {
                    var index = 2 + (i * 4) + (ulong)t;
                    switch (t)
                    {
                        case 0:
                            _ = Small.Write(store, index);
                            break;
                        case 1:
                            store.Retire(Small.G);
                            break;
                        case 2 when TryOpen(store.OpenRead, store) is { } reader:
                            using (reader)
                            {
                                Assert.Equal(Small.Text(Small.Blocks(reader.Info.Index.Value)), Small.Text(Small.Read(reader)));
                            }

                            break;
                        case 3 when TryOpen(store.OpenSource, store) is { } source:
                            using (source)
                            {
                                using var receiver = Small.Receive(peer, source.Info);
                                Small.Send(source, receiver);
                                Small.AssertHolds(peer, receiver.Complete());
                                peer.Retire(Small.G);
                            }

                            break;
                    }
                }
            }
            catch (Exception e)
            {
                failure ??= e;
            }
        })).ToArray();
        Array.ForEach(threads, static t => t.Start());
        Array.ForEach(threads, static t => t.Join());
        Assert.Null(failure);
        store.Retire(Small.G);
        peer.Retire(Small.G);
        Assert.Equal([store.Latest(Small.G)!.FileName], disk.List());
        Assert.Equal([peer.Latest(Small.G)!.FileName], peerDisk.List());
    }

    // Between the look and the opening it may have been superseded: then the next one is it.
    private static T? TryOpen<T>(Func<SnapshotInfo, T> open, SnapshotStore store)
        where T : class
    {
        try
        {
            return open(store.Latest(Small.G)!);
        }
        catch (IOException)
        {
            return null;
        }
    }
}
