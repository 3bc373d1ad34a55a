using System.Net;
using System.Net.Sockets;
using Flotilla.Contracts;
using Flotilla.Node;
using Flotilla.Server.Metrics;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;

namespace Flotilla.Server.Http;

/// <summary>
/// The HTTP listener: Kestrel without a host, a container or a pipeline, in front of an <see cref="IGateway"/>. It
/// translates and decides nothing. Built, started and stopped once, by the composition root.
/// </summary>
public sealed class HttpDoor : IAsyncDisposable
{
    private readonly HttpDoorOptions _options;
    private readonly ILoggerFactory _loggers;
    private readonly HttpApplication _application;
    private readonly HttpMetrics _metrics;
    private readonly ClusterMetrics _clusterMetrics;
    private readonly PrometheusExporter _exporter;
    private readonly CancellationTokenSource _stopping = new();
    private KestrelServer? _server;
    private List<HostPort> _addresses = [];

    private HttpDoor(HttpDoorOptions options, IGateway gateway, ILoggerFactory loggers, IBackups? backups, IClusterChanges? changes, IWatches? watches)
    {
        _options = options;
        _loggers = loggers;
        var limits = new Limits(options);
        _exporter = new PrometheusExporter(this);
        _metrics = new HttpMetrics(this, limits);
        _clusterMetrics = new ClusterMetrics(this, gateway, options.Version);
        _application = new HttpApplication(gateway, changes, options, limits, _metrics, _exporter, loggers.CreateLogger<HttpDoor>(), backups, watches, _stopping.Token);
    }

    /// <summary>Where it listens, once started; port 0 is replaced by the port that was given.</summary>
    public IReadOnlyList<HostPort> Addresses => _addresses;

    /// <summary>The URL of the first address, without a slash at the end, once started.</summary>
    public string Url => $"http://{_addresses[0]}";

    /// <summary>Makes a door; nothing listens before <see cref="StartAsync"/>.</summary>
    /// <param name="options">Address and limits.</param>
    /// <param name="gateway">What carries out the requests.</param>
    /// <param name="loggers">Where the server's own warnings go; nowhere if null. No line is written per request.</param>
    /// <param name="backups">The replicas of this process, to back them up; null if it has none.</param>
    /// <param name="changes">What carries out an operator's changes; null answers them 501.</param>
    /// <param name="watches">What tells of changes of records; null answers 501.</param>
    public static HttpDoor Build(HttpDoorOptions options, IGateway gateway, ILoggerFactory? loggers = null, IBackups? backups = null, IClusterChanges? changes = null, IWatches? watches = null) =>
        new(options, gateway, loggers ?? NullLoggerFactory.Instance, backups, changes, watches);

    /// <summary>Listens.</summary>
    /// <exception cref="NodeFailedException">The address can't be listened on; the message says why and what to do.</exception>
    public async Task StartAsync(CancellationToken cancellationToken = default)
    {
        var listen = _options.Listen;
        var isLocalhost = listen.Host.Equals("localhost", StringComparison.OrdinalIgnoreCase);
        for (var attempt = 1; ; attempt++)
        {
            // Both loopback addresses get the same port; another process may take a free one in between, so try again.
            var port = isLocalhost && listen.Port == 0 ? FreePort() : listen.Port;
            try
            {
                await BindAsync(isLocalhost, port, cancellationToken);
                return;
            }
            catch (Exception e) when (e is IOException or SocketException)
            {
                await DropServerAsync();
                if (port != listen.Port && attempt < 5)
                {
                    continue;
                }

                throw new NodeFailedException(Explain(e), e);
            }
        }
    }

    /// <summary>
    /// Stops: first every answer ends its connection, for a moment, so that whoever asks all the time does not meet one that is closed with
    /// a request on its way; then no new connections, idle ones are closed, requests under way get their answer for as long as
    /// <paramref name="grace"/> lasts, watches are told to go on elsewhere; then their connections are cut (a client counts that as an unknown outcome).
    /// </summary>
    public async Task StopAsync(TimeSpan grace)
    {
        await _stopping.CancelAsync();
        if (_server is { } server)
        {
            await Task.Delay(_options.Farewell);
            using var patience = new CancellationTokenSource(grace);
            await server.StopAsync(patience.Token);
        }
    }

