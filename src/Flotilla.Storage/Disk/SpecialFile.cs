namespace Flotilla.Storage.Disk;

/// <summary>What a name may stand for other than a regular file: a device, a pipe, a socket. The framework does not tell them apart.</summary>
public static class SpecialFile
{
    /// <summary>True if there is something under this name that is no regular file; false also if nothing is there, or nothing that may be looked at. Any thread.</summary>
    /// <param name="path">The name.</param>
    /// <param name="followLinks">Look at what a symbolic link leads to; otherwise the link itself is no regular file.</param>
    public static bool IsAt(string path, bool followLinks)
    {
        const int formatMask = 0xF000;
        const int regular = 0x8000;
        return NativeMethods.TryGetMode(path, followLinks, out var mode) && (mode & formatMask) != regular;
    }
}
