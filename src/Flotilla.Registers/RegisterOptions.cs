namespace Flotilla.Registers;

/// <summary>Times and limits of a register replica. Times are milliseconds.</summary>
public sealed record RegisterOptions
{
    /// <summary>A question that was not answered is asked again after this, and then ever more rarely.</summary>
    public double RetryMs { get; init; } = 50;

    /// <summary>The longest between two tries.</summary>
    public double SlowRetryMs { get; init; } = 1000;

    /// <summary>How often an async replica compares its overlay with another's, each in turn.</summary>
    public double CompareMs { get; init; } = 1000;

    /// <summary>Calls under way at once; more are refused as overloaded.</summary>
    public int MaxCalls { get; init; } = 10_000;

    /// <summary>Keys in an overlay above which it takes no new ones from clients of this replica.</summary>
    public long MaxOverlayKeys { get; init; } = 1_000_000;

    /// <summary>Bytes of keys and values in an overlay above which it takes no more from clients of this replica.</summary>
    public long MaxOverlayBytes { get; init; } = 256L << 20;

    /// <summary>Keys that wait to be sent to one peer; what is over it is left to comparing overlays.</summary>
    public int MaxQueuedKeys { get; init; } = 16_384;

    /// <summary>Batches to one peer that wait for its answer.</summary>
    public int MaxBatches { get; init; } = 4;

    /// <summary>Items of a batch, and of a page.</summary>
    public int MaxItems { get; init; } = 256;

    /// <summary>Bytes of a batch, and of a page, about; at least one item goes into each.</summary>
    public int MaxBytes { get; init; } = 256 << 10;

    /// <summary>Groups of 128 slots that one comparison looks into.</summary>
    public int MaxGroups { get; init; } = 16;
}
