namespace Flotilla.Storage.Disk;

/// <summary>
/// One directory on a disk, as narrow as the log needs it, so that the simulator can put a disk underneath that loses
/// unsynced bytes and tears writes. Any failure is an <see cref="IOException"/>.
/// </summary>
public interface IDisk
{
    /// <summary>Names of the files, ordered.</summary>
    IReadOnlyList<string> List();

    /// <summary>Opens a file, or creates an empty one.</summary>
    IDiskFile Open(string name);

    /// <summary>Renames atomically, over an existing file too. Durable after <see cref="SyncDirectory"/>.</summary>
    void Rename(string from, string to);

    /// <summary>Deletes. Durable after <see cref="SyncDirectory"/>.</summary>
    void Delete(string name);

    /// <summary>Makes creations, renames and deletions durable.</summary>
    void SyncDirectory();

    /// <summary>Bytes free for us.</summary>
    long FreeBytes { get; }

    /// <summary>How to call a file in a message to the operator: its full path, where there is one.</summary>
    string PathOf(string name) => name;
}

/// <summary>An open file. Reads may run beside one writer.</summary>
public interface IDiskFile : IDisposable
{
    /// <summary>The file's length in bytes.</summary>
    long Length { get; }

    /// <summary>Reads up to <paramref name="into"/>.Length bytes at <paramref name="offset"/>; fewer only at the end of the file.</summary>
    int Read(long offset, Span<byte> into);

    /// <summary>Writes all bytes at <paramref name="offset"/>; not durable before <see cref="Sync"/>.</summary>
    void Write(long offset, ReadOnlySpan<byte> bytes);

    /// <summary>
    /// Asks for room for <paramref name="bytes"/> bytes from the beginning on, so that a full disk is met now and not in the
    /// middle of a write. The length stays. Does nothing where the disk can't do it.
    /// </summary>
    void Preallocate(long bytes)
    {
    }

    /// <summary>Makes what was written durable (<c>fdatasync</c>). A failure is final: never call it again (fsyncgate).</summary>
    void Sync();
}
