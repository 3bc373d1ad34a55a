using Flotilla.Contracts;
using Flotilla.Node;
using Flotilla.Server.Http;
using Microsoft.Extensions.Logging;

namespace Flotilla.Server;

/// <summary>The composition root of a router: the gateway without replicas, behind the HTTP door.</summary>
public sealed class RouterHost : IAsyncDisposable
{
    private readonly RouterShell _shell;
    private readonly HttpDoor _http;

    private RouterHost(RouterShell shell, HttpDoor http)
    {
        _shell = shell;
        _http = http;
    }

    /// <summary>The router's gateway, for callers in this process.</summary>
    public IGateway Gateway => _shell.Gateway;

    /// <summary>Watches, for callers in this process.</summary>
    public IWatches Watches => _shell.Watches;

    /// <summary>Where it serves HTTP.</summary>
    public HostPort Http => _http.Addresses[0];

    /// <summary>Starts a router: returns when its listener stands, whether or not a node has answered it yet.</summary>
    /// <exception cref="NodeFailedException">It can't start; the message says why and what to do.</exception>
    public static async Task<RouterHost> StartAsync(RouterOptions options, ILoggerFactory loggers, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(options);
        var shell = new RouterShell(options, loggers);
        var http = HttpDoor.Build(new HttpDoorOptions { Listen = options.Listen, ListenFlag = "--listen" }, shell.Gateway, loggers, changes: shell.Changes, watches: shell.Watches);
        try
        {
            await http.StartAsync(cancellation);
        }
        catch
        {
            await http.DisposeAsync();
            await shell.DisposeAsync();
            throw;
        }

        shell.Start();
        return new RouterHost(shell, http);
    }

    /// <summary>Stops: requests under way get an answer for up to a second.</summary>
    public async Task StopAsync()
    {
        await _http.StopAsync(TimeSpan.FromSeconds(1));
        await DisposeAsync();
    }

    /// <summary>Stops at once.</summary>
    public async ValueTask DisposeAsync()
    {
        await _http.DisposeAsync();
        await _shell.DisposeAsync();
    }
}
