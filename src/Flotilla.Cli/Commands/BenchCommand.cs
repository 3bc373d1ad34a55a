using System.Globalization;
using Flotilla.Cli.Bench;
using Flotilla.Cli.Flags;
using Flotilla.Cli.Output;
using Flotilla.Client;

namespace Flotilla.Cli.Commands;

/// <summary><c>flotilla bench</c>.</summary>
internal sealed class BenchCommand : CliCommand
{
    /// <summary>A value this long holds run, worker and sequence, so that no two writes are alike.</summary>
    private const int SmallestUniqueValue = 32;

    private static readonly Flag<string> Mix = new("--mix", "put|get|mixed", "What to do", Readers.OneOf("put", "get", "mixed"), "put");
    private static readonly Flag<double> ReadRatio = new("--read-ratio", "0..1", "The share of reads in a mixed run", Readers.Fraction(0, 1), "0.5");
    private static readonly Flag<int> Clients = new("--clients", "N", "Clients, each with one operation at a time", Readers.Number(1, 4096), "64");
    private static readonly Flag<TimeSpan> Duration = new("--duration", "TIME", "How long to measure", Readers.Time(TimeSpan.FromMilliseconds(100), TimeSpan.FromDays(7)), "10s");
    private static readonly Flag<TimeSpan> WarmUp = new("--warm-up", "TIME", "How long to run before measuring", Readers.Time(TimeSpan.Zero, TimeSpan.FromHours(1)), "2s");
    private static readonly Flag<int> Keys = new("--keys", "N", "How many keys there are", Readers.Number(1, 100_000_000), "10000");
    private static readonly Flag<long> KeySize = new("--key-size", "SIZE", "Bytes of a key", Readers.Size(2, 4096), "16");
    private static readonly Flag<long> ValueSize = new("--value-size", "SIZE", "Bytes of a value", Readers.Size(0, 64 << 20), "100");
    private static readonly Flag<string> Distribution = new("--distribution", "uniform|zipf", "Which keys: all alike, or a few very often (Zipf 0.99)", Readers.OneOf("uniform", "zipf"), "uniform");
    private static readonly Flag<string> Transport = new("--transport", "http", "How to talk to the cluster", Readers.OneOf("http"), "http");
    private static readonly Flag<string> Routing = new("--routing", "direct|any", "Ask the leader of the key's shard, or the endpoints in turn", Readers.OneOf("direct", "any"), "direct");
    private static readonly Flag<TimeSpan> OperationTimeout = new("--op-timeout", "TIME", "How long to wait for one answer before it counts as unknown (a write) or is asked elsewhere (a read)", Readers.Time(TimeSpan.FromMilliseconds(1), TimeSpan.FromHours(1)), "500ms");
    private static readonly Flag<string> History = new("--history", "FILE", "Record every operation as a JSON line, for the linearizability checker", Readers.SomeText);
    private static readonly Flag<int> Seed = new("--seed", "N", "Seed of the choice of keys", Readers.Number(0, int.MaxValue), "1");
    private static readonly Toggle Once = new("--exactly-once", "Send writes under idempotency keys, as the other commands do, and again when their outcome is unknown");
    private static readonly Toggle NoFill = new("--no-fill", "Don't write every key once before a run with reads");

    public BenchCommand()
        : base(
            "bench",
            "Measures: a closed loop of clients, with percentiles, errors by code, and the longest window without a successful write.",
            "flotilla bench", "puts with 64 clients for 10 s",
            "flotilla bench --mix mixed --read-ratio 0.9 --clients 256 --duration 1m", "nine reads to a write",
            "flotilla bench --distribution zipf --history ops.jsonl --output json", "records every operation; the report as JSON")
    {
        Use(Mix, ReadRatio, Clients, Duration, WarmUp, Keys, KeySize, ValueSize, Distribution, Routing, Transport, OperationTimeout, History, Seed, Once, NoFill);
        Use(CommonFlags.Client);
    }

