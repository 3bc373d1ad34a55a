using System.Diagnostics;
using Flotilla.Node;
using Flotilla.Server.Metrics;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Abstractions;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Logging;

namespace Flotilla.Server.Http;

/// <summary>
/// The door's one entry: the server calls it for each request, with nothing in between (no middleware, no routing, no
/// context objects), and it dispatches on the raw target.
/// </summary>
internal sealed partial class HttpApplication(IGateway gateway, IClusterChanges? changes, HttpDoorOptions options, Limits limits, HttpMetrics metrics, PrometheusExporter exporter, ILogger logger, IBackups? backups, IWatches? watches, CancellationToken stopping) : IHttpApplication<HttpExchange>
{
    private readonly RecordRoutes _records = new(gateway, options, limits, logger);
    private readonly ListRoute _list = new(gateway, options, logger);
    private readonly TogetherRoute _together = new(gateway, options, logger);
    private readonly BackupRoute _backup = new(gateway, backups, logger);

    private readonly ChangeRoutes _changes = new(changes, options.Single, logger);

    private readonly WatchRoute _watch = new(watches, options, logger, stopping);

    private readonly OperationRoutes _operations = new(gateway, exporter, options.NotJoined, stopping);

    /// <inheritdoc/>
    public HttpExchange CreateContext(IFeatureCollection contextFeatures)
    {
        limits.Enter();
        HttpExchange exchange;
        if (contextFeatures is IHostContextContainer<HttpExchange> connection)
        {
            exchange = connection.HostContext ??= new HttpExchange();
        }
        else
        {
            exchange = new HttpExchange();
        }

        exchange.Begin(contextFeatures, Stopwatch.GetTimestamp());
        return exchange;
    }

    /// <inheritdoc/>
    public Task ProcessRequestAsync(HttpExchange context)
    {
        try
        {
            if (stopping.IsCancellationRequested)
            {
                context.ResponseHeaders.Connection = "close";
            }

            return Dispatch(context);
        }
        catch (Exception e) when (e is not BadHttpRequestException)
        {
            LogBroken(logger, e, context.Route);
            return context.Fail(Problems.Internal);
        }
    }

    /// <inheritdoc/>
    public void DisposeContext(HttpExchange context, Exception? exception)
    {
        limits.Leave(context);
        metrics.Record(context.Route, context.Status, Stopwatch.GetElapsedTime(context.StartedAt));
    }

    private Task Dispatch(HttpExchange exchange)
    {
        var target = RequestTarget.Parse(exchange.RawTarget);
        var route = Routes.Of(target.Path);
        exchange.Route = route;
        if (route is not (Route.Livez or Route.Readyz or Route.Metrics) && options.NotJoined() is { } reason)
        {
            return exchange.Fail(Problems.NotJoined, Problems.Document(Problems.NotJoined, reason + " Nothing was read or written.") with { Node = options.Waiting?.Invoke() });
        }

        var info = Routes.All[(int)route];
        if ((info.Verbs & exchange.Verb) == Verbs.None)
        {
            return Unroutable(exchange, info, target);
        }

        if (!limits.RoomForRequests && route is not (Route.Livez or Route.Readyz or Route.Metrics))
        {
            return exchange.Fail(Problems.Overloaded, $"{options.MaxInFlight} requests are under way here. Nothing was written; try again later.");
        }

        switch (route)
        {
            case Route.Record:
                return _records.Record(exchange, target);
            case Route.Records:
                return exchange.Verb is not (Verbs.Get or Verbs.Head) || Names(target.Query, "keyBase64=")
                    ? _records.RecordByBase64(exchange, target)
                    : Names(target.Query, "keys=") ? _together.Answer(exchange, target) : _list.List(exchange, target);
            case Route.QueryGet or Route.QueryPut or Route.QueryDelete:
                return _records.ByQuery(exchange, target);
            case Route.PathGet or Route.PathPut:
                return _records.ByPath(exchange, target);
            case Route.Backup:
                return _backup.Stream(exchange, target);
            case Route.Watch when watches is not null:
                return _watch.Stream(exchange, target);
            case Route.RaftJoin or Route.RaftLeave or Route.AddVoter or Route.RaftTransfer or Route.RaftSnapshot or Route.AddShard or Route.RemoveShard or Route.ConfigMode:
                return _changes.Answer(exchange, target);
            default:
                return info.Built && route != Route.Watch
                    ? _operations.Answer(exchange, target)
                    : exchange.Fail(Problems.NotImplemented, $"{exchange.Method} {info.Template} is not in this build yet. Nothing was changed.");
        }
    }

    /// <summary>True if the query has a parameter; an ampersand can't stand inside a value.</summary>
    private static bool Names(ReadOnlySpan<char> query, ReadOnlySpan<char> parameter)
    {
        for (var rest = query; ; )
        {
            if (rest.StartsWith(parameter, StringComparison.Ordinal))
            {
                return true;
            }

            var next = rest.IndexOf('&');
            if (next < 0)
            {
                return false;
            }

            rest = rest[(next + 1)..];
        }
    }

    private static Task Unroutable(HttpExchange exchange, RouteInfo info, RequestTarget target)
    {
        if (info.Route == Route.Unknown)
        {
            var path = target.Path.Length <= 200 ? target.Path.ToString() : string.Concat(target.Path[..200], "…");
            return exchange.Fail(Problems.UnknownRoute, $"There is no route {path}. All routes stand in /openapi/v1.json.");
        }

        exchange.ResponseHeaders.Allow = info.Allow;
        return exchange.Fail(Problems.MethodNotAllowed, $"{info.Template} takes {info.Allow}, not {exchange.Method}.");
    }

    [LoggerMessage(1012, LogLevel.Error, "A request to {Route} met a defect in the HTTP door; the client got 500. Please report it with this line.")]
    private static partial void LogBroken(ILogger logger, Exception exception, Route route);
}
