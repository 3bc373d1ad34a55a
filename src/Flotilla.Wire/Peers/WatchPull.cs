using Flotilla.Raft;
using Flotilla.Shards.Watching;

namespace Flotilla.Wire.Peers;

/// <summary>What one who watches asks a replica. Explicit and append-only.</summary>
public enum PullKind : byte
{
    /// <summary>Events behind a position; waits for some.</summary>
    Events = 0,

    /// <summary>Where the events end now: everything that was acknowledged before is in front of it.</summary>
    End = 1,

    /// <summary>Whether one who stands at a position has everything that a move's slots did here.</summary>
    Freeze = 2,
}

/// <summary>How a replica answers one who watches. Explicit and append-only.</summary>
public enum PullCode : byte
{
    /// <summary>As asked; for a freeze: yes.</summary>
    Ok = 0,

    /// <summary>This node has no replica that could say. Another may.</summary>
    NotServed = 1,

    /// <summary>What follows the position is not kept here any more. Another replica may have it.</summary>
    Compacted = 2,

    /// <summary>This replica has not applied as much yet. Another may have.</summary>
    Behind = 3,

    /// <summary>For a freeze: not yet.</summary>
    NotYet = 4,

    /// <summary>Too many wait here. Ask again a little later.</summary>
    Overloaded = 5,
}

/// <summary>A question of one who watches.</summary>
/// <param name="Kind">What is asked.</param>
/// <param name="From">Where it stands.</param>
/// <param name="Filter">Which keys it wants.</param>
/// <param name="MaxBytes">About how many bytes of events at once, 1 to 1 MiB; one event always comes, whatever its size.</param>
/// <param name="Move">For a freeze: the move, by its first entry.</param>
public sealed record WatchPull(PullKind Kind, EventPosition From, EventFilter Filter, int MaxBytes, LogIndex Move = default);

/// <summary>The answer.</summary>
/// <param name="Code">How it ended.</param>
/// <param name="Reached">Where to go on, if there are events or none are left; for an end: the end.</param>
/// <param name="Events">In order.</param>
public sealed record WatchReply(PullCode Code, EventPosition Reached, IReadOnlyList<ShardEvent> Events)
{
    /// <summary>Only a code.</summary>
    public static WatchReply Of(PullCode code) => new(code, default, []);
}
