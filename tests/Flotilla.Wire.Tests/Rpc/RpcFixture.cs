using Flotilla.Contracts;
using Flotilla.Contracts.Protos;
using Flotilla.Wire.Rpc;

namespace Flotilla.Wire.Tests.Rpc;

/// <summary>A server on a free loopback port and a channel to it.</summary>
internal sealed class RpcFixture : IAsyncDisposable
{
    private RpcFixture(RpcListener listener, RpcChannel channel)
    {
        Listener = listener;
        Channel = channel;
    }

    public static TimeSpan Patience { get; } = TimeSpan.FromSeconds(60);

    public RpcListener Listener { get; }

    public RpcChannel Channel { get; }

    public static async Task<RpcFixture> StartAsync(Action<RpcServices> register, RpcChannelOptions? options = null)
    {
        var services = new RpcServices();
        register(services);
        var listener = await RpcListener.StartAsync(new HostPort("127.0.0.1", 0), services);
        return new RpcFixture(listener, new RpcChannel(new HostPort("127.0.0.1", listener.Port), options));
    }

    public Task<GetResponse> GetAsync(string path, string key = "k", TimeSpan? timeout = null, CancellationToken cancellation = default) =>
        Channel.UnaryAsync(path, new GetRequest { Key = Google.Protobuf.ByteString.CopyFromUtf8(key) }, GetResponse.Parser, timeout, cancellation);

    public async ValueTask DisposeAsync()
    {
        Channel.Dispose();
        await Listener.DisposeAsync();
    }
}
