using Flotilla.Raft;
using Flotilla.Topology;
using Version = Flotilla.Data.Version;

namespace Flotilla.Shards.Watching;

/// <summary>What happened. Explicit and append-only: on the wire.</summary>
public enum ShardEventKind : byte
{
    /// <summary>A record was written: <see cref="ShardEvent.Version"/> is what it has now.</summary>
    Put = 1,

    /// <summary>A record was deleted: the version is what it had.</summary>
    Delete = 2,

    /// <summary>A record's time was over: the version is what it had.</summary>
    Expire = 3,

    /// <summary>Slots that leave in <see cref="ShardEvent.Move"/> change here no more. For the shards' own use: <see cref="EventLog.Read"/> never hands one out.</summary>
    Frozen = 4,

    /// <summary>Slots came in by a move of shard <see cref="ShardEvent.Source"/>. Whatever follows waits until that shard's events up to its Freeze are delivered.</summary>
    Came = 5,

    /// <summary>The shard is retired: nothing follows, ever.</summary>
    Ended = 6,
}

/// <summary>One change of a record that a shard's log has brought about, or a mark of a handoff.</summary>
/// <param name="Kind">What happened.</param>
/// <param name="After">Where a reader stands who has read this one; some way into an entry, never at its end.</param>
/// <param name="Key">The key; none for a mark.</param>
/// <param name="Value">The value that was put; else none.</param>
/// <param name="Version">See the kinds. Its slot epoch is that of the owner whose log this is, but for a record that came with its slot.</param>
/// <param name="Source">For <see cref="ShardEventKind.Came"/>: the shard that gave the slots.</param>
/// <param name="Move">For marks of moves: the entry of the giving shard's log that began the move. For the end: 0 if the shard never owned a slot, so that it has no other events.</param>
public readonly record struct ShardEvent(ShardEventKind Kind, EventPosition After, ReadOnlyMemory<byte> Key, ReadOnlyMemory<byte> Value, Version Version, ShardId Source, LogIndex Move)
{
    /// <summary>Where a reader stands to whom this one comes next, also if there are others before it that it does not want.</summary>
    public EventPosition Before => After with { Next = After.Next - 1 };

    /// <summary>About how many bytes it holds.</summary>
    public int Cost => 64 + Key.Length + Value.Length;
}

/// <summary>Which keys a reader wants.</summary>
/// <param name="Bytes">The key, or what keys begin with; empty for all.</param>
/// <param name="IsKey">Only exactly this key.</param>
public readonly record struct EventFilter(ReadOnlyMemory<byte> Bytes, bool IsKey)
{
    /// <summary>Whether a key is wanted.</summary>
    public bool Takes(ReadOnlySpan<byte> key) => IsKey ? key.SequenceEqual(Bytes.Span) : key.StartsWith(Bytes.Span);
}
