using System.Globalization;
using System.Text;

namespace Flotilla.Linearizability;

/// <summary>What a client asked of one key.</summary>
public enum OperationKind
{
    /// <summary>Writes <see cref="Operation.Value"/>.</summary>
    Put,

    /// <summary>Reads.</summary>
    Get,

    /// <summary>Removes; <see cref="Operation.Found"/>, if known, says whether there was something to remove.</summary>
    Delete,

    /// <summary>
    /// Writes <see cref="Operation.Value"/> if the value is <see cref="Operation.Expected"/> (null: if there is none). An <c>ok</c>
    /// with <see cref="Operation.Found"/> false is a definite mismatch; <see cref="Operation.Read"/> is then what was there, if known.
    /// A compare-and-swap on versions is one on values wherever values are unique.
    /// </summary>
    CompareAndSwap,

    /// <summary>Adds <see cref="Operation.Value"/> (a decimal integer, 1 if null) to a decimal integer, absent counting as 0; <see cref="Operation.Read"/> is the sum.</summary>
    Increment,
}

/// <summary>What the client learned.</summary>
public enum Outcome
{
    /// <summary>It took effect once, between start and end.</summary>
    Ok,

    /// <summary>It certainly took no effect and never will.</summary>
    Fail,

    /// <summary>It may have taken effect at any time after its start, may still do so, or never.</summary>
    Unknown,
}

/// <summary>One operation of a recorded history. Times are microseconds on one clock; null stands for "absent" or "not known".</summary>
public sealed record Operation(string Client, OperationKind Kind, string Key, string? Value, string? Expected, long StartUs, long EndUs, Outcome Outcome, string? Read, bool? Found)
{
    /// <summary>One line for people: who, when, what, and what came of it.</summary>
    public override string ToString()
    {
        var text = new StringBuilder();
        var end = Outcome == Outcome.Unknown ? "?" : EndUs.ToString(CultureInfo.InvariantCulture);
        text.Append($"[{StartUs}..{end}] {Client} ");
        text.Append(Kind switch
        {
            OperationKind.Put => $"put {Key}={Value}",
            OperationKind.Get => $"get {Key}",
            OperationKind.Delete => $"delete {Key}",
            OperationKind.CompareAndSwap => $"cas {Key}: {Expected ?? "(absent)"} -> {Value}",
            _ => $"increment {Key} by {Value ?? "1"}",
        });
        text.Append(Outcome switch
        {
            Outcome.Fail => " => failed",
            Outcome.Unknown => " => unknown",
            _ => Kind switch
            {
                OperationKind.Get => Found == false ? " => (absent)" : $" => {Read}",
                OperationKind.Increment => Read is null ? " => ok" : $" => {Read}",
                OperationKind.CompareAndSwap => Found == false ? $" => mismatch{(Read is null ? "" : $", there was {Read}")}" : " => swapped",
                OperationKind.Delete => Found is null ? " => ok" : Found == true ? " => deleted" : " => (absent)",
                _ => " => ok",
            },
        });
        return text.ToString();
    }
}
