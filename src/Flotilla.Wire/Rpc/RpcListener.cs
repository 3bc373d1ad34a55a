using Flotilla.Contracts;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Abstractions;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;

namespace Flotilla.Wire.Rpc;

/// <summary>
/// A server for <see cref="RpcServices"/> and nothing else: Kestrel without host, routing and middleware, so that its limits
/// are its own and a call passes through no layer that it does not need.
/// </summary>
public sealed class RpcListener : IAsyncDisposable
{
    private readonly KestrelServer _server;

    private RpcListener(KestrelServer server) => _server = server;

    /// <summary>The port listened on, also when 0 was asked for.</summary>
    public int Port { get; private set; }

    /// <summary>Begins to listen.</summary>
    /// <param name="address">Where. <c>localhost</c> listens on both loopback addresses; port 0 takes a free one.</param>
    /// <param name="services">What to serve; register everything before.</param>
    /// <param name="loggers">Where Kestrel logs; null for nowhere.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <exception cref="IOException">The port is in use.</exception>
    /// <exception cref="System.Net.Sockets.SocketException">The name is unknown, or the address is not this machine's.</exception>
    public static async Task<RpcListener> StartAsync(HostPort address, RpcServices services, ILoggerFactory? loggers = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(services);
        loggers ??= NullLoggerFactory.Instance;
        var options = new KestrelServerOptions { AddServerHeader = false };
        RpcKestrel.Configure(options.Limits);
        await RpcKestrel.ListenAsync(options, address, cancellation).ConfigureAwait(false);

        var server = new KestrelServer(Options.Create(options), new SocketTransportFactory(Options.Create(new SocketTransportOptions()), loggers), loggers);
        try
        {
            await server.StartAsync(new Application(services), cancellation).ConfigureAwait(false);
        }
        catch
        {
            server.Dispose();
            throw;
        }

        return new RpcListener(server) { Port = BindingAddress.Parse(server.Features.Get<IServerAddressesFeature>()!.Addresses.First()).Port };
    }

    /// <summary>Stops listening; calls under way have until <paramref name="cancellation"/>, then their connections are cut.</summary>
    public Task StopAsync(CancellationToken cancellation) => _server.StopAsync(cancellation);

    /// <summary>Stops at once: connections are cut.</summary>
    public async ValueTask DisposeAsync()
    {
        await _server.StopAsync(new CancellationToken(canceled: true)).ConfigureAwait(false);
        _server.Dispose();
    }

    /// <summary>Hands each request to the services; contexts are kept with their streams, which Kestrel uses again.</summary>
    private sealed class Application(RpcServices services) : IHttpApplication<DefaultHttpContext>
    {
        public DefaultHttpContext CreateContext(IFeatureCollection contextFeatures)
        {
            if (contextFeatures is not IHostContextContainer<DefaultHttpContext> container)
            {
                return new DefaultHttpContext(contextFeatures);
            }

            var context = container.HostContext ??= new DefaultHttpContext();
            context.Initialize(contextFeatures);
            return context;
        }

        public Task ProcessRequestAsync(DefaultHttpContext context) => services.InvokeAsync(context);

        public void DisposeContext(DefaultHttpContext context, Exception? exception) => context.Uninitialize();
    }
}
