using Flotilla.Storage.Disk;

namespace Flotilla.Node.Tests.Clusters;

/// <summary>A disk whose syncs can be made to fail once, or held up.</summary>
internal sealed class TrickyDisk(IDisk inner) : IDisk
{
    private readonly object _gate = new();
    private bool _held;
    private volatile bool _failNext;
    private int _syncs;

    public int Syncs => Volatile.Read(ref _syncs);

    public int SyncsAfterFailure { get; private set; }

    public bool HasFailed { get; private set; }

    /// <summary>If set, what the disk says is free.</summary>
    public long? FreeBytesLeft { get; set; }

    public long FreeBytes => FreeBytesLeft ?? inner.FreeBytes;

    /// <summary>The next sync fails, as a disk with an I/O error does; later ones would succeed.</summary>
    public void FailNextSync() => _failNext = true;

    public void HoldSyncs() => Hold(true);

    public void ReleaseSyncs() => Hold(false);

    public IReadOnlyList<string> List() => inner.List();

    public IDiskFile Open(string name) => new File(this, inner.Open(name));

    public void Rename(string from, string to) => inner.Rename(from, to);

    public void Delete(string name) => inner.Delete(name);

    public void SyncDirectory() => inner.SyncDirectory();

    private void Hold(bool held)
    {
        lock (_gate)
        {
            _held = held;
            Monitor.PulseAll(_gate);
        }
    }

    private void Sync(IDiskFile file)
    {
        lock (_gate)
        {
            while (_held)
            {
                Monitor.Wait(_gate);
            }
        }

        if (HasFailed)
        {
            SyncsAfterFailure++;
        }

        if (_failNext)
        {
            _failNext = false;
            HasFailed = true;
            throw new IOException("Input/output error");
        }

        file.Sync();
        Interlocked.Increment(ref _syncs);
    }

    private sealed class File(TrickyDisk disk, IDiskFile inner) : IDiskFile
    {
        public long Length => inner.Length;

        public int Read(long offset, Span<byte> into) => inner.Read(offset, into);

        public void Write(long offset, ReadOnlySpan<byte> bytes) => inner.Write(offset, bytes);

        public void Sync() => disk.Sync(inner);

        public void Dispose() => inner.Dispose();
    }
}
