namespace Flotilla.Shards.Handoff;

/// <summary>Times and sizes of handoffs. They may differ from node to node: nothing that is decided depends on them.</summary>
public sealed record HandoffOptions
{
    /// <summary>A chunk ends when it has so many bytes; one with a large value may be longer. Default 64 KiB, some two milliseconds to apply.</summary>
    public int ChunkBytes { get; init; } = 64 << 10;

    /// <summary>Chunks of a move that are sent ahead of their acknowledgement. Default 4.</summary>
    public int Window { get; init; } = 4;

    /// <summary>Records that a source looks at in one step for one move. Default 4096, under a millisecond.</summary>
    public int LooksPerStep { get; init; } = 4096;

    /// <summary>Records that one Purge step looks at. Default 4096.</summary>
    public int PurgeLooks { get; init; } = 4096;

    /// <summary>A round of catching up that sent no more than this was the last before the slots are frozen. Bytes, default 64 KiB; doubled after each eight rounds, so that a busy shard gets there too.</summary>
    public int SmallRestBytes { get; init; } = 64 << 10;

    /// <summary>A round of catching up begins so long after the one before, if that one was large already. Milliseconds, default 10.</summary>
    public double RoundMs { get; init; } = 10;

    /// <summary>What was not answered, or not applied, is said again after this. Milliseconds, default 200; grows to <see cref="SlowRetryMs"/> while nobody answers.</summary>
    public double RetryMs { get; init; } = 200;

    /// <summary>The longest time between two tries. Milliseconds, default 3,000.</summary>
    public double SlowRetryMs { get; init; } = 3000;

    /// <summary>A move that is not frozen is cancelled when its target has said nothing for so long, or has not been willing. Milliseconds, default 15,000.</summary>
    public double PatienceMs { get; init; } = 15_000;

    /// <summary>The target of a move that has been frozen for so long is asked to abort it. Milliseconds, default 2,000.</summary>
    public double FrozenMs { get; init; } = 2000;
}
