using Flotilla.Contracts;
using Flotilla.Contracts.Protos;
using Flotilla.Server.Grpc;
using Flotilla.Server.Tests.Fakes;
using Flotilla.Wire.Rpc;
using Google.Protobuf;

namespace Flotilla.Server.Tests.Grpc;

/// <summary>The gRPC door over a fake gateway, on a free loopback port.</summary>
internal sealed class KvFixture : IAsyncDisposable
{
    private KvFixture(FakeGateway gateway, RpcListener listener)
    {
        Gateway = gateway;
        Listener = listener;
        Channel = new RpcChannel(new HostPort("127.0.0.1", listener.Port));
    }

    public FakeGateway Gateway { get; }

    public RpcListener Listener { get; }

    public RpcChannel Channel { get; }

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public static async Task<KvFixture> StartAsync(KvServiceOptions? options = null, FakeChanges? changes = null)
    {
        var gateway = new FakeGateway { View = Views.OneShard("n1", 3) };
        var services = new RpcServices();
        new KvService(gateway, options ?? new KvServiceOptions(), changes: changes).Register(services);
        return new KvFixture(gateway, await RpcListener.StartAsync(new HostPort("127.0.0.1", 0), services, cancellation: Token));
    }

    public Task<GetResponse> GetAsync(GetRequest request, TimeSpan? timeout = null) => Channel.UnaryAsync("/flotilla.v1.KV/Get", request, GetResponse.Parser, timeout, Token);

    public Task<PutResponse> PutAsync(PutRequest request, TimeSpan? timeout = null) => Channel.UnaryAsync("/flotilla.v1.KV/Put", request, PutResponse.Parser, timeout, Token);

    public Task<PutResponse> PutAsync(PutRequest request, params (string Name, string Value)[] metadata) =>
        Channel.UnaryAsync("/flotilla.v1.KV/Put", request, PutResponse.Parser, [.. metadata.Select(m => KeyValuePair.Create(m.Name, m.Value))], null, Token);

    public Task<DeleteResponse> DeleteAsync(DeleteRequest request, params (string Name, string Value)[] metadata) =>
        Channel.UnaryAsync("/flotilla.v1.KV/Delete", request, DeleteResponse.Parser, [.. metadata.Select(m => KeyValuePair.Create(m.Name, m.Value))], null, Token);

    public Task<DeleteResponse> DeleteAsync(DeleteRequest request) => Channel.UnaryAsync("/flotilla.v1.KV/Delete", request, DeleteResponse.Parser, null, Token);

    public Task<ScanResponse> ScanAsync(ScanRequest request) => Channel.UnaryAsync("/flotilla.v1.KV/Scan", request, ScanResponse.Parser, null, Token);

    public IAsyncEnumerable<MonitorEvent> MonitorAsync(MonitorRequest request) => Channel.ServerStreamingAsync("/flotilla.v1.KV/Monitor", request, MonitorEvent.Parser, null, Token);

    public static ByteString Bytes(string text) => ByteString.CopyFromUtf8(text);

    public async ValueTask DisposeAsync()
    {
        Channel.Dispose();
        await Listener.DisposeAsync();
    }
}
