using Flotilla.Raft;
using Flotilla.Shards.Watching;
using Flotilla.Topology;
using Version = Flotilla.Data.Version;

namespace Flotilla.Node;

/// <summary>What a door calls to watch records, over all shards. Thread-safe.</summary>
public interface IWatches
{
    /// <summary>
    /// Begins to watch: what happens from now on, or behind a cursor. Every write acknowledged after the answer comes as an
    /// event, once, in the order of its key. Never throws for an outcome that a client can meet.
    /// </summary>
    ValueTask<WatchOpening> OpenAsync(WatchRequest request, CancellationToken cancellation);
}

/// <summary>What is to be watched.</summary>
/// <param name="Filter">Which keys.</param>
/// <param name="From">The cursor to go on from; null for now.</param>
/// <param name="Forward">Ask other nodes for shards of which this one has no replica.</param>
public sealed record WatchRequest(EventFilter Filter, string? From, bool Forward = true);

/// <summary>How an attempt to watch ended.</summary>
public enum WatchOutcome
{
    /// <summary>It stands.</summary>
    Open = 0,

    /// <summary>The cursor is none that this cluster gave.</summary>
    BadCursor,

    /// <summary>What follows the cursor is not kept any more by any replica that can be reached.</summary>
    Compacted,

    /// <summary>Of some shard no replica could be asked in time.</summary>
    NoQuorum,

    /// <summary>Some shard has no replica here, and other nodes are not to be asked.</summary>
    NotLeader,

    /// <summary>As many as allowed watch here already.</summary>
    Overloaded,
}

/// <summary>The answer to <see cref="IWatches.OpenAsync"/>.</summary>
/// <param name="Outcome">How it ended.</param>
/// <param name="Stream">The events, to be disposed of; null unless open.</param>
/// <param name="Detail">For an error: what happened in words a user understands, or null.</param>
/// <param name="Leader">For NotLeader: who leads the shard.</param>
/// <param name="LeaderHttp">Its HTTP address, or null.</param>
public sealed record WatchOpening(WatchOutcome Outcome, IWatchStream? Stream, string? Detail, NodeId Leader = default, string? LeaderHttp = null);

/// <summary>A change as a door tells it.</summary>
/// <param name="Kind">Put, Delete or Expire.</param>
/// <param name="Key">The key.</param>
/// <param name="Value">The value that was put; else none.</param>
/// <param name="Version">What a put made; what a deleted or expired record had.</param>
/// <param name="Cursor">Where to go on behind this event.</param>
public sealed record WatchEvent(ShardEventKind Kind, ReadOnlyMemory<byte> Key, ReadOnlyMemory<byte> Value, Version Version, string Cursor);

/// <summary>Why a stream has ended.</summary>
public enum WatchEnd
{
    /// <summary>It has not.</summary>
    None = 0,

    /// <summary>Its reader fell behind what the shards keep: to go on from its cursor would leave a gap.</summary>
    Slow,

    /// <summary>It failed for a defect, which is logged.</summary>
    Failed,
}

/// <summary>Events over all shards. One reader at a time.</summary>
public interface IWatchStream : IAsyncDisposable
{
    /// <summary>Where the reader stands: behind every event taken so far.</summary>
    string Cursor { get; }

    /// <summary>Why there is no more; none while there may be.</summary>
    WatchEnd End { get; }

    /// <summary>Shards of which nothing new can be told at this moment, since no leader of theirs is known here.</summary>
    IReadOnlyList<ShardId> Leaderless { get; }

    /// <summary>The next event if there is one already.</summary>
    WatchEvent? TryTake();

    /// <summary>Waits for an event or the end, at most for <paramref name="patience"/>. False if there is neither.</summary>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    ValueTask<bool> WaitAsync(TimeSpan patience, CancellationToken cancellation);
}
