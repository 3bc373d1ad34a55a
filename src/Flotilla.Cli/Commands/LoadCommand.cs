using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using Flotilla.Cli.Flags;
using Flotilla.Cli.Load;
using Flotilla.Cli.Output;
using Flotilla.Client;

namespace Flotilla.Cli.Commands;

/// <summary><c>flotilla load</c>.</summary>
internal sealed class LoadCommand : CliCommand
{
    private static readonly Flag<string> Format = new("--format", "tsv|json", "How the input is written; by default its name or its first line says so", Readers.OneOf("tsv", "json"));
    private static readonly Flag<int> Clients = new("--clients", "N", "How many puts to have under way at a time", Readers.Number(1, 4096), "64");
    private static readonly Flag<string> ProgressFile = new("--progress-file", "FILE", "Where to remember how far it came; by default FILE.flotilla-progress beside the input, and nowhere for standard input", Readers.SomeText);
    private static readonly Toggle SkipBad = new("--skip-bad", "Report bad lines and go on, instead of stopping at the first");
    private static readonly Toggle ExactlyOnce = new("--exactly-once", "Send each put under an idempotency key, for a file that has a key on several lines, or keys that others write meanwhile");
    private static readonly Flag<TimeSpan> GiveUpAfter = new("--give-up-after", "TIME", "Stop once nothing could be stored for so long", Readers.Time(TimeSpan.FromMilliseconds(1), TimeSpan.FromDays(365)), "1m");

    private readonly Argument<string> _file = new("FILE") { Description = "The input, - for standard input" };

    public LoadCommand()
        : base(
            "load",
            "Puts the records of a file: lines key<TAB>value, or JSON lines {\"key\":…,\"value\":…}. Interrupted, it goes on where it was when the same command is run again.",
            "flotilla load words.tsv", "with a progress bar",
            "flotilla load words.tsv", "run again after Ctrl-C: goes on",
            "flotilla scan --output json | flotilla load - --endpoint http://other:3000", "copies one cluster into another",
            "flotilla load dump.jsonl --skip-bad --clients 256", "reports bad lines and goes on")
    {
        Add(_file);
        Use(Format, Clients, ProgressFile, SkipBad, ExactlyOnce, GiveUpAfter);
        Use(CommonFlags.Client);
    }

    /// <inheritdoc/>
    public override async Task<int> RunAsync(Invocation invocation)
    {
        var shell = invocation.Shell;
        var file = invocation.Argument(_file)!;
        var fromInput = string.Equals(file, "-", StringComparison.Ordinal);
        var format = invocation.TryGet(Format, out var name) ? FormatNamed(name) : RecordReader.FormatOf(file);
        var progressFile = invocation.TryGet(ProgressFile, out var path) ? path : fromInput ? null : file + ".flotilla-progress";
        var json = CommonFlags.Json(invocation);
        var clients = invocation.Get(Clients);
        var skipBad = invocation.Get(SkipBad);
        var patience = invocation.Get(GiveUpAfter);

        // Without keys unless asked: to put a line again is the same as to put it once, and the loader does it by itself. Keys
        // for millions of records would only cost the cluster time and memory.
        var options = CommonFlags.ClientOptions(invocation) with { DirectRouting = true, MaxIdleConnections = clients, ExactlyOnce = invocation.Get(ExactlyOnce) };

        await using var input = fromInput ? shell.StdIn() : Open(file);
        Checkpoint? begin;
        try
        {
            begin = progressFile is null ? null : Checkpoint.Read(progressFile);
        }
        catch (FormatException problem)
        {
            throw new IOException(problem.Message, problem);
        }

        if (begin is not null && !await GoToAsync(input, begin, fromInput, shell.Stop))
        {
            throw new IOException($"{file} is not what {progressFile} tells of: it has changed since. Remove {progressFile} to begin anew.");
        }

        begin ??= new Checkpoint(0, 0, 0, "");
        if (begin.Line > 0)
        {
            await shell.Err.WriteLineAsync(string.Create(CultureInfo.InvariantCulture, $"goes on behind line {begin.Line} ({begin.Records:N0} records are done; remove {progressFile} to begin anew)"));
        }

        var started = Stopwatch.GetTimestamp();
        var acks = new AckTracker(begin.Offset, begin.Line, begin.Records);
        var progress = new ProgressLine(shell.Err, shell.ErrIsTerminal, fromInput ? 0 : input.Length, begin.Offset);
        using var client = new FlotillaClient(options);
        var loader = new Loader(client, clients, skipBad, patience, warning => shell.Err.WriteLine($"flotilla load: {warning}"));
        var reader = new RecordReader(input, format ?? FormatNamed(begin.Format), begin.Offset, begin.Line);
        var loading = loader.RunAsync(reader, acks, shell.Stop);
        await ReportAsync(loading, acks, reader, progress, progressFile, fromInput ? null : file);
        await loading;

        var complete = loader.Failure is null && !shell.Stop.IsCancellationRequested;
        var seconds = Stopwatch.GetElapsedTime(started).TotalSeconds;
        var report = new LoadReport(acks.Acknowledged, loader.Bad, loader.Repeated, begin.Line, Math.Round(seconds, 3), Math.Round(acks.Acknowledged / Math.Max(seconds, 0.001), 1), complete);
        if (json)
        {
            Json.WriteLine(shell.Out, report);
        }

        var extras = (report.Bad > 0 ? $", {report.Bad} bad lines passed over" : "") + (report.Repeated > 0 ? $", {report.Repeated} puts repeated after an unknown outcome" : "");
        await shell.Err.WriteLineAsync(string.Create(CultureInfo.InvariantCulture, $"{(complete ? "loaded" : "stopped after")} {report.Records:N0} records in {seconds:0.0} s ({report.PerSecond:N0}/s){extras}"));
        if (complete)
        {
            if (progressFile is not null)
            {
                File.Delete(progressFile);
            }

            return ExitCode.Done;
        }

        if (loader.Failure is { } failure)
        {
            await shell.Err.WriteLineAsync($"flotilla load: {failure.Message}");
        }

        await shell.Err.WriteLineAsync(progressFile is null
            ? "Nothing remembers how far it came: with --progress-file FILE a load from standard input can go on. Putting the same records again does no harm."
            : string.Create(CultureInfo.InvariantCulture, $"Everything up to line {acks.Done.Line} is stored. Run the same command again to go on there."));
        return loader.Failure?.ExitCode ?? ExitCode.Interrupted;
    }

