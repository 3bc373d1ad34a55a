using Flotilla.Data;
using Flotilla.Registers.Overlays;

namespace Flotilla.Registers;

/// <summary>
/// What a replica's disk holds of register epochs: a checkpoint, if there is one, and then every record written since, in order. Records from before
/// the checkpoint may come once more.
/// </summary>
public sealed class RegisterRecovery
{
    /// <summary>A disk that holds nothing.</summary>
    public RegisterRecovery()
    {
    }

    /// <summary>A disk that holds a checkpoint.</summary>
    public RegisterRecovery(EpochMarks marks, IRecordView items)
    {
        Marks = marks;
        Overlay.Load(items);
    }

    /// <summary>The marks.</summary>
    public EpochMarks Marks { get; private set; }

    /// <summary>The overlay of the epoch that was opened last; empty if it has ended.</summary>
    public Overlay Overlay { get; private set; } = new();

    /// <summary>The next record of the log.</summary>
    public void Apply(RegisterRecord record)
    {
        switch (record)
        {
            case RegisterRecord.Mark mark:
                // An Ended of an earlier epoch takes nothing from the one that was opened since, nor does an Opened from before the checkpoint.
                var begins = mark.Kind == MarkKind.Opened && mark.Origin > Marks.Opened;
                var ends = mark.Kind == MarkKind.Ended && mark.Epoch >= Marks.Opened;
                Overlay = begins || ends ? new Overlay() : Overlay;
                Marks = Marks.With(mark);
                break;
            case RegisterRecord.Held held when held.Epoch > Marks.Ended:
                _ = Overlay.Put(held.Item, 0);
                break;
            case RegisterRecord.Held:
                break; // From before the checkpoint, in an epoch that has ended.
            default:
                throw new InvalidOperationException($"There is no record {record}.");
        }
    }
}

/// <summary>A replica's register state for a file of its own, so that older records may be forgotten. Any thread may read it.</summary>
/// <param name="Through">Everything up to this persist is in it.</param>
/// <param name="Marks">The marks.</param>
/// <param name="Items">The overlay, as <see cref="RegisterRecovery"/> takes it.</param>
public sealed record RegisterCheckpoint(PersistNumber Through, EpochMarks Marks, IRecordView Items);
