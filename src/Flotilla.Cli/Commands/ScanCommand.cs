using System.Text;
using Flotilla.Cli.Flags;
using Flotilla.Cli.Output;
using Flotilla.Client;

namespace Flotilla.Cli.Commands;

/// <summary><c>flotilla scan</c>.</summary>
internal sealed class ScanCommand : CliCommand
{
    private const int PageSize = 1000;
    private static readonly Flag<string> Prefix = new("--prefix", "TEXT", "Only keys that begin so", Readers.Text, "");
    private static readonly Flag<int> Limit = new("--limit", "N", "At most so many records; all by default", Readers.Number(1, int.MaxValue));
    private static readonly Toggle KeysOnly = new("--keys", "Print keys alone");

    public ScanCommand()
        : base(
            "scan",
            "Prints records in key order: key, tab, value. With --output json one record per line, as `load` reads them.",
            "flotilla scan --prefix user/ --limit 10", "the first ten keys that begin so",
            "flotilla scan --output json > all.jsonl", "everything, in a form that `flotilla load` reads again",
            "flotilla scan --keys | wc -l", "counts")
    {
        Use(Prefix, Limit, KeysOnly);
        Use(CommonFlags.Client);
    }

    /// <inheritdoc/>
    public override async Task<int> RunAsync(Invocation invocation)
    {
        var shell = invocation.Shell;
        var json = CommonFlags.Json(invocation);
        var keysOnly = invocation.Get(KeysOnly);
        var left = invocation.TryGet(Limit, out var limit) ? limit : int.MaxValue;
        using var client = new FlotillaClient(CommonFlags.ClientOptions(invocation));
        await foreach (var page in client.ScanAsync(Encoding.UTF8.GetBytes(invocation.Get(Prefix)), Math.Min(left, PageSize), shell.Stop))
        {
            if (page.Document is null)
            {
                // What was printed so far is right; that it is not all must be heard.
                await shell.Out.FlushAsync(shell.Stop);
                return CommonFlags.Explain(invocation, page.Outcome, page.Error);
            }

            foreach (var record in page.Document.Items)
            {
                if (json)
                {
                    Json.WriteLine(shell.Out, keysOnly ? record with { Value = null, ValueBase64 = null } : record);
                }
                else
                {
                    var key = Printable.Field(RecordBytes.KeyOf(record), shell.OutIsTerminal);
                    shell.Out.WriteLine(keysOnly ? key : $"{key}\t{Printable.Field(RecordBytes.ValueOf(record), shell.OutIsTerminal)}");
                }

                if (--left == 0)
                {
                    return ExitCode.Done;
                }
            }
        }

        return ExitCode.Done;
    }
}
