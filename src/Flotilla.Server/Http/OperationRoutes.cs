using System.Buffers;
using System.Text;
using Flotilla.Contracts.Http;
using Flotilla.Node;
using Flotilla.Server.Metrics;

namespace Flotilla.Server.Http;

/// <summary>What operators and their tools ask: state, probes, metrics, documents, the status page.</summary>
/// <param name="gateway">What is shown.</param>
/// <param name="exporter">What <c>/metrics</c> shows.</param>
/// <param name="notJoined">Why the process belongs to no cluster yet, or null.</param>
/// <param name="stopping">Cancelled when the process is not ready any more.</param>
internal sealed class OperationRoutes(IGateway gateway, PrometheusExporter exporter, Func<string?> notJoined, CancellationToken stopping)
{
    private const string Text = "text/plain; charset=utf-8";

    private static readonly byte[] Page = Asset("status.html");
    private static readonly byte[] OpenApi = Asset("openapi.json");

    /// <summary>Answers one of the routes.</summary>
    public Task Answer(HttpExchange exchange, RequestTarget target)
    {
        switch (exchange.Route)
        {
            case Route.Page:
                // The page needs nothing but itself and this server; names in it come from the cluster, so nothing else may run.
                exchange.ResponseHeaders.ContentSecurityPolicy = "default-src 'none'; connect-src 'self'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; frame-ancestors 'none'";
                return exchange.Send(200, "text/html; charset=utf-8", Page);
            case Route.OpenApi:
                return exchange.Send(200, "application/json", OpenApi);
            case Route.Status:
                return Fresh(exchange).Send(200, ClusterDocuments.Status(gateway.View), DocumentsJson.Default.StatusDocument);
            case Route.Config:
                return Fresh(exchange).Send(200, ClusterDocuments.Config(gateway.View), DocumentsJson.Default.ConfigDocument);
            case Route.RaftStatus:
                return Fresh(exchange).Send(200, ClusterDocuments.RaftStatus(gateway.View), DocumentsJson.Default.RaftStatusDocument);
            case Route.Livez:
                return Fresh(exchange).Send(200, Text, Verbose(target) ? "[+]ping ok\nlivez check passed\n"u8 : "ok\n"u8);
            case Route.Readyz:
                return Ready(Fresh(exchange), Verbose(target));
            default:
                return Scrape(exchange);
        }
    }

    private static HttpExchange Fresh(HttpExchange exchange)
    {
        exchange.ResponseHeaders.CacheControl = "no-store";
        return exchange;
    }

    private static bool Verbose(RequestTarget target) =>
        QueryParameters.TryParse(target.Query, Parameters.Verbose, strict: false, out var query, out _) && query.Has(Parameters.Verbose) && query.Verbose is not ("false" or "0");

    private Task Ready(HttpExchange exchange, bool verbose)
    {
        // A failed probe always says why, and a warning is never hidden.
        var view = gateway.View;
        var ready = Readiness.Check(view, stopping.IsCancellationRequested, notJoined(), out var report);
        return exchange.Send(ready ? 200 : 503, Text, ready && !verbose && view.Warnings is not { Count: > 0 } ? "ok\n"u8 : Encoding.UTF8.GetBytes(report));
    }

    private Task Scrape(HttpExchange exchange)
    {
        var buffer = new ArrayBufferWriter<byte>(16 << 10);
        exporter.Write(buffer);
        return Fresh(exchange).Send(200, PrometheusExporter.ContentType, buffer.WrittenSpan);
    }

    private static byte[] Asset(string name)
    {
        using var stream = typeof(OperationRoutes).Assembly.GetManifestResourceStream("Http/" + name)!;
        var bytes = new byte[stream.Length];
        stream.ReadExactly(bytes);
        return bytes;
    }
}