    /// <summary>Stops without patience and frees what the door holds.</summary>
    public async ValueTask DisposeAsync()
    {
        if (!_stopping.IsCancellationRequested)
        {
            await _stopping.CancelAsync();
        }

        await DropServerAsync();
        _metrics.Dispose();
        _clusterMetrics.Dispose();
        _exporter.Dispose();
        _stopping.Dispose();
    }

    private async Task BindAsync(bool isLocalhost, int port, CancellationToken cancellationToken)
    {
        var kestrel = KestrelOptions();
        if (isLocalhost)
        {
            kestrel.ListenLocalhost(port, Http1Only);
        }
        else
        {
            foreach (var address in await ResolveAsync(_options.Listen.Host, cancellationToken))
            {
                kestrel.Listen(address, port, Http1Only);
            }
        }

        var transport = new SocketTransportFactory(Options.Create(new SocketTransportOptions()), _loggers);
        _server = new KestrelServer(Options.Create(kestrel), transport, _loggers);
        await _server.StartAsync(_application, cancellationToken);
        _addresses = _server.Features.Get<IServerAddressesFeature>()!.Addresses
            .Select(url => new Uri(url))
            .Select(uri => new HostPort(uri.Host.Trim('[', ']'), uri.Port))
            .ToList();
    }

    private KestrelServerOptions KestrelOptions()
    {
        var kestrel = new KestrelServerOptions { AddServerHeader = false, AllowSynchronousIO = false };
        var limits = kestrel.Limits;
        limits.MaxConcurrentConnections = _options.MaxConnections;

        // Bodies are limited per route, while they are read; what is left of one that was refused is thrown away by the
        // server for a few seconds, so that the client gets to read the answer.
        limits.MaxRequestBodySize = null;
        limits.MinRequestBodyDataRate = new MinDataRate(240, _options.SlowBodyGrace);
        limits.MinResponseDataRate = new MinDataRate(240, TimeSpan.FromSeconds(5));

        // A key, three characters to the byte, or a value in an ancestor's route.
        limits.MaxRequestLineSize = Math.Max(64 << 10, (3 * _options.MaxKeyBytes) + 4096);
        limits.MaxRequestBufferSize = Math.Max(128 << 10, 2 * limits.MaxRequestLineSize);
        limits.RequestHeadersTimeout = TimeSpan.FromSeconds(15);
        return kestrel;
    }

    private static void Http1Only(ListenOptions listen) => listen.Protocols = HttpProtocols.Http1;

    private static async Task<IPAddress[]> ResolveAsync(string host, CancellationToken cancellationToken) =>
        IPAddress.TryParse(host, out var address) ? [address] : await Dns.GetHostAddressesAsync(host, cancellationToken);

    private static int FreePort()
    {
        using var probe = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        probe.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        return ((IPEndPoint)probe.LocalEndPoint!).Port;
    }

    private string Explain(Exception exception)
    {
        var (listen, flag) = (_options.Listen, _options.ListenFlag);
        var code = (exception as SocketException ?? exception.InnerException as SocketException ?? exception.InnerException?.InnerException as SocketException)?.SocketErrorCode;
        if (exception is AddressInUseException || exception.InnerException is AddressInUseException)
        {
            code = SocketError.AddressAlreadyInUse;
        }

        return code switch
        {
            SocketError.AddressAlreadyInUse => $"HTTP can't listen on {listen}: another process uses the port. Stop it (`ss -ltnp 'sport = :{listen.Port}'` shows it), or choose another port with {flag} HOST:PORT.",
            SocketError.AccessDenied => $"HTTP can't listen on {listen}: this user may not use the port. Choose one above 1023 with {flag} HOST:PORT.",
            SocketError.AddressNotAvailable => $"HTTP can't listen on {listen}: the address is none of this machine's. Choose one that `ip address` shows with {flag} HOST:PORT.",
            SocketError.HostNotFound or SocketError.NoData or SocketError.TryAgain => $"HTTP can't listen on {listen}: the name {listen.Host} has no address. Give an address that this machine has with {flag} HOST:PORT.",
            _ => $"HTTP can't listen on {listen}: {exception.Message} Choose another address with {flag} HOST:PORT.",
        };
    }

    private async Task DropServerAsync()
    {
        if (_server is { } server)
        {
            _server = null;
            using var now = new CancellationTokenSource();
            await now.CancelAsync();
            await server.StopAsync(now.Token);
            server.Dispose();
        }
    }
}