    /// <inheritdoc/>
    public override async Task<int> RunAsync(Invocation invocation)
    {
        var shell = invocation.Shell;
        var json = CommonFlags.Json(invocation);
        var mix = invocation.Get(Mix);
        var ratio = mix switch { "put" => 0, "get" => 1, _ => invocation.Get(ReadRatio) };
        _ = invocation.Get(Transport);
        var plan = new BenchPlan
        {
            Mix = mix,
            ReadRatio = ratio,
            Clients = invocation.Get(Clients),
            Duration = invocation.Get(Duration),
            WarmUp = invocation.Get(WarmUp),
            Keys = invocation.Get(Keys),
            KeyBytes = (int)invocation.Get(KeySize),
            ValueBytes = (int)invocation.Get(ValueSize),
            Zipf = string.Equals(invocation.Get(Distribution), "zipf", StringComparison.Ordinal),
            Fill = ratio > 0 && !invocation.Get(NoFill),
            Seed = invocation.Get(Seed),
        };
        if (plan.KeyBytes < KeyChooser.SmallestKeyBytes(plan.Keys))
        {
            throw new UsageException($"--key-size: {plan.Keys} keys need at least {KeyChooser.SmallestKeyBytes(plan.Keys)} bytes");
        }

        var recorded = invocation.TryGet(History, out var historyFile);
        if (recorded && plan.ValueBytes < SmallestUniqueValue)
        {
            throw new UsageException($"--value-size: a history needs values of at least {SmallestUniqueValue} bytes, so that no two writes are alike");
        }

        var operationTimeout = invocation.Get(OperationTimeout);
        var direct = string.Equals(invocation.Get(Routing), "direct", StringComparison.Ordinal);
        using var client = new FlotillaClient(CommonFlags.ClientOptions(invocation) with
        {
            DirectRouting = direct,

            // Of the endpoints that stand for "whatever dev has started" only the first that answers is meant.
            Spread = !direct && invocation.Has(CommonFlags.Endpoint),
            MaxIdleConnections = plan.Clients + 8,

            // What is measured is the store, attempt by attempt, unless the keys are what somebody wants to measure.
            ExactlyOnce = invocation.Get(Once),
            WriteAttemptTimeout = operationTimeout,
            ReadAttemptTimeout = operationTimeout,
            ConnectTimeout = operationTimeout,
        });
        await using var history = recorded ? new HistoryWriter(historyFile) : null;
        var report = await new BenchRun(plan, client, history, line => shell.Err.WriteLine(line)).RunAsync(shell.Stop);
        if (report is null)
        {
            return ExitCode.Unavailable;
        }

        if (json)
        {
            Json.WriteLine(shell.Out, report);
        }
        else
        {
            Write(shell, report);
        }

        return report.Operations > 0 ? ExitCode.Done : report.Refused > 0 ? ExitCode.Failed : ExitCode.Unavailable;
    }

    private static void Write(Shell shell, BenchReport report)
    {
        var totals = new Grid($"{report.Mix}, {report.Clients} clients, {report.Seconds:0.0} s", "operation", "count", "per second", "mean ms", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "max ms");
        foreach (var (name, latency) in new[] { ("put", report.Writes), ("get", report.Reads) })
        {
            if (latency is not null)
            {
                totals.Add(name, Text(latency.Count), Text(latency.Count / report.Seconds), Ms(latency.Mean), Ms(latency.P50), Ms(latency.P90), Ms(latency.P99), Ms(latency.P999), Ms(latency.Max));
            }
        }

        totals.Write(shell);
        if (report.LongestWriteGap is { } longest)
        {
            var gaps = new Grid("longest window without a successful write", "shard", "ms", "began at s");
            gaps.Add("all", Fraction(longest.Milliseconds), Fraction(longest.BeganAtSecond));
            foreach (var gap in report.WriteGapsByShard)
            {
                gaps.Add(Text(gap.Shard ?? 0), Fraction(gap.Milliseconds), Fraction(gap.BeganAtSecond));
            }

            gaps.Write(shell);
        }

        if (report.Errors.Count > 0)
        {
            var errors = new Grid($"errors ({report.UnknownWrites} writes of unknown outcome)", "code", "count");
            foreach (var (code, count) in report.Errors)
            {
                errors.Add(code, Text(count));
            }

            errors.Write(shell);
        }

        shell.Err.WriteLine(string.Create(CultureInfo.InvariantCulture, $"client CPU: {report.ClientCpuSeconds:0.00} s, {report.ClientCpuMicrosecondsPerOperation:0.0} us per operation"));
    }

    private static string Text(double number) => number.ToString("0", CultureInfo.InvariantCulture);

    private static string Fraction(double number) => number.ToString("0.0##", CultureInfo.InvariantCulture);

    private static string Ms(double microseconds) => (microseconds / 1000).ToString("0.00", CultureInfo.InvariantCulture);
}
