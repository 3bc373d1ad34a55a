using Flotilla.Raft;
using Flotilla.Storage.Disk;

namespace Flotilla.Storage.Tests;

/// <summary>Readers beside the appending thread and the thread that prepares spares, on a real directory.</summary>
public sealed class WalReaderTests : IDisposable
{
    private readonly string _path = Directory.CreateTempSubdirectory("flotilla-wal-").FullName;

    public void Dispose() => Directory.Delete(_path, recursive: true);

    [Fact]
    public async Task Readers_never_see_wrong_entries_while_segments_are_recycled_under_them()
    {
        const ulong total = 6000;
        var group = new GroupId(1);
        using var wal = Wal.Open(new FileDisk(_path), new WalOptions { SegmentBytes = 16 << 10 });
        ulong last = 0;
        using var done = new CancellationTokenSource();
        var readers = Enumerable.Range(0, 2).Select(seed => Task.Run(() => Read(wal, group, () => Volatile.Read(ref last), (ulong)seed, done.Token), TestContext.Current.CancellationToken)).ToArray();
        var preparer = Task.Run(() =>
        {
            while (!done.IsCancellationRequested)
            {
                if (wal.WantsSpare)
                {
                    wal.PrepareSpare();
                }
                else
                {
                    _ = Thread.Yield();
                }
            }
        }, TestContext.Current.CancellationToken);
        try
        {
            for (ulong i = 1; i <= total; i += 5)
            {
                wal.Append(group, Workload.Persist([.. Enumerable.Range(0, 5).Select(k => EntryOf(i + (ulong)k))]));
                if (i % 100 == 1 && i > 400)
                {
                    wal.Release(group, new LogIndex(i - 300));
                }

                wal.Sync();
                Volatile.Write(ref last, i + 4);
            }
        }
        finally
        {
            await done.CancelAsync();
        }

        await preparer;
        var read = (await Task.WhenAll(readers)).Sum();
        Assert.True(read > 1000, $"only {read} entries were read");
        Assert.True(Directory.GetFiles(_path).Length < 20);
    }

    [Fact]
    public void A_log_in_a_real_directory_is_there_after_it_is_opened_again()
    {
        var model = new WalModel();
        var random = new SplitMix64(5);
        for (var life = 0; life < 3; life++)
        {
            using var wal = Wal.Open(new FileDisk(_path), new WalOptions { SegmentBytes = 32 << 10 });
            Assert.Equal(model.Describe(Workload.Groups), WalModel.Describe(wal, Workload.Groups));
            for (var i = 0; i < 200; i++)
            {
                Workload.Change(wal, model, ref random);
                wal.Sync();
            }

            Assert.Equal(model.Describe(Workload.Groups), WalModel.Describe(wal, Workload.Groups));
        }
    }

    // The payload of an entry follows from its index, so that a reader knows a wrong one.
    private static Entry EntryOf(ulong index)
    {
        var payload = new byte[40 + (index % 60)];
        payload.AsSpan().Fill((byte)index);
        return new Entry(new LogIndex(index), new Term(1), EntryKind.Command, payload);
    }

    private static long Read(Wal wal, GroupId group, Func<ulong> last, ulong seed, CancellationToken done)
    {
        var random = new SplitMix64(seed);
        var entries = new List<Entry>();
        long count = 0;
        while (!done.IsCancellationRequested)
        {
            var end = last();
            var from = new LogIndex(1 + (ulong)random.Below((long)end + 1));
            entries.Clear();
            if (!wal.TryRead(group, from, from + 50, 4000, entries))
            {
                continue;
            }

            for (var i = 0; i < entries.Count; i++)
            {
                var expected = EntryOf(from.Value + (ulong)i);
                Assert.Equal(expected.Index, entries[i].Index);
                Assert.True(expected.Payload.Span.SequenceEqual(entries[i].Payload.Span));
            }

            count += entries.Count;
        }

        return count;
    }
}
