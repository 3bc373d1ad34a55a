using Flotilla.Client;

namespace Flotilla.Cli;

/// <summary>What the command's exit code says; part of the contract with scripts.</summary>
internal static class ExitCode
{
    /// <summary>Done.</summary>
    public const int Done = 0;

    /// <summary>Refused or failed for good.</summary>
    public const int Failed = 1;

    /// <summary>The command line makes no sense.</summary>
    public const int Usage = 2;

    /// <summary>There is no such record.</summary>
    public const int NotFound = 3;

    /// <summary>A condition did not hold.</summary>
    public const int VersionMismatch = 4;

    /// <summary>Nobody could serve it in time; nothing was written.</summary>
    public const int Unavailable = 5;

    /// <summary>A write may or may not have happened.</summary>
    public const int Unknown = 6;

    /// <summary>Ended by Ctrl-C, as shells count it.</summary>
    public const int Interrupted = 130;

    /// <summary>The code of a call's end.</summary>
    public static int Of(CallOutcome outcome) => outcome switch
    {
        CallOutcome.Ok => Done,
        CallOutcome.NotFound => NotFound,
        CallOutcome.VersionMismatch => VersionMismatch,
        CallOutcome.Unavailable => Unavailable,
        CallOutcome.Unknown => Unknown,
        _ => Failed,
    };
}
