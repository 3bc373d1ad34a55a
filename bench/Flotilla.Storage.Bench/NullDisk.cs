using Flotilla.Storage.Disk;

namespace Flotilla.Storage.Bench;

/// <summary>A disk that forgets everything at once, to see what the log costs without one.</summary>
internal sealed class NullDisk : IDisk
{
    public long FreeBytes => long.MaxValue;

    public IReadOnlyList<string> List() => [];

    public IDiskFile Open(string name) => new NullFile();

    public void Rename(string from, string to)
    {
    }

    public void Delete(string name)
    {
    }

    public void SyncDirectory()
    {
    }

    private sealed class NullFile : IDiskFile
    {
        public long Length { get; private set; }

        public int Read(long offset, Span<byte> into) => 0;

        public void Write(long offset, ReadOnlySpan<byte> bytes) => Length = Math.Max(Length, offset + bytes.Length);

        public void Sync()
        {
        }

        public void Dispose()
        {
        }
    }
}

/// <summary>A disk whose syncs do nothing, to make a large log of small batches in a short time.</summary>
internal sealed class UnsyncedDisk(IDisk disk) : IDisk
{
    public long FreeBytes => disk.FreeBytes;

    public IReadOnlyList<string> List() => disk.List();

    public IDiskFile Open(string name) => new UnsyncedFile(disk.Open(name));

    public void Rename(string from, string to) => disk.Rename(from, to);

    public void Delete(string name) => disk.Delete(name);

    public void SyncDirectory()
    {
    }

    private sealed class UnsyncedFile(IDiskFile file) : IDiskFile
    {
        public long Length => file.Length;

        public int Read(long offset, Span<byte> into) => file.Read(offset, into);

        public void Write(long offset, ReadOnlySpan<byte> bytes) => file.Write(offset, bytes);

        public void Sync()
        {
        }

        public void Dispose() => file.Dispose();
    }
}
