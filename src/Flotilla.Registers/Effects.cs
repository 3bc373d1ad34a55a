namespace Flotilla.Registers;

/// <summary>What a register replica wants done. A closed union; the effects of one batch of inputs are carried out in their order, save that a <see cref="Send"/> may have to wait for the disk.</summary>
public abstract record RegisterEffect
{
    /// <summary>Make durable, in one piece and after all earlier persists of this replica; then report <see cref="RegisterInput.Persisted"/>.</summary>
    public sealed record Persist(PersistNumber Number, IReadOnlyList<RegisterRecord> Records) : RegisterEffect;

    /// <summary>Send a message to another voter, not before persist <paramref name="After"/> is durable (0: at once).</summary>
    public sealed record Send(Voter To, RegisterMessage Message, PersistNumber After) : RegisterEffect;

    /// <summary>A call is answered, once and for all. Nothing needs to wait for the disk any more.</summary>
    public sealed record Answered(CallId Call, RegisterAnswer Answer) : RegisterEffect;

    /// <summary>
    /// The next part of the merge that was asked for by <see cref="RegisterInput.Merge"/>: the newest of each key, in the order of keys,
    /// tombstones included. The one after it comes on <see cref="RegisterInput.MergeOn"/>.
    /// </summary>
    /// <param name="Epoch">The epoch that ends.</param>
    /// <param name="Items">What to propose; may be empty in the last part.</param>
    /// <param name="IsLast">With this the epoch ends.</param>
    public sealed record Merged(RegisterEpoch Epoch, IReadOnlyList<Item> Items, bool IsLast) : RegisterEffect;
}

/// <summary>What a call came to.</summary>
public abstract record RegisterAnswer
{
    /// <summary>The write has been done as far as its mode demands.</summary>
    public sealed record Written(Data.Version Version) : RegisterAnswer;

    /// <summary>The value that was read.</summary>
    public sealed record Found(Item Item) : RegisterAnswer;

    /// <summary>There is nothing under this key.</summary>
    public sealed record Absent : RegisterAnswer;

    /// <summary>No epoch is open here, or the one that was ends: certainly nothing was done. Ask again, in whatever mode follows.</summary>
    public sealed record NotOpen : RegisterAnswer;

    /// <summary>The slot of the key is not served here: certainly nothing was done.</summary>
    public sealed record NotOwner : RegisterAnswer;

    /// <summary>No majority answered in time: certainly nothing was written.</summary>
    public sealed record NoQuorum : RegisterAnswer;

    /// <summary>There are too many calls, or the overlay is full: certainly nothing was done.</summary>
    public sealed record Overloaded : RegisterAnswer;

    /// <summary>The write may have been done, and may still be. <paramref name="Attempt"/> lets it be tried again as the same write.</summary>
    public sealed record Indeterminate(Attempt Attempt) : RegisterAnswer;
}

/// <summary>What makes another try of a write the same write: its version, and when its value expires (0: never).</summary>
public readonly record struct Attempt(Data.Version Version, long ExpiresAtMs);
