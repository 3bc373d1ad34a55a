using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Flotilla.Storage.Disk;

/// <summary>
/// The calls that the framework does not offer: <c>fdatasync</c> (its own flush is <c>fsync</c>, which writes the file's
/// times too), the sync of a directory (it refuses to open one), allocation ahead of use, and what kind of file there is.
/// </summary>
internal static partial class NativeMethods
{
    // O_RDONLY | O_CLOEXEC of Linux, which are the same on x64 and arm64.
    private const int ReadOnlyCloseOnExec = 0x80000;

    /// <summary>Makes a file's bytes durable, and of its metadata only what is needed to read them back.</summary>
    public static void SyncData(SafeFileHandle handle, string path)
    {
        if (FDataSync(handle) != 0)
        {
            throw Failure("fdatasync", path);
        }
    }

    /// <summary>Makes the names in a directory durable.</summary>
    public static void SyncDirectory(string path)
    {
        using var handle = Open(path, ReadOnlyCloseOnExec);
        if (handle.IsInvalid)
        {
            throw Failure("open", path);
        }

        if (FSync(handle) != 0)
        {
            throw Failure("fsync", path);
        }
    }

    /// <summary>Reserves room for the first <paramref name="bytes"/> bytes of a file, whose length stays. A file system that can't do it is no failure.</summary>
    public static void Allocate(SafeFileHandle handle, long bytes, string path)
    {
        const int keepSize = 1;
        const int operationNotSupported = 95;
        const int notImplemented = 38;
        if (FAllocate(handle, keepSize, 0, bytes) != 0 && Marshal.GetLastPInvokeError() is not (operationNotSupported or notImplemented))
        {
            throw Failure("fallocate", path);
        }
    }

    /// <summary>What stands under a name: its type and permissions, as <c>stat</c> gives them. False if nothing can be found there.</summary>
    public static bool TryGetMode(string path, bool followLinks, out int mode)
    {
        // statx, whose layout is the same on every architecture: stx_mode is the 16 bits at byte 28 of 256.
        const int workingDirectory = -100;
        const int noFollow = 0x100;
        const uint typeOnly = 1;
        const int modeAt = 28;
        Span<byte> found = stackalloc byte[256];
        var isThere = StatX(workingDirectory, path, followLinks ? 0 : noFollow, typeOnly, ref MemoryMarshal.GetReference(found)) == 0;
        mode = isThere ? MemoryMarshal.Read<ushort>(found[modeAt..]) : 0;
        return isThere;
    }

    private static IOException Failure(string call, string path)
    {
        var errno = Marshal.GetLastPInvokeError();
        return new IOException($"{call} of {path} failed: {Marshal.GetPInvokeErrorMessage(errno)} (errno {errno}).");
    }

    [LibraryImport("libc", EntryPoint = "fdatasync", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int FDataSync(SafeFileHandle handle);

    [LibraryImport("libc", EntryPoint = "fsync", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int FSync(SafeFileHandle handle);

    [LibraryImport("libc", EntryPoint = "fallocate", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int FAllocate(SafeFileHandle handle, int mode, long offset, long length);

    [LibraryImport("libc", EntryPoint = "statx", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int StatX(int directory, string path, int flags, uint mask, ref byte found);

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial SafeFileHandle Open(string path, int flags);
}
