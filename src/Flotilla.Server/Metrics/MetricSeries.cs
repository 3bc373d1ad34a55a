using System.Text;

namespace Flotilla.Server.Metrics;

/// <summary>One line of a metric (or, of a histogram, one set of lines). Recording takes no lock.</summary>
internal sealed class MetricSeries(string labels, double[]? bounds, bool adds)
{
    private readonly long[] _buckets = bounds is null ? [] : new long[bounds.Length + 1];
    private long _whole;
    private double _part;
    private volatile bool _touched;

    /// <summary>True once anything was recorded.</summary>
    public bool Touched => _touched;

    /// <summary>The collection that mentioned it last.</summary>
    public long Generation { get; private set; }

    /// <summary>Takes a measurement.</summary>
    public void Record(long value, long generation)
    {
        if (bounds is not null)
        {
            Record((double)value, generation);
            return;
        }

        if (adds)
        {
            Interlocked.Add(ref _whole, value);
        }
        else
        {
            Interlocked.Exchange(ref _whole, value);
        }

        Touch(generation);
    }

    /// <summary>Takes a measurement.</summary>
    public void Record(double value, long generation)
    {
        if (bounds is not null)
        {
            var at = 0;
            while (at < bounds.Length && value > bounds[at])
            {
                at++;
            }

            Interlocked.Increment(ref _buckets[at]);
            Add(value);
        }
        else if (adds)
        {
            Add(value);
        }
        else
        {
            Interlocked.Exchange(ref _part, value);
        }

        Touch(generation);
    }

    /// <summary>Writes its lines.</summary>
    public void Write(StringBuilder text, string name)
    {
        if (bounds is null)
        {
            Line(text, name, "", null).Append(' ').Append(_part == 0 ? Interlocked.Read(ref _whole).ToString() : PrometheusExporter.Number(Volatile.Read(ref _part) + Interlocked.Read(ref _whole))).Append('\n');
            return;
        }

        // Buckets are read one by one while others record; the count is the sum of what was read, so the lines agree.
        var count = 0L;
        for (var i = 0; i < _buckets.Length; i++)
        {
            count += Interlocked.Read(ref _buckets[i]);
            Line(text, name, "_bucket", i < bounds.Length ? PrometheusExporter.Number(bounds[i]) : "+Inf").Append(' ').Append(count).Append('\n');
        }

        Line(text, name, "_sum", null).Append(' ').Append(PrometheusExporter.Number(Volatile.Read(ref _part))).Append('\n');
        Line(text, name, "_count", null).Append(' ').Append(count).Append('\n');
    }

    private StringBuilder Line(StringBuilder text, string name, string suffix, string? bound)
    {
        text.Append(name).Append(suffix);
        if (labels.Length == 0 && bound is null)
        {
            return text;
        }

        text.Append('{').Append(labels);
        if (bound is not null)
        {
            text.Append(labels.Length == 0 ? "" : ",").Append("le=\"").Append(bound).Append('"');
        }

        return text.Append('}');
    }

    private void Add(double value)
    {
        var seen = Volatile.Read(ref _part);
        while (true)
        {
            var before = Interlocked.CompareExchange(ref _part, seen + value, seen);
            if (before.Equals(seen))
            {
                return;
            }

            seen = before;
        }
    }

    private void Touch(long generation)
    {
        Generation = generation;
        if (!_touched)
        {
            _touched = true;
        }
    }
}
