using System.Diagnostics;
using System.Globalization;
using Flotilla.Cli.Flags;
using Flotilla.Cli.Output;
using Flotilla.Cli.Status;
using Flotilla.Client;
using Spectre.Console;

namespace Flotilla.Cli.Commands;

/// <summary><c>flotilla monitor</c>.</summary>
internal sealed class MonitorCommand : CliCommand
{
    private static readonly Flag<TimeSpan> Interval = new("--interval", "TIME", "How often to look", Readers.Time(TimeSpan.FromMilliseconds(50), TimeSpan.FromHours(1)), "1s");
    private static readonly Flag<int> Count = new("--count", "N", "Look so many times; until Ctrl-C by default", Readers.Number(1, int.MaxValue));

    public MonitorCommand()
        : base(
            "monitor",
            "Shows the cluster live: roles, terms, indexes, entries committed per second. Lines instead of a live view when the output is no terminal.",
            "flotilla monitor", "until Ctrl-C",
            "flotilla monitor --interval 500ms --count 10 --output json", "ten moments as JSON lines")
    {
        Use(Interval, Count);
        Use(CommonFlags.Client);
    }

    /// <inheritdoc/>
    public override async Task<int> RunAsync(Invocation invocation)
    {
        var shell = invocation.Shell;
        var json = CommonFlags.Json(invocation);
        var interval = invocation.Get(Interval);
        var left = invocation.TryGet(Count, out var count) ? count : int.MaxValue;
        var options = CommonFlags.ClientOptions(invocation);

        // A monitor shows an outage rather than wait for its end.
        using var client = new FlotillaClient(options with { Timeout = options.Timeout < TimeSpan.FromSeconds(2) ? options.Timeout : TimeSpan.FromSeconds(2) });
        if (json || !shell.OutIsTerminal)
        {
            var first = true;
            return await LoopAsync(client, interval, left, async sample =>
            {
                if (json)
                {
                    Json.WriteLine(shell.Out, sample);
                }
                else
                {
                    WriteLines(shell, sample, first);
                }

                first = false;
                await shell.Out.FlushAsync(CancellationToken.None);
            }, shell.Stop);
        }

        var console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(shell.Out) });
        var exit = ExitCode.Done;
        await console.Live(new Text("looking …")).AutoClear(false).StartAsync(async live =>
        {
            exit = await LoopAsync(client, interval, left, async sample =>
            {
                live.UpdateTarget(View(sample));
                live.Refresh();
                await shell.Out.FlushAsync(CancellationToken.None);
            }, shell.Stop);
        });
        return exit;
    }

    private static async Task<int> LoopAsync(FlotillaClient client, TimeSpan interval, int left, Func<MonitorSample, Task> show, CancellationToken stop)
    {
        ClusterOverview? before = null;
        var lookedAt = 0L;
        var anything = false;
        using var timer = new PeriodicTimer(interval);
        try
        {
            while (true)
            {
                var now = Stopwatch.GetTimestamp();
                var result = await ClusterOverview.CollectAsync(client, stop);
                var rates = new Dictionary<int, double>();
                if (result.Document is { } overview)
                {
                    anything = true;
                    foreach (var shard in overview.Shards)
                    {
                        var old = before?.Shards.FirstOrDefault(s => s.Id == shard.Id);
                        rates[shard.Id] = old is null || shard.CommitIndex < old.CommitIndex ? 0 : Math.Round((shard.CommitIndex - old.CommitIndex) / Stopwatch.GetElapsedTime(lookedAt, now).TotalSeconds, 1);
                    }

                    (before, lookedAt) = (overview, now);
                }

                await show(new MonitorSample(DateTimeOffset.UtcNow.ToString("O", CultureInfo.InvariantCulture), result.Document, rates, result.Error?.Message));
                if (--left == 0)
                {
                    return anything ? ExitCode.Done : ExitCode.Unavailable;
                }

                _ = await timer.WaitForNextTickAsync(stop);
            }
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            // Ctrl-C is how one leaves a monitor.
            return anything ? ExitCode.Done : ExitCode.Unavailable;
        }
    }

    private static void WriteLines(Shell shell, MonitorSample sample, bool first)
    {
        if (first)
        {
            shell.Out.WriteLine("#time\tshard\tnode\trole\tterm\tcommit\tapplied\tlast\tlag\tentries/s");
        }

        if (sample.Overview is null)
        {
            shell.Err.WriteLine($"{sample.Time} unavailable: {sample.Error}");
            return;
        }

        foreach (var shard in sample.Overview.Shards)
        {
            foreach (var replica in shard.Replicas)
            {
                shell.Out.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{sample.Time}\t{shard.Id}\t{replica.Node}\t{replica.Role}\t{replica.Term}\t{replica.CommitIndex}\t{replica.LastApplied}\t{replica.LastLogIndex}\t{replica.Lag}\t{sample.EntriesPerSecond.GetValueOrDefault(shard.Id):0.#}"));
            }
        }
    }

    private static Rows View(MonitorSample sample)
    {
        if (sample.Overview is not { } overview)
        {
            return new Rows(new Text($"{sample.Time}  unavailable: {sample.Error}", new Style(Color.Red)));
        }

        var nodes = overview.Nodes.Select(n => n.Id).ToList();
        var table = new Table { Border = TableBorder.Rounded, Title = new TableTitle("shards: role term commit/applied") };
        table.AddColumns("shard", "leader", "entries/s", "keys");
        foreach (var node in overview.Nodes)
        {
            table.AddColumn(new TableColumn(new Text(node.Answers ? node.Id : $"{node.Id} (silent)", new Style(node.Answers ? Color.Default : Color.Red))));
        }

        foreach (var shard in overview.Shards)
        {
            var cells = new List<Text>
            {
                new(shard.Id.ToString(CultureInfo.InvariantCulture)),
                new(shard.Leader ?? "none", new Style(shard.Leader is null ? Color.Red : Color.Green)),
                new(sample.EntriesPerSecond.GetValueOrDefault(shard.Id).ToString("N0", CultureInfo.InvariantCulture)),
                new(shard.Keys.ToString("N0", CultureInfo.InvariantCulture)),
            };
            foreach (var node in nodes)
            {
                var replica = shard.Replicas.FirstOrDefault(r => string.Equals(r.Node, node, StringComparison.Ordinal));
                cells.Add(replica is null
                    ? new Text("-", new Style(Color.Grey))
                    : new Text(
                        string.Create(CultureInfo.InvariantCulture, $"{replica.Role} t{replica.Term} {replica.CommitIndex}/{replica.LastApplied}"),
                        new Style(replica.Role switch { "leader" => Color.Green, "candidate" => Color.Yellow, _ => Color.Default })));
            }

            table.AddRow(cells);
        }

        return new Rows(StatusCommand.Nodes(overview).ToTable(), table, new Text($"{sample.Time}   Ctrl-C ends"));
    }
}
