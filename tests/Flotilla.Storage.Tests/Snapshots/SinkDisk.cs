using Flotilla.Storage.Disk;

namespace Flotilla.Storage.Tests.Snapshots;

/// <summary>A disk that takes everything and keeps nothing.</summary>
internal sealed class SinkDisk : IDisk
{
    public long FreeBytes => long.MaxValue;

    public IReadOnlyList<string> List() => [];

    public IDiskFile Open(string name) => new Sink();

    public void Rename(string from, string to)
    {
    }

    public void Delete(string name)
    {
    }

    public void SyncDirectory()
    {
    }

    private sealed class Sink : IDiskFile
    {
        public long Length { get; private set; }

        public int Read(long offset, Span<byte> into) => 0;

        public void Write(long offset, ReadOnlySpan<byte> bytes) => Length = offset + bytes.Length;

        public void Sync()
        {
        }

        public void Dispose()
        {
        }
    }
}
