using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using Flotilla.Cli.Backup;
using Flotilla.Cli.Flags;
using Flotilla.Cli.Load;
using Flotilla.Cli.Output;
using Flotilla.Client;
using Flotilla.Wire.Backups;

namespace Flotilla.Cli.Commands;

/// <summary><c>flotilla restore</c>.</summary>
internal sealed class RestoreCommand : CliCommand
{
    private static readonly Toggle Force = new("--force", "Restore into a cluster that holds records: those with the same keys are written over, all others stay");
    private static readonly Flag<int> Clients = new("--clients", "N", "How many puts to have under way at a time", Readers.Number(1, 4096), "64");
    private static readonly Flag<TimeSpan> GiveUpAfter = new("--give-up-after", "TIME", "Stop once nothing could be stored for so long", Readers.Time(TimeSpan.FromMilliseconds(1), TimeSpan.FromDays(365)), "1m");

    private readonly Argument<string> _file = new("FILE") { Description = "A file that `flotilla backup` wrote" };

    public RestoreCommand()
        : base(
            "restore",
            "Puts the records of a backup into a new cluster with any number of shards and nodes, each with the rest of its time to live. The whole file is checked first: a damaged one is refused and nothing is written. Idempotency keys come back too, so that a write that is sent again is still executed once. Versions are new; sessions do not come back.",
            "flotilla restore monday.flotilla", "into an empty cluster, with progress on a terminal",
            "flotilla restore monday.flotilla --force", "into one that holds records; also after Ctrl-C")
    {
        Add(_file);
        Use(Force, Clients, GiveUpAfter);
        Use(CommonFlags.Client);
    }

    /// <inheritdoc/>
    public override async Task<int> RunAsync(Invocation invocation)
    {
        var shell = invocation.Shell;
        var file = invocation.Argument(_file)!;
        var clients = invocation.Get(Clients);
        BackupSummary? found;
        SlotCover counting;
        using (var check = BackupReader.Open(file))
        {
            found = await BackupCommand.CheckAsync(invocation, check, "restore", file);
            counting = check.Cover;
        }

        if (found is null)
        {
            return ExitCode.Failed;
        }

        // Nobody else writes these keys, so that to put a record again is the same as to put it once; and a time to live is
        // reckoned anew for each attempt. Keys for millions of records would only cost the cluster memory.
        using var client = new FlotillaClient(CommonFlags.ClientOptions(invocation) with { DirectRouting = true, MaxIdleConnections = clients, ExactlyOnce = false });
        if (!invocation.Get(Force))
        {
            var first = await client.ListAsync(default, 1, null, shell.Stop);
            if (first.Document is not { } page)
            {
                return CommonFlags.Explain(invocation, first.Outcome, first.Error);
            }

            if (page.Items.Count > 0)
            {
                await shell.Err.WriteLineAsync($"flotilla restore: this cluster holds records, {Printable.Field(RecordBytes.KeyOf(page.Items[0]), terminal: true)} for one. Nothing was written. Restore into a new cluster (--endpoint), or write over records with the same keys with --force.");
                return ExitCode.Failed;
            }
        }

        var started = Stopwatch.GetTimestamp();
        var restorer = new Restorer(client, clients, invocation.Get(GiveUpAfter), warning => shell.Err.WriteLine($"flotilla restore: {warning}"));
        var progress = new ProgressLine(shell.Err, shell.ErrIsTerminal, Math.Max(1, found.Records), 0);
        using (var backup = BackupReader.Open(file))
        {
            var restoring = Task.Run(() => restorer.RunAsync(backup, counting, shell.Stop), CancellationToken.None);
            while (!restoring.IsCompleted)
            {
                await Task.WhenAny(restoring, Task.Delay(ProgressLine.Interval, CancellationToken.None));
                progress.Show(restorer.Restored, restorer.Restored + restorer.Expired);
            }

            progress.Clear();
            try
            {
                await restoring;
            }
            catch (BackupDamagedException damage)
            {
                await shell.Err.WriteLineAsync($"flotilla restore: {file} has changed since it was checked: {damage.Message}. {restorer.Restored} records were stored; empty the cluster before you restore another backup.");
                return ExitCode.Failed;
            }
        }

        var complete = restorer.Failure is null && restorer.Restored + restorer.Expired == found.Records;
        var seconds = Stopwatch.GetElapsedTime(started).TotalSeconds;
        if (CommonFlags.Json(invocation))
        {
            Json.WriteLine(shell.Out, new RestoreReport(
                restorer.Restored, restorer.Expired, restorer.Repeated, restorer.IdempotencyKeys, Math.Round(seconds, 3), Math.Round(restorer.Restored / Math.Max(seconds, 0.001), 1), complete, found.Content));
        }

        var extras = (restorer.IdempotencyKeys > 0 ? $", and {restorer.IdempotencyKeys:N0} idempotency keys" : "") + (restorer.Expired > 0 ? $", {restorer.Expired} left out that have expired" : "") + (restorer.Repeated > 0 ? $", {restorer.Repeated} puts repeated after an unknown outcome" : "");
        await shell.Err.WriteLineAsync(string.Create(
            CultureInfo.InvariantCulture,
            $"{(complete ? "restored" : "stopped after")} {restorer.Restored:N0} of {found.Records:N0} records in {seconds:0.0} s ({restorer.Restored / Math.Max(seconds, 0.001):N0}/s){extras}, content {found.Content}"));
        if (complete)
        {
            return ExitCode.Done;
        }

        if (restorer.Failure is { } failure)
        {
            await shell.Err.WriteLineAsync($"flotilla restore: {failure.Message}");
        }

        await shell.Err.WriteLineAsync("Run the same command with --force to do it again from the beginning: putting the same records twice does no harm.");
        return restorer.Failure?.ExitCode ?? ExitCode.Interrupted;
    }
}
