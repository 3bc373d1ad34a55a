using System.CommandLine;
using System.Text;
using System.Text.Unicode;
using Flotilla.Cli.Flags;
using Flotilla.Cli.Output;
using Flotilla.Client;
using Flotilla.Contracts.Http;

namespace Flotilla.Cli.Commands;

/// <summary><c>flotilla get</c>.</summary>
internal sealed class GetCommand : CliCommand
{
    private static readonly Toggle Stale = new("--stale", "Read what the node asked has applied, without asking the leader");
    private static readonly Toggle Raw = new("--raw", "Write the value's bytes alone, without a newline behind them");

    private readonly Argument<string> _key = new("KEY") { Description = "The key" };

    public GetCommand()
        : base(
            "get",
            "Prints a key's value. Linearizable unless --stale is given.",
            "flotilla get hello", "prints the value and a newline; exit code 3 if there is none",
            "flotilla get hello --output json", "with its version",
            "flotilla get photo --raw > cat.jpg", "the bytes as they are")
    {
        Add(_key);
        Use(Stale, Raw);
        Use(CommonFlags.Client);
    }

    /// <inheritdoc/>
    public override async Task<int> RunAsync(Invocation invocation)
    {
        var key = KeyArgument.Read(invocation, _key);
        var json = CommonFlags.Json(invocation);
        var raw = invocation.Get(Raw);
        using var client = new FlotillaClient(CommonFlags.ClientOptions(invocation));
        var result = await client.GetAsync(Encoding.UTF8.GetBytes(key), invocation.Get(Stale), invocation.Shell.Stop);
        if (result.Outcome != CallOutcome.Ok)
        {
            return CommonFlags.Explain(invocation, result.Outcome, result.Error);
        }

        if (json)
        {
            var text = Utf8.IsValid(result.Value.Span);
            Json.WriteLine(invocation.Shell.Out, new RecordDocument(key, null, text ? Encoding.UTF8.GetString(result.Value.Span) : null, text ? null : Convert.ToBase64String(result.Value.Span), result.Version ?? ""));
            return ExitCode.Done;
        }

        if (invocation.Shell.OutIsTerminal && !raw)
        {
            // A value must not be able to drive the terminal that shows it.
            invocation.Shell.Out.WriteLine(Utf8.IsValid(result.Value.Span)
                ? string.Join('\n', Encoding.UTF8.GetString(result.Value.Span).Split('\n').Select(line => Printable.Field(line, terminal: true)))
                : $"({result.Value.Length} bytes that are no text: use --raw or --output json)");
            return ExitCode.Done;
        }

        await invocation.Shell.StdOut.WriteAsync(result.Value);
        if (!raw)
        {
            await invocation.Shell.StdOut.WriteAsync("\n"u8.ToArray());
        }

        return ExitCode.Done;
    }
}
