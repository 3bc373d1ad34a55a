using System.CommandLine;
using System.Globalization;
using System.Text;
using Flotilla.Cli.Flags;
using Flotilla.Cli.Output;
using Flotilla.Client;

namespace Flotilla.Cli.Commands;

/// <summary><c>flotilla incr</c>.</summary>
internal sealed class IncrCommand : CliCommand
{
    private readonly Argument<string> _key = new("KEY") { Description = "The key of a decimal number; one that is not there counts as 0" };
    private readonly Argument<string?> _delta = new("N") { Description = "What to add, 1 if it is left out; may be negative", Arity = ArgumentArity.ZeroOrOne };

    public IncrCommand()
        : base(
            "incr",
            "Adds to a counter and prints the new number; counts exactly, however many do it at once.",
            "flotilla incr visits", "adds one",
            "flotilla incr stock -3", "takes three")
    {
        Add(_key);
        Add(_delta);
        Use(CommonFlags.Client);
    }

    /// <inheritdoc/>
    public override async Task<int> RunAsync(Invocation invocation)
    {
        var key = KeyArgument.Read(invocation, _key);
        var json = CommonFlags.Json(invocation);
        long delta = 1;
        if (invocation.Argument(_delta) is { } text && !long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out delta))
        {
            throw new UsageException($"N: a whole number is needed, not '{text}'");
        }

        using var client = new FlotillaClient(CommonFlags.ClientOptions(invocation));
        var result = await client.IncrementAsync(Encoding.UTF8.GetBytes(key), delta, invocation.Shell.Stop);
        if (result.Outcome != CallOutcome.Ok)
        {
            return CommonFlags.Explain(invocation, result.Outcome, result.Error);
        }

        if (json)
        {
            Json.WriteLine(invocation.Shell.Out, new IncrementDocument(key, result.Value));
        }
        else
        {
            invocation.Shell.Out.WriteLine(result.Value);
        }

        return ExitCode.Done;
    }
}
