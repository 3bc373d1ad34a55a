using Flotilla.Raft;
using Flotilla.Storage.Disk;
using Flotilla.Wire.Log;

namespace Flotilla.Storage.Segments;

/// <summary>A file that is, was or will be a segment. The number in its name stays; which segment it is, its header says.</summary>
internal sealed record SegmentFile(string Name, IDiskFile File)
{
    private const string Extension = ".wal";

    /// <summary>The name of the file with this number.</summary>
    public static string NameOf(int number) => $"{number:00000000}{Extension}";

    /// <summary>The number in a file's name, or 0 if it is no name of ours.</summary>
    public static int NumberOf(string name) =>
        name.Length == 8 + Extension.Length && name.EndsWith(Extension, StringComparison.Ordinal)
        && int.TryParse(name.AsSpan(0, 8), System.Globalization.NumberStyles.None, null, out var number)
            ? number : 0;
}

/// <summary>
/// One segment of the log. <see cref="LiveRuns"/> and pins change under the lock of the index only, but for the release of a pin.
/// </summary>
internal sealed class Segment(SegmentFile file, SegmentHeader header)
{
    private int _pins;

    /// <summary>The file that it lies in.</summary>
    public SegmentFile Slot { get; } = file;

    /// <summary>Its header.</summary>
    public SegmentHeader Header { get; } = header;

    /// <summary>Its place in the log.</summary>
    public ulong Sequence => Header.Sequence;

    /// <summary>How many runs of entries that are still needed lie in it.</summary>
    public int LiveRuns { get; set; }

    /// <summary>True while a reader is at work in it.</summary>
    public bool IsPinned => Volatile.Read(ref _pins) > 0;

    /// <summary>A reader begins: the file is not recycled before <see cref="Unpin"/>.</summary>
    public void Pin() => Interlocked.Increment(ref _pins);

    /// <summary>A reader is done.</summary>
    public void Unpin() => Interlocked.Decrement(ref _pins);
}

/// <summary>
/// Consecutive entries of one group that lie in one segment, from the record at <paramref name="Offset"/> on, in order; other
/// groups' records may lie between. <paramref name="BytesBefore"/> counts the bytes of the group's records before it.
/// </summary>
internal readonly record struct Run(LogIndex First, LogIndex Last, Segment Segment, long Offset, long BytesBefore);
