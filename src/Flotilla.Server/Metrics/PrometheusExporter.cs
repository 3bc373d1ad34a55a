using System.Buffers;
using System.Diagnostics.Metrics;
using System.Globalization;
using System.Text;

namespace Flotilla.Server.Metrics;

/// <summary>
/// Collects every instrument of every meter whose name begins with <c>Flotilla</c>, and writes them in Prometheus' text
/// format (version 0.0.4). Instruments are named as they are shown, in base units: <c>flotilla_…_seconds</c>,
/// <c>_bytes</c>, <c>_total</c>. Thread-safe.
/// </summary>
public sealed class PrometheusExporter : IDisposable
{
    private readonly MeterListener _listener = new();
    private readonly Lock _gate = new();
    private readonly List<MetricInstrument> _instruments = [];
    private readonly object? _scope;
    private long _generation;

    /// <summary>Begins to collect.</summary>
    /// <param name="scope">Meters that carry a scope are collected only if it is this one, so that several nodes may live in one process; meters without a scope always are.</param>
    public PrometheusExporter(object? scope = null)
    {
        _scope = scope;
        _listener.InstrumentPublished = Published;
        _listener.MeasurementsCompleted = Completed;
        _listener.SetMeasurementEventCallback<long>(static (_, value, tags, state) => ((MetricInstrument)state!).Record(value, tags));
        _listener.SetMeasurementEventCallback<int>(static (_, value, tags, state) => ((MetricInstrument)state!).Record((long)value, tags));
        _listener.SetMeasurementEventCallback<double>(static (_, value, tags, state) => ((MetricInstrument)state!).Record(value, tags));
        _listener.SetMeasurementEventCallback<float>(static (_, value, tags, state) => ((MetricInstrument)state!).Record((double)value, tags));
        _listener.Start();
    }

    /// <summary>The type of what <see cref="Write"/> writes.</summary>
    public static string ContentType => "text/plain; version=0.0.4; charset=utf-8";

    /// <summary>Asks the observable instruments, and writes everything, ordered by name.</summary>
    public void Write(IBufferWriter<byte> output)
    {
        var text = new StringBuilder();
        lock (_gate)
        {
            _generation++;
            foreach (var instrument in _instruments)
            {
                instrument.Generation = _generation;
            }

            _listener.RecordObservableInstruments();
            foreach (var family in _instruments.GroupBy(i => i.Name, StringComparer.Ordinal).OrderBy(g => g.Key, StringComparer.Ordinal))
            {
                WriteFamily(text, family.First(), family);
            }
        }

        Encoding.UTF8.GetBytes(text.ToString(), output);
    }

    /// <inheritdoc/>
    public void Dispose() => _listener.Dispose();

    private static void WriteFamily(StringBuilder text, MetricInstrument first, IEnumerable<MetricInstrument> instruments)
    {
        text.Append("# HELP ").Append(first.Name).Append(' ').Append(first.Help.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("\n", "\\n", StringComparison.Ordinal)).Append('\n');
        text.Append("# TYPE ").Append(first.Name).Append(' ').Append(first.Type).Append('\n');
        foreach (var instrument in instruments)
        {
            foreach (var series in instrument.Living())
            {
                series.Write(text, first.Name);
            }
        }
    }

    private void Published(Instrument instrument, MeterListener listener)
    {
        if (!instrument.Meter.Name.StartsWith("Flotilla", StringComparison.Ordinal) || (instrument.Meter.Scope is { } scope && scope != _scope))
        {
            return;
        }

        var state = new MetricInstrument(instrument);
        lock (_gate)
        {
            _instruments.Add(state);
        }

        listener.EnableMeasurementEvents(instrument, state);
    }

    private void Completed(Instrument instrument, object? state)
    {
        lock (_gate)
        {
            _instruments.Remove((MetricInstrument)state!);
        }
    }

    /// <summary>A number as Prometheus reads it.</summary>
    internal static string Number(double value) => value switch
    {
        double.PositiveInfinity => "+Inf",
        double.NegativeInfinity => "-Inf",
        double.NaN => "NaN",
        _ => value.ToString("R", CultureInfo.InvariantCulture),
    };
}
