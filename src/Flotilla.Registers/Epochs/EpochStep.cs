namespace Flotilla.Registers.Epochs;

/// <summary>
/// One entry of a shard's log that begins or ends a register epoch. A closed union. Whether a step has an effect is decided when it is applied, by
/// the state that it meets (<see cref="EpochLog"/>): one that comes twice, too late, or from a leader that was replaced has none.
/// </summary>
public abstract record EpochStep
{
    private EpochStep()
    {
    }

    /// <summary>Begins an epoch, named by the entry's index.</summary>
    /// <param name="Kind">How its writes are acknowledged.</param>
    /// <param name="Voters">The names of its voters: those of the configuration in force, in the order of their bytes, 1 to 64.</param>
    public sealed record Open(RegisterKind Kind, IReadOnlyList<string> Voters) : EpochStep;

    /// <summary>Nothing is stored in the epoch any more; it is to be merged.</summary>
    public sealed record Seal(RegisterEpoch Epoch) : EpochStep;

    /// <summary>Takes what the overlays have into the state.</summary>
    /// <param name="Epoch">A sealed epoch.</param>
    /// <param name="Items">The newest of some keys, tombstones included.</param>
    /// <param name="IsLast">It ends the epoch.</param>
    public sealed record Merge(RegisterEpoch Epoch, IReadOnlyList<Item> Items, bool IsLast) : EpochStep;

    /// <summary>A sealed epoch goes on, named by this entry's index from here on: somebody who must be read does not answer.</summary>
    public sealed record Reopen(RegisterEpoch Epoch) : EpochStep;
}

/// <summary>What an applied <see cref="EpochStep"/> did.</summary>
public enum EpochChange
{
    /// <summary>Nothing: it came twice, too late, or while it may not.</summary>
    None = 0,

    /// <summary>An epoch began, or went on under another name: its replicas are to be told <see cref="RegisterInput.Open"/>.</summary>
    Opened = 1,

    /// <summary>It was sealed: <see cref="RegisterInput.Seal"/>.</summary>
    Sealed = 2,

    /// <summary>Something was merged, or would have been if it were not older than what is there.</summary>
    Merged = 3,

    /// <summary>It ended: <see cref="RegisterInput.End"/>, and then <see cref="EpochLog.Forget"/>, before anything else is applied.</summary>
    Ended = 4,
}
