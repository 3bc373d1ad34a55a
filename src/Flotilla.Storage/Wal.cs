using System.Security.Cryptography;
using Flotilla.Raft;
using Flotilla.Storage.Disk;
using Flotilla.Storage.Segments;
using Flotilla.Wire.Log;

namespace Flotilla.Storage;

/// <summary>
/// The write-ahead log of one node: the entries, hard states and identity states of all its groups, in segments.
/// <see cref="Append"/>, <see cref="Sync"/>, <see cref="Release"/> and <see cref="Dispose"/> belong to one thread;
/// <see cref="TryRead"/>, <see cref="PrepareSpare"/> and the properties that say so may be used on others meanwhile.
/// Format and recovery: <c>docs/wal.md</c>.
/// </summary>
public sealed class Wal : IDisposable
{
    private readonly SegmentPool _pool;
    private readonly SegmentChain _chain;
    private readonly GroupIndex _index;
    private readonly BatchWriter _batch = new();
    private readonly List<PendingChange> _changes = [];
    private readonly List<GroupLog> _dirty = [];
    private ulong _oldest;
    private bool _vouched = true;
    private Exception? _failure;
    private bool _disposed;

    private Wal(IDisk disk, WalOptions options, WalRecovery.Result recovered)
    {
        _index = new GroupIndex(disk, recovered.Groups);
        _oldest = recovered.Oldest;
        _pool = new SegmentPool(disk, options.SegmentBytes, recovered.Free, recovered.LastNumber);
        var seed = options.GenerationSeed ?? BitConverter.ToUInt64(RandomNumberGenerator.GetBytes(sizeof(ulong)));
        var owner = recovered.End?.Segment.Header.Owner ?? options.Owner ?? new SplitMix64(~seed).Next();
        _chain = new SegmentChain(_pool, options.SegmentBytes, seed, owner, recovered.Segments, recovered.End);
        try
        {
            if (recovered.MustBegin)
            {
                BeginSegment(0);
            }
            else
            {
                _index.Begun(_chain.End.Segment.Sequence);
                Retire();
            }
        }
        catch (IOException)
        {
            Close();
            throw;
        }
    }

    /// <summary>The groups that the log knows, in no order. For the appending thread.</summary>
    public IEnumerable<GroupId> Groups => _index.Groups;

    /// <summary>Something is appended that a <see cref="Sync"/> must make durable before it may be acknowledged. For the appending thread.</summary>
    public bool MustSync { get; private set; }

    /// <summary>Bytes of the batch that waits for <see cref="Sync"/>, without the small states. For the appending thread.</summary>
    public int PendingBytes => _batch.Length;

    /// <summary>Segments that hold something needed, the current one among them. For the appending thread.</summary>
    public int SegmentCount => _chain.Segments.Count;

    /// <summary>Bytes of all files of the log, spares among them. For the appending thread.</summary>
    public long DiskBytes => _chain.Segments.Sum(static s => s.Slot.File.Length) + (_pool.Count * _pool.SegmentBytes);

    /// <summary>
    /// <see cref="PrepareSpare"/> has something to do. On any thread.
    /// </summary>
    public bool WantsSpare => _pool.NeedsPreparing;

    /// <summary>
    /// Opens the log and recovers: cuts a torn tail, refuses corruption with <see cref="WalCorruptException"/> and a format
    /// of another version with <see cref="WalFormatException"/>. Any other failure of the disk is an <see cref="IOException"/>.
    /// </summary>
    public static Wal Open(IDisk disk, WalOptions options)
    {
        ArgumentNullException.ThrowIfNull(disk);
        ArgumentNullException.ThrowIfNull(options);
        if (options.SegmentBytes is < WalOptions.MinSegmentBytes or > WalOptions.MaxSegmentBytes)
        {
            throw new ArgumentException($"A segment has {WalOptions.MinSegmentBytes} to {WalOptions.MaxSegmentBytes} bytes, not {options.SegmentBytes}.", nameof(options));
        }

        return new Wal(disk, options, WalRecovery.Run(disk, options));
    }

