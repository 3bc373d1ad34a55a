using Flotilla.Cli.Flags;
using Flotilla.Client;
using Flotilla.Contracts;

namespace Flotilla.Cli.Commands;

/// <summary>Flags that several commands share.</summary>
internal static class CommonFlags
{
    /// <summary>Where a cluster is looked for that nobody has named: what <c>flotilla dev</c> starts.</summary>
    public const string DefaultEndpoints = "127.0.0.1:3000,127.0.0.1:8001,127.0.0.1:8002,127.0.0.1:8003";

    /// <summary>The configuration file.</summary>
    public static Flag<string> Config { get; } = new("--config", "FILE", "A JSON file with settings by the names of flags", Readers.SomeText);

    /// <summary>Which cluster.</summary>
    public static Flag<IReadOnlyList<HostPort>> Endpoint { get; } = new("--endpoint", "URL", "Node or router to talk to; several with commas or repeated, in order of preference", Readers.Addresses, DefaultEndpoints) { Repeatable = true };

    /// <summary>How results are written.</summary>
    public static Flag<string> Output { get; } = new("--output", "table|json", "How to write results: for people, or JSON", Readers.OneOf("table", "json"), "table");

    /// <summary>How long a call may take.</summary>
    public static Flag<TimeSpan> Timeout { get; } = new("--timeout", "TIME", "How long a call may take with all its attempts", Readers.Time(TimeSpan.FromMilliseconds(1), TimeSpan.FromHours(1)), "10s");

    /// <summary>What every command that talks to a cluster takes.</summary>
    public static IReadOnlyList<Flag> Client { get; } = [Endpoint, Timeout, Output];

    /// <summary>A client as the flags describe it.</summary>
    public static FlotillaClientOptions ClientOptions(Invocation invocation)
    {
        var timeout = invocation.Get(Timeout);
        return new FlotillaClientOptions
        {
            Endpoints = invocation.Get(Endpoint),
            Timeout = timeout,
            WriteAttemptTimeout = TimeSpan.FromSeconds(6) < timeout ? TimeSpan.FromSeconds(6) : timeout,
        };
    }

    /// <summary>Results are wanted as JSON.</summary>
    public static bool Json(Invocation invocation) => string.Equals(invocation.Get(Output), "json", StringComparison.Ordinal);

    /// <summary>Says on standard error how a call ended that did not end well, and gives the exit code.</summary>
    public static int Explain(Invocation invocation, CallOutcome outcome, CallError? error)
    {
        var err = invocation.Shell.Err;
        var said = error is null ? outcome.ToString() : $"{error.Message} ({error.Code})";
        err.WriteLine(outcome switch
        {
            CallOutcome.NotFound => "not found",
            CallOutcome.VersionMismatch => $"version mismatch: {error?.Message}",
            CallOutcome.Unavailable when string.Equals(error?.Code, "unreachable", StringComparison.Ordinal) =>
                $"unavailable: {said}. Nothing was written. Is the cluster running? `flotilla dev` starts one; --endpoint or FLOTILLA_ENDPOINT names another.",

            // The server's own words often say it already.
            CallOutcome.Unavailable when said.Contains("Nothing was", StringComparison.Ordinal) => $"unavailable: {said}",
            CallOutcome.Unavailable => $"unavailable: {said}. Nothing was written; try again.",
            CallOutcome.Unknown => $"outcome unknown: {said}. The write may or may not have happened: read before you write again.",
            _ => $"failed: {said}",
        });
        return ExitCode.Of(outcome);
    }
}