    private static async Task ReportAsync(Task loading, AckTracker acks, RecordReader reader, ProgressLine progress, string? progressFile, string? file)
    {
        var savedAt = Stopwatch.GetTimestamp();
        while (!loading.IsCompleted)
        {
            await Task.WhenAny(loading, Task.Delay(ProgressLine.Interval, CancellationToken.None));
            progress.Show(acks.Acknowledged, acks.Done.Offset);
            if (Stopwatch.GetElapsedTime(savedAt) > TimeSpan.FromSeconds(1) || loading.IsCompleted)
            {
                savedAt = Stopwatch.GetTimestamp();
                Save(acks, reader, progressFile, file);
            }
        }

        progress.Clear();
    }

    private static void Save(AckTracker acks, RecordReader reader, string? progressFile, string? file)
    {
        var done = acks.Done;
        if (progressFile is not null && done.Line > 0)
        {
            new Checkpoint(done.Offset, done.Line, done.Records, file is null ? "" : Fingerprint(file, done.Offset), reader.Format == RecordFormat.Json ? "json" : "tsv").Write(progressFile);
        }
    }

    private static RecordFormat? FormatNamed(string? name) => name switch
    {
        "json" => RecordFormat.Json,
        "tsv" => RecordFormat.Tsv,
        _ => null,
    };

    private static string Fingerprint(string file, long offset)
    {
        using var again = Open(file);
        return Checkpoint.FingerprintOf(again, offset);
    }

    /// <summary>Goes to where the checkpoint stands. False if the input can't be the one it tells of.</summary>
    private static async Task<bool> GoToAsync(Stream input, Checkpoint checkpoint, bool fromInput, CancellationToken cancel)
    {
        if (!fromInput)
        {
            if (input.Length < checkpoint.Offset || !string.Equals(Checkpoint.FingerprintOf(input, checkpoint.Offset), checkpoint.Fingerprint, StringComparison.Ordinal))
            {
                return false;
            }

            input.Position = checkpoint.Offset;
            return true;
        }

        // Standard input can't be sought in: what is done is read and dropped.
        var scratch = new byte[64 << 10];
        for (var left = checkpoint.Offset; left > 0;)
        {
            var read = await input.ReadAsync(scratch.AsMemory(0, (int)Math.Min(left, scratch.Length)), cancel);
            if (read == 0)
            {
                return false;
            }

            left -= read;
        }

        return true;
    }

    private static FileStream Open(string file)
    {
        try
        {
            return new FileStream(file, FileMode.Open, FileAccess.Read, FileShare.ReadWrite, 1, FileOptions.Asynchronous | FileOptions.SequentialScan);
        }
        catch (Exception problem) when (problem is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new IOException($"there is no file {file}", problem);
        }
        catch (UnauthorizedAccessException problem)
        {
            throw new IOException($"{file} can't be read: it is a directory, or not ours to read", problem);
        }
    }
}