    /// <summary>What was recovered of a group; <see cref="RaftRecovery.Empty"/> for one that was never here. Call it before the group's first entry, release or reset: its configurations and uncommitted bytes are only known until then.</summary>
    public RaftRecovery Recovered(GroupId group) => _index.Recovered(group);

    /// <summary>The first entry of a group that <see cref="TryRead"/> can read: the next one to come if none is there. On any thread.</summary>
    public LogIndex FirstIndex(GroupId group) => _index.FirstIndex(group);

    /// <summary>
    /// Encodes a persist effect into the batch to be written next. Payloads are copied. A persist that need not be synced
    /// (<see cref="Effect.Persist.MustSync"/> false) costs nothing here: it rides along with whatever is synced next.
    /// </summary>
    /// <exception cref="ArgumentException">
    /// The entries have gaps, leave a gap behind the stored ones, or begin at or below what was released; or a reset goes back
    /// behind what was released. Nothing was appended.
    /// </exception>
    public void Append(GroupId group, Effect.Persist persist)
    {
        ArgumentNullException.ThrowIfNull(persist);
        ThrowIfUnusable();
        var log = _index.GetOrAdd(group);
        CheckFits(log, persist.ResetTo, persist.Entries);
        if (persist.ResetTo is { } to)
        {
            Reset(log, to);
        }

        AppendEntries(log, persist.Entries);
        if (persist.HardState is { } hardState)
        {
            log.Pending.HardState = hardState;
            MarkDirty(log);
        }

        if (persist.Identity is { } identity)
        {
            log.Pending.Identity = identity;
            MarkDirty(log);
        }

        MustSync |= persist.MustSync || persist.ResetTo is not null;
    }

    /// <summary>
    /// Writes the batch in one piece and makes it durable. Does nothing if nothing is appended. A batch larger than a segment
    /// gets a segment of its own size. Any exception is final for this process: the log refuses all further writes.
    /// </summary>
    public void Sync()
    {
        ThrowIfUnusable();
        if (_batch.IsEmpty && _dirty.Count == 0)
        {
            return;
        }

        try
        {
            WriteBatch();
        }
        catch (Exception e)
        {
            // Never tried again: after a failed sync the kernel may call the next one a success though the bytes are gone.
            _failure = e;
            throw;
        }
    }

    /// <summary>
    /// Reads durable entries from <paramref name="from"/> on: at least one, then up to <paramref name="through"/> and about
    /// <paramref name="maxBytes"/> of cost. False if <paramref name="from"/> isn't there. On any thread.
    /// </summary>
    /// <exception cref="WalCorruptException">An entry does not read back as it was written.</exception>
    public bool TryRead(GroupId group, LogIndex from, LogIndex through, int maxBytes, List<Entry> into)
    {
        ArgumentNullException.ThrowIfNull(into);
        return _index.TryRead(group, from, through, maxBytes, into);
    }

    /// <summary>
    /// Entries of a group up to here are no longer needed (a snapshot holds them): they can't be read any more, and segments
    /// that hold nothing needed are recycled at the second <see cref="Sync"/> from now (the first makes the release durable,
    /// the next one that they are not needed). Beyond the last entry it empties the group's log, which then goes on behind
    /// <paramref name="through"/>.
    /// </summary>
    public void Release(GroupId group, LogIndex through)
    {
        ThrowIfUnusable();
        var log = _index.GetOrAdd(group);
        if (through <= log.Pending.Released)
        {
            return;
        }

        // The term is told, since a replay may begin behind that entry.
        var term = AppendedTermAt(log, through);
        _batch.AddReleased(group, new LogBase(through, term));
        _changes.Add(new PendingChange(PendingKind.Release, log, through, term));
        log.Pending.Released = through;
        log.Pending.Last = LogIndex.Max(log.Pending.Last, through);
    }

