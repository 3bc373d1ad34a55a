using System.Text;
using System.Text.Json;
using Flotilla.Cli.Bench;
using Flotilla.Cli.Tests.Fakes;
using Flotilla.Client;
using Flotilla.Contracts.Http;

namespace Flotilla.Cli.Tests.Bench;

/// <summary>What the benchmark counts, and what it says.</summary>
public sealed class Measuring
{
    [Fact]
    public void Percentiles_are_right_within_one_percent_of_exact_ones()
    {
        var random = new Random(3);
        var histogram = new LatencyHistogram();
        var exact = new List<long>();
        for (var i = 0; i < 100_000; i++)
        {
            var value = (long)Math.Exp(random.NextDouble() * 20);
            exact.Add(value);
            histogram.Record(value);
        }

        exact.Sort();
        foreach (var percent in new[] { 1, 10, 50, 90, 99, 99.9, 99.99, 100 })
        {
            var expected = exact[Math.Max(0, (int)Math.Ceiling(percent / 100 * exact.Count) - 1)];
            Assert.InRange(histogram.Percentile(percent), expected, Math.Max(expected + 1, expected * 1.008));
        }

        Assert.Equal((exact.Count, exact[^1]), (histogram.Count, histogram.Max));
        Assert.Equal(exact.Average(), histogram.Mean, 3);
    }

    [Fact]
    public void Small_values_are_exact_and_extremes_are_kept()
    {
        var histogram = new LatencyHistogram();
        Assert.Equal((0, 0L), (histogram.Mean, histogram.Percentile(50)));
        for (var i = 0; i <= 255; i++)
        {
            histogram.Record(i);
        }

        Assert.Equal(127, histogram.Percentile(50));
        histogram.Record(-5);
        histogram.Record(long.MaxValue);
        Assert.Equal(LatencyHistogram.MaxMicroseconds, histogram.Max);
        Assert.Equal(LatencyHistogram.MaxMicroseconds, histogram.Percentile(100));
    }

    [Fact]
    public void Histograms_add_up_and_their_difference_is_what_came_between()
    {
        var first = new LatencyHistogram();
        first.Record(100);
        var both = new LatencyHistogram();
        both.Add(first);
        both.Record(5000);
        both.Subtract(first);
        Assert.Equal(1, both.Count);
        Assert.InRange(both.Percentile(50), 5000, 5040);
        Assert.Equal(5000, both.Mean);
    }

    [Fact]
    public void Zipf_prefers_few_keys_and_uniform_none()
    {
        var random = new Random(4);
        double Share(bool zipf)
        {
            var chooser = new KeyChooser(10_000, 8, zipf);
            var counts = new int[10_000];
            for (var i = 0; i < 200_000; i++)
            {
                counts[chooser.Next(random)]++;
            }

            return counts.OrderDescending().Take(100).Sum() / 200_000.0;
        }

        Assert.InRange(Share(zipf: true), 0.4, 0.65);
        Assert.InRange(Share(zipf: false), 0.009, 0.03);
        Assert.Equal("k0000042", Encoding.ASCII.GetString(new KeyChooser(100, 8, false).KeyOf(42)));
    }

    [Fact]
    public void The_longest_window_without_a_write_is_found_also_at_the_ends()
    {
        var gaps = new WriteGaps(1000, [0, 1, 2]);
        gaps.Success(1, 1500);
        gaps.Success(2, 1600);
        gaps.Success(1, 1550);
        gaps.Success(1, 4000);
        Assert.Equal((2400, 600), gaps.Longest(5000));
        Assert.Equal([(1, 2450, 550), (2, 3400, 600)], gaps.LongestByShard(5000));
        Assert.Equal((6000, 3000), gaps.Longest(10_000));
    }

    [Fact]
    public async Task A_run_reports_operations_errors_and_gaps_and_records_a_history()
    {
        await using var server = await FakeServer.StartAsync();
        server.Config = new ConfigDocument(
            [new NodeDocument("n1", server.Address.ToString(), null, null, true)],
            [
                new ShardDocument(1, "active", "raft", "n1", 1, ["n1"], [], [], KeySlot.Count / 2, [[0, (KeySlot.Count / 2) - 1]], "1"),
                new ShardDocument(2, "active", "raft", "n1", 1, ["n1"], [], [], KeySlot.Count / 2, [[KeySlot.Count / 2, KeySlot.Count - 1]], "1"),
            ]);
        var n = 0;
        server.Script = seen => seen.Method == "PUT" && server.Count >= 50 && Interlocked.Increment(ref n) % 50 == 0 ? new Twist.Refuse(504, "indeterminate") : null;
        var file = Path.Combine(Terminal.TempDir(), "history.jsonl");
        var result = await Terminal.RunAsync(["bench", "--mix", "mixed", "--clients", "4", "--duration", "500ms", "--warm-up", "0s", "--keys", "50", "--distribution", "zipf", "--history", file, "--output", "json"], new Env { ["FLOTILLA_ENDPOINT"] = server.Url });
        Assert.Equal(0, result.Exit);
        var report = JsonDocument.Parse(result.Out).RootElement;
        Assert.True(report.GetProperty("operations").GetInt64() > 10);
        Assert.True(report.GetProperty("reads").GetProperty("p99").GetInt64() >= report.GetProperty("reads").GetProperty("p50").GetInt64());
        Assert.Equal(report.GetProperty("unknownWrites").GetInt64(), report.GetProperty("errors").TryGetProperty("indeterminate", out var unknown) ? unknown.GetInt64() : 0);
        Assert.Equal([1, 2], report.GetProperty("writeGapsByShard").EnumerateArray().Select(g => g.GetProperty("shard").GetInt32()));
        Assert.True(report.GetProperty("longestWriteGap").GetProperty("milliseconds").GetDouble() > 0);

        var history = (await File.ReadAllLinesAsync(file, TestContext.Current.CancellationToken)).Select(l => JsonDocument.Parse(l).RootElement).ToList();
        var written = history.Where(h => h.GetProperty("op").GetString() == "put").Select(h => h.GetProperty("value").GetString()).ToList();
        Assert.Equal(written.Count, written.Distinct(StringComparer.Ordinal).Count());
        Assert.All(history, h => Assert.True(h.GetProperty("start_us").GetInt64() <= h.GetProperty("end_us").GetInt64()));
        Assert.Contains(history, h => h.GetProperty("outcome").GetString() == "ok" && h.GetProperty("op").GetString() == "get" && written.Contains(h.GetProperty("read").GetString(), StringComparer.Ordinal));
        Assert.All(history.Where(h => h.GetProperty("outcome").GetString() == "unknown"), h => Assert.Equal("put", h.GetProperty("op").GetString()));
    }

    [Fact]
    public async Task Options_that_do_not_fit_are_usage_errors()
    {
        Assert.Equal(2, (await Terminal.RunAsync("bench", "--keys", "1000000", "--key-size", "4")).Exit);
        Assert.Equal(2, (await Terminal.RunAsync("bench", "--history", "x", "--value-size", "8")).Exit);
        Assert.Equal(2, (await Terminal.RunAsync("bench", "--transport", "resp")).Exit);
        Assert.Equal(2, (await Terminal.RunAsync("bench", "--read-ratio", "2")).Exit);
    }

    [Fact]
    public async Task A_cluster_that_is_not_there_is_unavailable()
    {
        var result = await Terminal.RunAsync("bench", "--endpoint", $"127.0.0.1:{FakeServer.FreePort()}", "--duration", "300ms", "--warm-up", "0s", "--timeout", "100ms", "--clients", "2");
        Assert.Equal(5, result.Exit);
    }
}
