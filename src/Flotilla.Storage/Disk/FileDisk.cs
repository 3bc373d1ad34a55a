using Microsoft.Win32.SafeHandles;

namespace Flotilla.Storage.Disk;

/// <summary>
/// A real directory. On Linux a sync is <c>fdatasync</c>; elsewhere it is the framework's own flush, and directories are
/// not synced, which only Linux needs. Thread-safe, as its files are for readers beside one writer.
/// </summary>
public sealed class FileDisk : IDisk
{
    private readonly string _root;

    /// <summary>The directory at <paramref name="path"/>, which is made if it is missing. Throws <see cref="IOException"/>.</summary>
    public FileDisk(string path)
    {
        _root = Path.GetFullPath(path);
        _ = Guarded(_root, static root => System.IO.Directory.CreateDirectory(root));
    }

    /// <inheritdoc/>
    public long FreeBytes => Guarded(_root, static root => new DriveInfo(root).AvailableFreeSpace);

    /// <inheritdoc/>
    public IReadOnlyList<string> List()
    {
        var names = Guarded(_root, static root => System.IO.Directory.GetFiles(root).Select(path => Path.GetFileName(path)).ToArray());
        Array.Sort(names, StringComparer.Ordinal);
        return names;
    }

    /// <inheritdoc/>
    public IDiskFile Open(string name) => new FileDiskFile(PathOf(name));

    /// <inheritdoc/>
    public void Rename(string from, string to) => Guarded((From: PathOf(from), To: PathOf(to)), static paths =>
    {
        File.Move(paths.From, paths.To, overwrite: true);
        return true;
    });

    /// <inheritdoc/>
    public void Delete(string name) => Guarded(PathOf(name), static path =>
    {
        File.Delete(path);
        return true;
    });

    /// <inheritdoc/>
    public void SyncDirectory() => SyncDirectory(_root);

    /// <inheritdoc/>
    public string PathOf(string name) => Path.Combine(_root, name);

    /// <summary>Makes the names in any directory durable.</summary>
    internal static void SyncDirectory(string path)
    {
        if (OperatingSystem.IsLinux())
        {
            NativeMethods.SyncDirectory(path);
        }
    }

    // The framework reports a missing permission by an exception that is no IOException; callers expect only those.
    internal static TResult Guarded<TArgument, TResult>(TArgument argument, Func<TArgument, TResult> action)
    {
        try
        {
            return action(argument);
        }
        catch (UnauthorizedAccessException e)
        {
            throw new IOException(e.Message, e);
        }
    }
}

/// <summary>One file of a <see cref="FileDisk"/>. Its length is kept here, since only this handle changes it.</summary>
internal sealed class FileDiskFile : IDiskFile
{
    private readonly SafeFileHandle _handle;
    private readonly string _path;
    private long _length;

    internal FileDiskFile(string path)
    {
        _path = path;
        _handle = FileDisk.Guarded(path, static p => File.OpenHandle(p, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.ReadWrite | FileShare.Delete));
        _length = RandomAccess.GetLength(_handle);
    }

    public long Length => Volatile.Read(ref _length);

    public int Read(long offset, Span<byte> into)
    {
        var read = 0;
        while (read < into.Length)
        {
            var count = RandomAccess.Read(_handle, into[read..], offset + read);
            if (count == 0)
            {
                break;
            }

            read += count;
        }

        return read;
    }

    public void Write(long offset, ReadOnlySpan<byte> bytes)
    {
        RandomAccess.Write(_handle, bytes, offset);
        if (offset + bytes.Length > _length)
        {
            Volatile.Write(ref _length, offset + bytes.Length);
        }
    }

    public void Preallocate(long bytes)
    {
        if (OperatingSystem.IsLinux() && bytes > _length)
        {
            NativeMethods.Allocate(_handle, bytes, _path);
        }
    }

    public void Sync()
    {
        if (OperatingSystem.IsLinux())
        {
            NativeMethods.SyncData(_handle, _path);
        }
        else
        {
            RandomAccess.FlushToDisk(_handle);
        }
    }

    public void Dispose() => _handle.Dispose();
}
