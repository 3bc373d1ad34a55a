namespace Flotilla.Topology.Descriptors;

/// <summary>Where a shard stands in its life (DESIGN section 6). Explicit and append-only: on the wire, on disk, in logs.</summary>
public enum ShardState : byte
{
    /// <summary>It exists and serves what it owns, but is not on the ring: no slot is meant for it yet.</summary>
    Joining = 1,

    /// <summary>It is on the ring.</summary>
    Active = 2,

    /// <summary>It is off the ring and hands its slots over.</summary>
    Leaving = 3,

    /// <summary>It owns nothing and never will again. Outlives every other state, whatever its version.</summary>
    Retired = 4,
}

/// <summary>How a shard replicates (DESIGN section 5). Explicit and append-only.</summary>
public enum ShardMode : byte
{
    /// <summary>Majority commit; the default.</summary>
    Raft = 1,

    /// <summary>Committed, and on the disk of every member of the in-sync set.</summary>
    Sync = 2,

    /// <summary>As <see cref="Sync"/>, entries travelling from replica to replica.</summary>
    Chain = 3,

    /// <summary>Leaderless, a majority holds it.</summary>
    Quorum = 4,

    /// <summary>Leaderless, one replica holds it.</summary>
    Async = 5,
}
