using Flotilla.Data;
using Flotilla.Topology;

namespace Flotilla.Registers;

/// <summary>What happens to a register replica. A closed union.</summary>
public abstract record RegisterInput
{
    /// <summary>
    /// The log has applied an Open, or a Reopen, by which a sealed epoch goes on under another name with its overlays, voters and mode epoch. Also
    /// after a start, and after a snapshot was installed, if the state that there is then has one open or sealed. Any earlier one has ended then.
    /// </summary>
    public sealed record Open(EpochTerms Terms) : RegisterInput;

    /// <summary>The log has applied the Seal of an epoch: nothing is stored in it any more.</summary>
    public sealed record Seal(RegisterEpoch Epoch, ulong Index) : RegisterInput;

    /// <summary>The log has applied the last merge entry of an epoch.</summary>
    /// <param name="Epoch">The epoch that has ended.</param>
    /// <param name="Index">The index of that entry; of the snapshot, if this replica went past it by one.</param>
    /// <param name="Merged">The state as of exactly that entry, its tombstones included; null if this replica went past it by a snapshot.</param>
    public sealed record End(RegisterEpoch Epoch, ulong Index, IMergedState? Merged) : RegisterInput;

    /// <summary>A message of another voter of the epoch that it names, from the incarnation that sits there.</summary>
    public sealed record Received(Voter From, RegisterMessage Message) : RegisterInput;

    /// <summary>Every persist up to this one is durable.</summary>
    public sealed record Persisted(PersistNumber Number) : RegisterInput;

    /// <summary>A client's read.</summary>
    /// <param name="Call">Names it in the answer.</param>
    /// <param name="Key">The key; must never change.</param>
    /// <param name="DeadlineUs">When to stop, on the monotonic clock.</param>
    public sealed record Get(CallId Call, ReadOnlyMemory<byte> Key, long DeadlineUs) : RegisterInput;

    /// <summary>A client's write.</summary>
    /// <param name="Call">Names it in the answer.</param>
    /// <param name="Key">The key; must never change.</param>
    /// <param name="Deletes">It takes the value away. It does not say whether there was one: no register can.</param>
    /// <param name="Value">The value, which must never change; empty for a delete.</param>
    /// <param name="TtlMs">How long the value lives; 0 for ever.</param>
    /// <param name="DeadlineUs">When to stop, on the monotonic clock.</param>
    /// <param name="Retry">Null for a first attempt. Else what an earlier one of the same write, which ended unclear, was called.</param>
    public sealed record Write(CallId Call, ReadOnlyMemory<byte> Key, bool Deletes, ReadOnlyMemory<byte> Value, long TtlMs, long DeadlineUs, Attempt? Retry = null) : RegisterInput;

    /// <summary>This replica's group leads, and ends a sealed epoch: read the overlays of the voters.</summary>
    /// <param name="Epoch">The epoch.</param>
    /// <param name="Needed">How many voters must have been read of each key: a majority; leaving async all that are not excused.</param>
    public sealed record Merge(RegisterEpoch Epoch, int Needed) : RegisterInput;

    /// <summary>The last part that the merge brought is in the log: the next one may come.</summary>
    public sealed record MergeOn(RegisterEpoch Epoch) : RegisterInput;

    /// <summary>The merge is off: this replica does not lead any more, or the epoch is opened again.</summary>
    public sealed record MergeOff : RegisterInput;

    /// <summary>Time has passed.</summary>
    public sealed record Tick : RegisterInput;
}

/// <summary>What an Open in the log says, with the state that it was applied to.</summary>
/// <param name="Epoch">The epoch that begins.</param>
/// <param name="Origin">The same; after a Reopen the epoch whose Open it goes on with.</param>
/// <param name="Kind">How its writes are acknowledged.</param>
/// <param name="ModeEpoch">The mode epoch of all versions written in it: higher than that of every version in the state.</param>
/// <param name="Self">Which of its voters this replica is; null if it is none: then it serves nothing.</param>
/// <param name="Voters">How many voters it has, 1 to 64.</param>
/// <param name="Slots">The slots that are served, with their epochs: the same for as long as it lasts.</param>
/// <param name="State">The state beneath the overlay: a view that nothing changes, equal at every replica.</param>
/// <param name="StateTimeMs">The log time of that state: what had expired by then is not there.</param>
public sealed record EpochTerms(RegisterEpoch Epoch, RegisterEpoch Origin, RegisterKind Kind, uint ModeEpoch, Voter? Self, int Voters, SlotEpochs Slots, IRecordView State, long StateTimeMs);

/// <summary>The state as the last merge entry of an epoch left it, to settle what the seal caught.</summary>
public interface IMergedState
{
    /// <summary>The version of a key's record, or of the tombstone that this merge left; none if there is neither.</summary>
    Data.Version VersionOf(ReadOnlySpan<byte> key);
}
