using Flotilla.Raft;
using Flotilla.Storage.Disk;

namespace Flotilla.Storage;

/// <summary>
/// The write-ahead log of one node: the entries, hard states and identity states of all its groups, in segments.
/// <see cref="Append"/> and <see cref="Sync"/> belong to one thread; <see cref="TryRead"/> may run on others meanwhile.
/// </summary>
public sealed class Wal : IDisposable
{
    /// <summary>Opens the log and recovers: cuts a torn tail, refuses corruption with <see cref="WalCorruptException"/>.</summary>
    public static Wal Open(IDisk disk, WalOptions options) => throw new NotSupportedException();

    /// <summary>What was recovered of a group; <see cref="RaftRecovery.Empty"/> for one that was never here.</summary>
    public RaftRecovery Recovered(GroupId group) => throw new NotSupportedException();

    /// <summary>Encodes a persist effect into the batch to be written next.</summary>
    public void Append(GroupId group, Effect.Persist persist) => throw new NotSupportedException();

    /// <summary>Writes the batch in one piece and makes it durable. Any exception is final for this process.</summary>
    public void Sync() => throw new NotSupportedException();

    /// <summary>Reads durable entries from <paramref name="from"/> on: at least one, then up to <paramref name="through"/> and about <paramref name="maxBytes"/>. False if <paramref name="from"/> isn't there.</summary>
    public bool TryRead(GroupId group, LogIndex from, LogIndex through, int maxBytes, List<Entry> into) => throw new NotSupportedException();

    /// <summary>Entries of a group up to here are no longer needed (a snapshot holds them): segments that hold nothing needed are recycled.</summary>
    public void Release(GroupId group, LogIndex through) => throw new NotSupportedException();

    /// <inheritdoc/>
    public void Dispose() => throw new NotSupportedException();
}

/// <summary>Sizes of the log.</summary>
public sealed record WalOptions
{
    /// <summary>Bytes of one segment. Default 64 MiB.</summary>
    public long SegmentBytes { get; init; } = 64 << 20;
}

/// <summary>The log holds damage that no crash explains. The message names file and offset, and says how to rebuild the replica from its peers.</summary>
public sealed class WalCorruptException(string message) : IOException(message);
