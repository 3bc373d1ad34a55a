using System.Buffers;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;

namespace Flotilla.Server.Bench;

/// <summary>The least that Kestrel can do: the floor for the door's figures.</summary>
internal sealed class HelloServer : IHttpApplication<IFeatureCollection>
{
    private static readonly byte[] Body = "{\"hello\":\"world\"}"u8.ToArray();

    public static async Task<IDisposable> StartAsync(int port)
    {
        var options = new KestrelServerOptions { AddServerHeader = false };
        options.ListenLocalhost(port, listen => listen.Protocols = HttpProtocols.Http1);
        var transport = new SocketTransportFactory(Options.Create(new SocketTransportOptions()), NullLoggerFactory.Instance);
        var server = new KestrelServer(Options.Create(options), transport, NullLoggerFactory.Instance);
        await server.StartAsync(new HelloServer(), CancellationToken.None);
        return server;
    }

    public IFeatureCollection CreateContext(IFeatureCollection contextFeatures) => contextFeatures;

    public Task ProcessRequestAsync(IFeatureCollection context)
    {
        var headers = context.Get<IHttpResponseFeature>()!.Headers;
        headers.ContentType = "application/json";
        headers.ContentLength = Body.Length;
        var output = context.Get<IHttpResponseBodyFeature>()!;
        var started = output.StartAsync();
        output.Writer.Write(Body);
        return started;
    }

    public void DisposeContext(IFeatureCollection context, Exception? exception)
    {
    }
}
