namespace Flotilla.Registers;

/// <summary>What a replica's disk holds of register epochs, in the order in which it was written. A closed union.</summary>
public abstract record RegisterRecord
{
    /// <summary>A mark of an epoch: see <see cref="EpochMarks"/>.</summary>
    /// <param name="Kind">Which one.</param>
    /// <param name="Epoch">Of which epoch.</param>
    /// <param name="Index">The entry that it stands for.</param>
    /// <param name="Origin">For <see cref="MarkKind.Opened"/>: the Open that its overlay began with, since a Reopen goes on with what there is; else none.</param>
    public sealed record Mark(MarkKind Kind, RegisterEpoch Epoch, ulong Index, RegisterEpoch Origin = default) : RegisterRecord;

    /// <summary>The overlay holds this now.</summary>
    /// <param name="Epoch">The epoch in which it was taken.</param>
    /// <param name="Item">The item.</param>
    public sealed record Held(RegisterEpoch Epoch, Item Item) : RegisterRecord;
}

/// <summary>The marks of an epoch.</summary>
public enum MarkKind
{
    /// <summary>This replica may serve it.</summary>
    Opened = 0,

    /// <summary>This replica stores nothing in it any more.</summary>
    Sealed = 1,

    /// <summary>Its overlay is not needed any more.</summary>
    Ended = 2,
}