    /// <summary>
    /// A group is forgotten with the next <see cref="Sync"/>: its entries and small states, as if it had never been here. Does nothing if
    /// it is not. What is appended for it afterwards begins anew.
    /// </summary>
    public void Forget(GroupId group)
    {
        ThrowIfUnusable();
        if (_index.Take(group) is not { } log)
        {
            return;
        }

        // Small states that wait would be written behind this, and bring it back.
        _dirty.Remove(log);
        _batch.AddForgotten(group);
        _changes.Add(new PendingChange(PendingKind.Forget, log, log.Pending.Last, Term.Zero));
        MustSync = true;
    }

    /// <summary>
    /// About how many bytes of log a group keeps behind <paramref name="after"/> (0: all that is not released), durable ones
    /// only: what a snapshot of everything would let go. Exact to about 16 KiB. On any thread.
    /// </summary>
    public long LogBytes(GroupId group, LogIndex after = default) => _index.BytesAfter(group, after);

    /// <summary>
    /// The groups whose entries hold back the oldest segment that is needed, ordered by id; none if that is the current one.
    /// Segments can only go in order, so a group that writes nothing may pin all that the others have written since:
    /// <see cref="Rewrite"/> it, or release its log up to <see cref="SegmentPin.Through"/> behind a snapshot, without a tail. On any thread.
    /// </summary>
    public IReadOnlyList<SegmentPin> OldestPins() => _index.OldestPins();

    /// <summary>
    /// Appends all that a group keeps once more, so that older segments are not needed for it: for a group that pins them
    /// (<see cref="OldestPins"/>) and can't be released, since its entries are the tail kept for followers, or not committed. It
    /// reads and holds them all, so nothing is done, and the answer is false, if they take more than about <paramref name="maxBytes"/>.
    /// For the appending thread, between two <see cref="Sync"/>s; the next one makes it durable.
    /// </summary>
    /// <exception cref="InvalidOperationException">Something of the log waits for <see cref="Sync"/>.</exception>
    /// <exception cref="WalCorruptException">An entry does not read back as it was written.</exception>
    public bool Rewrite(GroupId group, long maxBytes)
    {
        ThrowIfUnusable();
        if (_changes.Count > 0)
        {
            throw new InvalidOperationException("Entries are only rewritten while nothing is being appended.");
        }

        if (LogBytes(group) > maxBytes)
        {
            return false;
        }

        var log = _index.GetOrAdd(group);
        var entries = new List<Entry>();
        if (TryRead(group, log.FirstReadable, log.Last, int.MaxValue, entries))
        {
            if (entries.Count == 0 || entries[^1].Index != log.Last)
            {
                throw new InvalidOperationException($"Of group {group} only {entries.Count} entries were read, and its log ends at {log.Last}.");
            }

            AppendEntries(log, entries);
            MustSync = true;
        }

        return true;
    }

    /// <summary>
    /// Makes the file for the next segment ready, if <see cref="WantsSpare"/>, and deletes files beyond need. Takes as long as
    /// writing a segment of zeros: call it on a background thread, after the start and whenever it is wanted. Without it
    /// <see cref="Sync"/> does the same itself where it needs a new segment. A failure (a full disk, say) harms nothing yet.
    /// </summary>
    public void PrepareSpare() => _pool.Prepare();

    /// <summary>
    /// Closes the files. After a log in good health it writes once more: a batch that vouches for the last one, so that
    /// later damage to that is noticed. Nothing that was appended since the last <see cref="Sync"/> is written.
    /// </summary>
    public void Dispose()
    {
        if (_disposed)
        {
            return;
        }

        _disposed = true;
        if (_failure is null && !_vouched && _chain.Fits(BatchHeader.Bytes))
        {
            try
            {
                _batch.Clear();
                _ = _chain.Write(_batch, BatchKind.Close);
            }
            catch (IOException e)
            {
                // The log is as durable without it; only damage to its last batch would look like a torn tail.
                _failure = e;
            }
        }

        Close();
    }

    private void Close()
    {
        _disposed = true;
        _chain.Dispose();
        _pool.Dispose();
    }

