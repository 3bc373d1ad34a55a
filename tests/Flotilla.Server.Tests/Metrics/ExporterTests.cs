using System.Buffers;
using System.Diagnostics.Metrics;
using System.Text;
using Flotilla.Server.Metrics;

namespace Flotilla.Server.Tests.Metrics;

public sealed class ExporterTests
{
    private readonly object _scope = new();

    private Meter NewMeter(string name = "Flotilla.Test") => new(new MeterOptions(name) { Scope = _scope });

    [Fact]
    public void Counters_gauges_and_histograms_are_written_as_prometheus_reads_them()
    {
        using var exporter = new PrometheusExporter(_scope);
        using var meter = NewMeter();
        var counter = meter.CreateCounter<long>("flotilla_test_things", null, "Things, a \\ and\na line.");
        counter.Add(2);
        counter.Add(3);
        counter.Add(1, new KeyValuePair<string, object?>("kind", "a\\b\"c\nd"));
        meter.CreateObservableGauge("flotilla.test.level", () => 1.5, null, "Level.");
        var up = meter.CreateUpDownCounter<int>("flotilla_test_open", null, "Open.");
        up.Add(5);
        up.Add(-2);
        var histogram = meter.CreateHistogram("flotilla_test_seconds", "s", "Time.", advice: new InstrumentAdvice<double> { HistogramBucketBoundaries = [0.1, 1] });
        foreach (var value in new[] { 0.05, 0.1, 0.5, 7 })
        {
            histogram.Record(value);
        }

        Assert.Equal(
            """
            # HELP flotilla_test_level Level.
            # TYPE flotilla_test_level gauge
            flotilla_test_level 1.5
            # HELP flotilla_test_open Open.
            # TYPE flotilla_test_open gauge
            flotilla_test_open 3
            # HELP flotilla_test_seconds Time.
            # TYPE flotilla_test_seconds histogram
            flotilla_test_seconds_bucket{le="0.1"} 2
            flotilla_test_seconds_bucket{le="1"} 3
            flotilla_test_seconds_bucket{le="+Inf"} 4
            flotilla_test_seconds_sum 7.65
            flotilla_test_seconds_count 4
            # HELP flotilla_test_things_total Things, a \\ and\na line.
            # TYPE flotilla_test_things_total counter
            flotilla_test_things_total 5
            flotilla_test_things_total{kind="a\\b\"c\nd"} 1

            """,
            Write(exporter));
    }

    [Fact]
    public void A_histogram_of_whole_numbers_keeps_its_own_buckets()
    {
        using var exporter = new PrometheusExporter(_scope);
        using var meter = NewMeter();
        var histogram = meter.CreateHistogram("flotilla_test_batch", advice: new InstrumentAdvice<int> { HistogramBucketBoundaries = [1, 8] });
        histogram.Record(1);
        histogram.Record(9);
        Assert.Contains("flotilla_test_batch_bucket{le=\"1\"} 1\nflotilla_test_batch_bucket{le=\"8\"} 1\nflotilla_test_batch_bucket{le=\"+Inf\"} 2\n", Write(exporter), StringComparison.Ordinal);
    }

    [Fact]
    public void A_series_found_by_its_tags_is_the_one_found_by_its_text()
    {
        using var exporter = new PrometheusExporter(_scope);
        using var meter = NewMeter();
        var counter = meter.CreateCounter<long>("flotilla_test_total");
        for (var i = 0; i < 300; i++)
        {
            counter.Add(1, new KeyValuePair<string, object?>("a", i % 50), new KeyValuePair<string, object?>("b", null));
            counter.Add(1, new KeyValuePair<string, object?>("a", (i % 50).ToString()));
        }

        var text = Write(exporter);
        Assert.All(Enumerable.Range(0, 50), i => Assert.Contains($"flotilla_test_total{{a=\"{i}\"}} 6\nflotilla_test_total{{a=\"{i}\",b=\"\"}} 6\n", text, StringComparison.Ordinal));
    }

    [Fact]
    public void Instruments_of_one_name_are_one_family_with_the_tags_of_each()
    {
        using var exporter = new PrometheusExporter(_scope);
        using var meter = NewMeter();
        meter.CreateCounter<long>("flotilla_test_total", null, "T.", [new("route", "/a")]).Add(1);
        meter.CreateCounter<long>("flotilla_test_total", null, "T.", [new("route", "/b")]).Add(2, new KeyValuePair<string, object?>("code", 200));
        Assert.Equal("# HELP flotilla_test_total T.\n# TYPE flotilla_test_total counter\nflotilla_test_total{route=\"/a\"} 1\nflotilla_test_total{route=\"/b\",code=\"200\"} 2\n", Write(exporter));
    }

    [Fact]
    public void What_an_observable_instrument_no_longer_mentions_is_gone()
    {
        using var exporter = new PrometheusExporter(_scope);
        using var meter = NewMeter();
        var shards = new List<int> { 1, 2 };
        meter.CreateObservableGauge("flotilla_test_term", () => shards.Select(s => new Measurement<long>(s * 10, new KeyValuePair<string, object?>("shard", s))), null, "T.");
        Assert.Contains("{shard=\"2\"} 20", Write(exporter), StringComparison.Ordinal);
        shards.Remove(2);
        Assert.DoesNotContain("shard=\"2\"", Write(exporter), StringComparison.Ordinal);
        shards.Add(2);
        Assert.Contains("{shard=\"2\"} 20", Write(exporter), StringComparison.Ordinal);
    }

    [Fact]
    public void Other_meters_and_meters_of_another_node_are_left_out()
    {
        using var exporter = new PrometheusExporter(_scope);
        using var foreign = NewMeter("Other.Test");
        using var neighbour = new Meter(new MeterOptions("Flotilla.Test") { Scope = new object() });
        foreign.CreateCounter<long>("foreign").Add(1);
        neighbour.CreateCounter<long>("neighbour").Add(1);
        Assert.Equal("", Write(exporter));
    }

    [Fact]
    public void A_tag_that_takes_any_value_does_not_fill_the_memory()
    {
        using var exporter = new PrometheusExporter(_scope);
        using var meter = NewMeter();
        var counter = meter.CreateCounter<long>("flotilla_test_total");
        for (var i = 0; i < 6000; i++)
        {
            counter.Add(1, new KeyValuePair<string, object?>("key", i));
        }

        Assert.Equal(5000 + 2, Write(exporter).Count(c => c == '\n'));
    }

    [Fact]
    public void Measurements_of_many_threads_are_all_counted()
    {
        using var exporter = new PrometheusExporter(_scope);
        using var meter = NewMeter();
        var counter = meter.CreateCounter<long>("flotilla_test_total");
        var histogram = meter.CreateHistogram<double>("flotilla_test_seconds");
        Parallel.For(0, 8, _ =>
        {
            for (var i = 0; i < 10_000; i++)
            {
                counter.Add(1);
                histogram.Record(0.5);
            }
        });
        var text = Write(exporter);
        Assert.Contains("flotilla_test_total 80000\n", text, StringComparison.Ordinal);
        Assert.Contains("flotilla_test_seconds_sum 40000\n", text, StringComparison.Ordinal);
        Assert.Contains("flotilla_test_seconds_count 80000\n", text, StringComparison.Ordinal);
    }

    private static string Write(PrometheusExporter exporter)
    {
        var buffer = new ArrayBufferWriter<byte>();
        exporter.Write(buffer);
        return Encoding.UTF8.GetString(buffer.WrittenSpan);
    }
}
