namespace Flotilla.Registers;

/// <summary>
/// How far a replica has come with its epochs, by what it holds on disk (DESIGN section 5). Epochs come one after the other, so that of each
/// kind of mark the highest says it all.
/// </summary>
/// <remarks>
/// Marks stand for committed entries: a replica that starts applies its log up to the highest one without asking anybody. What each permits:
/// <list type="bullet">
/// <item><c>opened(e)</c>: to serve e. Without it a replica that had served e could come back with a log that is not known to be
/// committed up to Open, and an async replica could not serve alone.</item>
/// <item><c>sealed(e)</c>: to answer a merge read of e, and never again to store anything in e. Without it a replica that had told a
/// leader all it has could forget the seal in a crash, serve e once more, and take part in a majority that the merge has not read.</item>
/// <item><c>ended(e)</c>: to drop the overlay of e, and no later one.</item>
/// </list>
/// </remarks>
/// <param name="Opened">The last epoch that was opened.</param>
/// <param name="Sealed">The last epoch that was sealed.</param>
/// <param name="Ended">The last epoch that has ended.</param>
/// <param name="Through">The highest index of an entry that a mark stands for: so far the log is known to be committed.</param>
public readonly record struct EpochMarks(RegisterEpoch Opened, RegisterEpoch Sealed, RegisterEpoch Ended, ulong Through)
{
    /// <summary>With another mark.</summary>
    public EpochMarks With(RegisterRecord.Mark mark)
    {
        ArgumentNullException.ThrowIfNull(mark);
        var raised = this with { Through = Math.Max(Through, mark.Index) };
        return mark.Kind switch
        {
            MarkKind.Opened => raised with { Opened = RegisterEpoch.Max(Opened, mark.Epoch) },
            MarkKind.Sealed => raised with { Sealed = RegisterEpoch.Max(Sealed, mark.Epoch) },
            _ => raised with { Ended = RegisterEpoch.Max(Ended, mark.Epoch) },
        };
    }
}
