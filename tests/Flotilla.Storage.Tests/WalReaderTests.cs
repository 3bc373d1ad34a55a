using System.Diagnostics;
using Flotilla.Raft;
using Flotilla.Storage.Disk;
using Flotilla.Testing;

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
        const long enoughRead = 2000;
        var group = new GroupId(1);
        using var wal = Wal.Open(new FileDisk(_path), new WalOptions { SegmentBytes = 16 << 10 });
        ulong last = 0;
        long read = 0;
        using var done = new CancellationTokenSource();

        // Threads of their own: the pool may be busy with other tests for as long as this one runs.
        var readers = Enumerable.Range(0, 2).Select(seed => Start(() => Read(wal, group, () => Volatile.Read(ref last), ref read, (ulong)seed, done.Token))).ToArray();
        var preparer = Start(() =>
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
        });
        var deadline = Stopwatch.StartNew();
        try
        {
            for (ulong i = 1; i <= total || Volatile.Read(ref read) < enoughRead; i += 5)
            {
                Assert.True(deadline.Elapsed < TimeSpan.FromMinutes(2), $"only {read} entries were read");
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
        await Task.WhenAll(readers);
        Assert.True(Directory.GetFiles(_path).Length < 20);
    }

    [Fact]
    public void A_segment_is_not_used_again_while_a_reader_is_in_it()
    {
        var group = new GroupId(1);
        var disk = new HookedDisk(new SimulatedDisk());
        using var wal = Wal.Open(disk, new WalOptions { SegmentBytes = 4 << 10 });
        ulong next = 1;
        void Grow()
        {
            for (var i = 0; i < 60; i++, next++)
            {
                wal.Append(group, Workload.Persist(EntryOf(next)));
                wal.Release(group, new LogIndex(next - 1));
                wal.Sync();
                wal.PrepareSpare();
            }
        }

        wal.Append(group, Workload.Persist(EntryOf(next++)));
        wal.Sync();

        // The reader has found where its entry lies and is about to read it, when all around it is released and written over.
        disk.BeforeRead = () =>
        {
            disk.BeforeRead = null;
            Grow();
        };
        var entries = new List<Entry>();
        Assert.True(wal.TryRead(group, new LogIndex(1), new LogIndex(1), 1000, entries));
        Assert.Equal(EntryOf(1).Payload.ToArray(), entries[0].Payload.ToArray());

        // And once it is gone the file is used like any other.
        Grow();
        Grow();
        Assert.InRange(disk.List().Count, 1, 5);
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

    private static Task Start(Action action) =>
        Task.Factory.StartNew(action, TestContext.Current.CancellationToken, TaskCreationOptions.LongRunning, TaskScheduler.Default);

    private static void Read(Wal wal, GroupId group, Func<ulong> last, ref long read, ulong seed, CancellationToken done)
    {
        var random = new SplitMix64(seed);
        var entries = new List<Entry>();
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

            _ = Interlocked.Add(ref read, entries.Count);
        }
    }

    /// <summary>Runs something at the next read of any file, on the reader's own thread.</summary>
    private sealed class HookedDisk(IDisk disk) : IDisk
    {
        public Action? BeforeRead { get; set; }

        public long FreeBytes => disk.FreeBytes;

        public IReadOnlyList<string> List() => disk.List();

        public IDiskFile Open(string name) => new HookedFile(this, disk.Open(name));

        public void Rename(string from, string to) => disk.Rename(from, to);

        public void Delete(string name) => disk.Delete(name);

        public void SyncDirectory() => disk.SyncDirectory();

        private sealed class HookedFile(HookedDisk owner, IDiskFile file) : IDiskFile
        {
            public long Length => file.Length;

            public int Read(long offset, Span<byte> into)
            {
                owner.BeforeRead?.Invoke();
                return file.Read(offset, into);
            }

            public void Write(long offset, ReadOnlySpan<byte> bytes) => file.Write(offset, bytes);

            public void Sync() => file.Sync();

            public void Dispose() => file.Dispose();
        }
    }
}
