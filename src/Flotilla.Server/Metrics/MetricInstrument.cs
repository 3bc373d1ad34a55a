using System.Collections.Concurrent;
using System.Diagnostics.Metrics;
using System.Text;

namespace Flotilla.Server.Metrics;

/// <summary>One instrument and its series, one for each set of tags.</summary>
internal sealed class MetricInstrument
{
    /// <summary>More sets of tags than this are dropped: a tag that takes any value must not fill the memory.</summary>
    private const int MaxSeries = 5000;

    // Seconds, for instruments that bring no buckets of their own: from 50 µs to 10 s.
    private static readonly double[] DefaultBounds = [0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

    // The first sets of tags of an instrument that others record to, so that a measurement finds its series without
    // building text. Copied when it grows; read without a lock.
    private const int MaxKnown = 32;

    private readonly ConcurrentDictionary<string, MetricSeries> _series = new(StringComparer.Ordinal);
    private readonly MetricSeries _plain;
    private readonly Instrument _instrument;
    private readonly double[]? _bounds;
    private readonly bool _adds;
    private volatile (KeyValuePair<string, object?>[] Tags, MetricSeries Series)[] _known = [];

    public MetricInstrument(Instrument instrument)
    {
        _instrument = instrument;
        var kind = instrument.GetType().GetGenericTypeDefinition();
        Type = kind == typeof(Histogram<>) ? "histogram" : kind == typeof(Counter<>) || kind == typeof(ObservableCounter<>) ? "counter" : "gauge";
        _adds = kind == typeof(Counter<>) || kind == typeof(UpDownCounter<>);
        _bounds = Type != "histogram" ? null : Bounds(instrument) ?? DefaultBounds;
        Name = Shown(instrument.Name);
        Help = instrument.Description ?? instrument.Name;
        _plain = new MetricSeries(Labels([]), _bounds, _adds);
    }

    /// <summary>The name shown.</summary>
    public string Name { get; }

    /// <summary>The help text.</summary>
    public string Help { get; }

    /// <summary>counter, gauge or histogram.</summary>
    public string Type { get; }

    /// <summary>Which collection runs: an observable series that it did not mention has gone.</summary>
    public long Generation { get; set; }

    /// <summary>Takes a measurement.</summary>
    public void Record(long value, ReadOnlySpan<KeyValuePair<string, object?>> tags) => Find(tags)?.Record(value, Generation);

    /// <summary>Takes a measurement.</summary>
    public void Record(double value, ReadOnlySpan<KeyValuePair<string, object?>> tags) => Find(tags)?.Record(value, Generation);

    /// <summary>The series to show, ordered by labels. Those of an observable instrument that were not mentioned are forgotten.</summary>
    public IEnumerable<MetricSeries> Living()
    {
        if (IsShown(_plain))
        {
            yield return _plain;
        }

        foreach (var (labels, series) in _series.OrderBy(s => s.Key, StringComparer.Ordinal))
        {
            if (IsShown(series))
            {
                yield return series;
            }
            else
            {
                _series.TryRemove(labels, out _);
            }
        }
    }

    private bool IsShown(MetricSeries series) => series.Touched && (!_instrument.IsObservable || series.Generation == Generation);

    private MetricSeries? Find(ReadOnlySpan<KeyValuePair<string, object?>> tags)
    {
        if (tags.IsEmpty)
        {
            return _plain;
        }

        foreach (var (known, found) in _known)
        {
            if (AreSame(known, tags))
            {
                return found;
            }
        }

        var labels = Labels(tags);
        if (!_series.TryGetValue(labels, out var series))
        {
            if (_series.Count >= MaxSeries)
            {
                return null;
            }

            series = _series.GetOrAdd(labels, key => new MetricSeries(key, _bounds, _adds));
        }

        // Two threads that add at once lose one of the two: it is found by text once more and added then.
        if (!_instrument.IsObservable && _known is { Length: < MaxKnown } before)
        {
            _known = [.. before, (tags.ToArray(), series)];
        }

        return series;
    }

    private static bool AreSame(KeyValuePair<string, object?>[] known, ReadOnlySpan<KeyValuePair<string, object?>> tags)
    {
        if (known.Length != tags.Length)
        {
            return false;
        }

        for (var i = 0; i < known.Length; i++)
        {
            if (!Equals(known[i].Value, tags[i].Value) || !string.Equals(known[i].Key, tags[i].Key, StringComparison.Ordinal))
            {
                return false;
            }
        }

        return true;
    }

    private static double[]? Bounds(Instrument histogram) => histogram switch
    {
        Histogram<double> h => h.Advice?.HistogramBucketBoundaries?.ToArray(),
        Histogram<float> h => h.Advice?.HistogramBucketBoundaries?.Select(b => (double)b).ToArray(),
        Histogram<int> h => h.Advice?.HistogramBucketBoundaries?.Select(b => (double)b).ToArray(),
        Histogram<long> h => h.Advice?.HistogramBucketBoundaries?.Select(b => (double)b).ToArray(),
        _ => null,
    };

    private string Labels(ReadOnlySpan<KeyValuePair<string, object?>> tags)
    {
        var text = new StringBuilder();
        foreach (var tag in _instrument.Tags ?? [])
        {
            Append(text, tag);
        }

        foreach (var tag in tags)
        {
            Append(text, tag);
        }

        return text.ToString();
    }

    private static void Append(StringBuilder text, KeyValuePair<string, object?> tag)
    {
        if (text.Length != 0)
        {
            text.Append(',');
        }

        text.Append(Sanitize(tag.Key)).Append("=\"");
        foreach (var c in tag.Value?.ToString() ?? "")
        {
            _ = c switch
            {
                '\\' => text.Append("\\\\"),
                '"' => text.Append("\\\""),
                '\n' => text.Append("\\n"),
                _ => text.Append(c),
            };
        }

        text.Append('"');
    }

    private string Shown(string name)
    {
        var shown = Sanitize(name);
        return Type == "counter" && !shown.EndsWith("_total", StringComparison.Ordinal) ? shown + "_total" : shown;
    }

    private static string Sanitize(string name) => string.Create(name.Length, name, static (span, source) =>
    {
        for (var i = 0; i < span.Length; i++)
        {
            span[i] = char.IsAsciiLetter(source[i]) || (i > 0 && char.IsAsciiDigit(source[i])) ? source[i] : '_';
        }
    });
}
