using System.CommandLine;
using System.Text;
using Flotilla.Cli.Flags;
using Flotilla.Cli.Output;
using Flotilla.Client;
using Flotilla.Contracts.Http;

namespace Flotilla.Cli.Commands;

/// <summary><c>flotilla del</c>.</summary>
internal sealed class DelCommand : CliCommand
{
    private static readonly Flag<string> IfVersion = new("--if-version", "VERSION", "Remove only exactly this version", Readers.SomeText);

    private readonly Argument<string> _key = new("KEY") { Description = "The key" };

    public DelCommand()
        : base(
            "del",
            "Removes a record. Exit code 3 if there was none.",
            "flotilla del hello", "removes it",
            "flotilla del hello --if-version 1.0.42.0", "removes it only if nobody has changed it")
    {
        Add(_key);
        Use(IfVersion);
        Use(CommonFlags.Client);
    }

    /// <inheritdoc/>
    public override async Task<int> RunAsync(Invocation invocation)
    {
        var key = KeyArgument.Read(invocation, _key);
        var json = CommonFlags.Json(invocation);
        var version = invocation.TryGet(IfVersion, out var given) ? VersionText.Check(given) : null;
        using var client = new FlotillaClient(CommonFlags.ClientOptions(invocation));
        var result = await client.DeleteAsync(Encoding.UTF8.GetBytes(key), version, invocation.Shell.Stop);
        if (json && result.Outcome is (CallOutcome.Ok or CallOutcome.NotFound))
        {
            Json.WriteLine(invocation.Shell.Out, new DeleteResponse(key, null, result.Outcome == CallOutcome.Ok));
            return ExitCode.Of(result.Outcome);
        }

        if (result.Outcome != CallOutcome.Ok)
        {
            return CommonFlags.Explain(invocation, result.Outcome, result.Error);
        }

        invocation.Shell.Out.WriteLine("OK");
        return ExitCode.Done;
    }
}