    private static void CheckFits(GroupLog log, LogBase? resetTo, IReadOnlyList<Entry> entries)
    {
        var (last, released) = (log.Pending.Last, log.Pending.Released);
        if (resetTo is { } to)
        {
            if (to.Index < released)
            {
                throw new ArgumentException($"Group {log.Id} can't be reset to {to}: it is released up to {released}.", nameof(resetTo));
            }

            last = released = to.Index;
        }

        if (entries.Count == 0)
        {
            return;
        }

        var first = entries[0].Index;
        if (first > last.Next || first <= released)
        {
            throw new ArgumentException($"Entries from {first} on don't fit group {log.Id}, whose log ends at {last} and is released up to {released}.", nameof(entries));
        }

        for (var i = 1; i < entries.Count; i++)
        {
            if (entries[i].Index != first + (ulong)i)
            {
                throw new ArgumentException($"Entry {entries[i].Index} of group {log.Id} follows {entries[i - 1].Index}.", nameof(entries));
            }
        }
    }

    private void AppendEntries(GroupLog log, IReadOnlyList<Entry> entries)
    {
        for (var done = 0; done < entries.Count;)
        {
            var count = _batch.AddEntries(log.Id, entries, done, out var offset);
            _changes.Add(new PendingChange(PendingKind.Entries, log, entries[done].Index, entries[done].Term, count, offset, _batch.Length - offset));
            done += count;
            log.Pending.Last = entries[done - 1].Index;
        }
    }

    private Term AppendedTermAt(GroupLog log, LogIndex index)
    {
        if (index > log.Pending.Last)
        {
            return Term.Zero;
        }

        for (var i = _changes.Count - 1; i >= 0; i--)
        {
            var change = _changes[i];
            var last = change.Kind == PendingKind.Entries ? change.Index + (ulong)(change.Count - 1) : change.Index;
            if (change.Log == log && change.Kind != PendingKind.Release && change.Index <= index && index <= last)
            {
                return change.Term;
            }
        }

        return log.TermAt(index);
    }

    private void Reset(GroupLog log, LogBase to)
    {
        _batch.AddReset(log.Id, to);
        _changes.Add(new PendingChange(PendingKind.Reset, log, to.Index, to.Term));
        log.Pending.Released = log.Pending.Last = to.Index;
    }

    private void WriteBatch()
    {
        foreach (var log in _dirty)
        {
            if (log.Pending.HardState is { } hardState)
            {
                _batch.AddHardState(log.Id, hardState);
            }

            if (log.Pending.Identity is { } identity)
            {
                _batch.AddIdentity(log.Id, identity);
            }
        }

        // Room for one record more is asked for, because a segment that nothing needs may have to be named below.
        const int oldestRecordBytes = 24;
        if (!_chain.Fits(_batch.Length + oldestRecordBytes))
        {
            BeginSegment(_batch.Length + oldestRecordBytes);
        }

        var oldest = _index.OldestLive(_chain.Segments) ?? _chain.End.Segment.Sequence;
        if (oldest > _oldest)
        {
            _batch.AddOldest(oldest);
        }

        var offset = _chain.Write(_batch, BatchKind.Data);
        _oldest = Math.Max(_oldest, oldest);
        _index.Publish(_changes, _dirty, _chain.End.Segment, offset);
        Retire();
        _batch.Clear();
        _changes.Clear();
        _dirty.Clear();
        _vouched = false;
        MustSync = false;
    }

    // Nothing that is not durable yet goes into the head: a persist becomes durable in one piece or not at all.
    private void BeginSegment(int roomBytes)
    {
        var head = new BatchWriter();
        _index.AddSmallStates(head);
        var oldest = _index.OldestLive(_chain.Segments) ?? _chain.NextSequence;
        head.AddOldest(oldest);
        _chain.Begin(head, roomBytes);
        _index.Begun(_chain.End.Segment.Sequence);
        _oldest = Math.Max(_oldest, oldest);
        Retire();
    }

    private void Retire() => _chain.Retire(_oldest);

    private void MarkDirty(GroupLog log)
    {
        if (!log.Pending.IsListed)
        {
            log.Pending.IsListed = true;
            _dirty.Add(log);
        }
    }

    private void ThrowIfUnusable()
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        if (_failure is not null)
        {
            throw new IOException("The log failed before and takes no more writes: " + _failure.Message, _failure);
        }
    }
}
