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

    private readonly Argument<string[]> _keys = new("KEY") { Description = "The key; several, of one shard, are read at one moment", Arity = ArgumentArity.OneOrMore };

    public GetCommand()
        : base(
            "get",
            "Prints a key's value, or those of several keys. Linearizable unless --stale is given.",
            "flotilla get hello", "prints the value and a newline; exit code 3 if there is none",
            "flotilla get hello --output json", "with its version",
            "flotilla get {ann}name {ann}mail", "both as they are at one moment: key, tab, value; keys with one hash tag share a shard",
            "flotilla get photo --raw > cat.jpg", "the bytes as they are")
    {
        Add(_keys);
        Use(Stale, Raw);
        Use(CommonFlags.Client);
    }

    /// <inheritdoc/>
    public override async Task<int> RunAsync(Invocation invocation)
    {
        var keys = KeyArgument.Read(invocation, _keys);
        var json = CommonFlags.Json(invocation);
        var raw = invocation.Get(Raw);
        using var client = new FlotillaClient(CommonFlags.ClientOptions(invocation));
        if (keys.Length > 1)
        {
            return raw ? throw new UsageException("--raw is for one key: with several it could not be told where a value ends") : await SeveralAsync(invocation, client, keys, json);
        }

        var key = keys[0];
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

    // Also what is there is printed when something is missing: exit code 3 says that it is not all.
    private static async Task<int> SeveralAsync(Invocation invocation, FlotillaClient client, string[] keys, bool json)
    {
        var shell = invocation.Shell;
        var result = await client.GetManyAsync([.. keys.Select(static key => (ReadOnlyMemory<byte>)Encoding.UTF8.GetBytes(key))], invocation.Get(Stale), shell.Stop);
        if (result.Document is not { } found)
        {
            return CommonFlags.Explain(invocation, result.Outcome, result.Error);
        }

        foreach (var record in found.Items)
        {
            if (json)
            {
                Json.WriteLine(shell.Out, record);
            }
            else
            {
                shell.Out.WriteLine($"{Printable.Field(RecordBytes.KeyOf(record), shell.OutIsTerminal)}\t{Printable.Field(RecordBytes.ValueOf(record), shell.OutIsTerminal)}");
            }
        }

        foreach (var missing in found.Missing)
        {
            await shell.Err.WriteLineAsync($"flotilla get: there is no {missing.Key ?? missing.KeyBase64}");
        }

        return found.Missing.Count > 0 ? ExitCode.NotFound : ExitCode.Done;
    }
}
