using System.Diagnostics.Metrics;
using Flotilla.Server.Http;

namespace Flotilla.Server.Metrics;

/// <summary>
/// The HTTP door's counters. Each pair of route and status is an instrument with fixed tags, found by index, so that a
/// request costs two additions and no look-up by name.
/// </summary>
internal sealed class HttpMetrics : IDisposable
{
    private const int Statuses = 600;

    private readonly Meter _meter;
    private readonly Counter<long>?[][] _requests = new Counter<long>?[Routes.All.Count][];
    private readonly Histogram<double>[] _seconds;
    private readonly Lock _gate = new();

    public HttpMetrics(object scope, Limits limits)
    {
        _meter = new Meter(new MeterOptions("Flotilla.Http") { Scope = scope });
        _seconds = [.. Routes.All.Select(route => _meter.CreateHistogram<double>(
            "flotilla_http_request_duration_seconds",
            "s",
            "From a request's first byte to the end of its answer.",
            [new("route", route.Template)]))];
        _meter.CreateObservableGauge("flotilla_http_requests_in_flight", () => limits.InFlight, null, "Requests under way, this one included.");
        _meter.CreateObservableGauge("flotilla_http_body_bytes_in_flight", () => limits.BodyBytes, "By", "Bytes of request bodies held.");
    }

    /// <summary>Counts a request that has ended. Status 0: it got no answer.</summary>
    public void Record(Route route, int status, TimeSpan duration)
    {
        var counters = _requests[(int)route];
        var counter = counters is not null && (uint)status < Statuses ? counters[status] : null;
        (counter ?? Make(route, status)).Add(1);
        _seconds[(int)route].Record(duration.TotalSeconds);
    }

    /// <inheritdoc/>
    public void Dispose() => _meter.Dispose();

    private Counter<long> Make(Route route, int status)
    {
        lock (_gate)
        {
            var counters = _requests[(int)route] ??= new Counter<long>?[Statuses];

            // The tags stand in the order of their names: a meter compares two lists of tags that don't only in part, and
            // would give the instrument of another status (.NET 10.0).
            return counters[status] ??= _meter.CreateCounter<long>(
                "flotilla_http_requests_total",
                null,
                "Requests answered, by route and status; code 0 got no answer because the client was gone or its body was no HTTP.",
                [new("code", status), new("route", Routes.All[(int)route].Template)]);
        }
    }
}
