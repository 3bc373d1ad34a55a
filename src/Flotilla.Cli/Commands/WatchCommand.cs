using System.CommandLine;
using System.Text;
using Flotilla.Cli.Flags;
using Flotilla.Cli.Output;
using Flotilla.Client;

namespace Flotilla.Cli.Commands;

/// <summary><c>flotilla watch</c>.</summary>
internal sealed class WatchCommand : CliCommand
{
    private static readonly Flag<string> Prefix = new("--prefix", "TEXT", "Only keys that begin so", Readers.Text);
    private static readonly Flag<string> From = new("--from", "CURSOR", "Go on behind this cursor instead of now", Readers.SomeText);
    private static readonly Flag<int> Count = new("--count", "N", "End after so many changes; at Ctrl-C by default", Readers.Number(1, int.MaxValue));

    private readonly Argument<string?> _key = new("KEY") { Description = "The key; all keys if it is left out", Arity = ArgumentArity.ZeroOrOne };

    public WatchCommand()
        : base(
            "watch",
            "Prints changes of records as they happen: what (put, delete, expire), key, value, version. Goes on at another endpoint by itself; nothing is missed and nothing comes twice.",
            "flotilla watch --prefix user/", "everything below user/, until Ctrl-C",
            "flotilla watch hello --output json", "one key; JSON lines with the cursor behind each change",
            "flotilla watch --from AV2lW8cJ…", "goes on where another watch ended, which says so as it ends")
    {
        Add(_key);
        Use(Prefix, From, Count);
        Use(CommonFlags.Client);
    }

    /// <inheritdoc/>
    public override async Task<int> RunAsync(Invocation invocation)
    {
        var shell = invocation.Shell;
        var json = CommonFlags.Json(invocation);
        var left = invocation.TryGet(Count, out var count) ? count : int.MaxValue;
        using var watch = Begin(invocation);
        try
        {
            await foreach (var change in watch.ReadAsync(shell.Stop))
            {
                Write(shell, change, json);
                await shell.Out.FlushAsync(CancellationToken.None);
                if (--left == 0)
                {
                    break;
                }
            }
        }
        catch (OperationCanceledException) when (shell.Stop.IsCancellationRequested)
        {
            // Ctrl-C is how one leaves a watch.
        }
        catch (WatchEndedException e) when (string.Equals(e.Error.Code, "compacted", StringComparison.Ordinal))
        {
            shell.Err.WriteLine($"the cursor is too old (compacted): {e.Error.Message} To go on without a gap is not possible: read the records anew (flotilla scan), and watch without --from.");
            return ExitCode.Failed;
        }
        catch (WatchEndedException e)
        {
            SayWhere(shell, watch);
            return CommonFlags.Explain(invocation, e.Outcome, e.Error);
        }

        SayWhere(shell, watch);
        return ExitCode.Done;
    }

    private FlotillaWatch Begin(Invocation invocation)
    {
        var options = CommonFlags.ClientOptions(invocation);
        var from = invocation.TryGet(From, out var cursor) ? cursor : null;
        var hasPrefix = invocation.TryGet(Prefix, out var prefix);
        if (invocation.Argument(_key) is null)
        {
            return FlotillaWatch.Prefix(options, Encoding.UTF8.GetBytes(prefix ?? ""), from);
        }

        return hasPrefix
            ? throw new UsageException("watch takes a KEY or --prefix, not both")
            : FlotillaWatch.Key(options, Encoding.UTF8.GetBytes(KeyArgument.Read(invocation, _key!)), from);
    }

    private static void Write(Shell shell, WatchedChange change, bool json)
    {
        var record = change.Record;
        if (json)
        {
            Json.WriteLine(shell.Out, new WatchLine(change.Kind, record.Key, record.KeyBase64, record.Value, record.ValueBase64, record.Version, change.Cursor));
            return;
        }

        var key = Printable.Field(RecordBytes.KeyOf(record), shell.OutIsTerminal);
        var value = Printable.Field(RecordBytes.ValueOf(record), shell.OutIsTerminal);
        shell.Out.WriteLine(shell.OutIsTerminal ? $"{change.Kind,-6}  {key,-24}  {value,-24}  {record.Version}" : $"{change.Kind}\t{key}\t{value}\t{record.Version}");
    }

    private static void SayWhere(Shell shell, FlotillaWatch watch)
    {
        if (watch.Cursor is { } cursor)
        {
            shell.Err.WriteLine($"to go on from here: --from {cursor}");
        }
    }
}

/// <summary>A change as a line of JSON.</summary>
internal sealed record WatchLine(string Event, string? Key, string? KeyBase64, string? Value, string? ValueBase64, string Version, string Cursor);
