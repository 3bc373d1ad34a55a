using Flotilla.Contracts.Protos;
using Flotilla.Wire.Rpc;
using Google.Protobuf;

namespace Flotilla.Compare;

/// <summary>A system under test, called over gRPC. A get of a key that isn't there counts as answered.</summary>
internal interface ITarget
{
    Task PutAsync(RpcChannel channel, byte[] key, byte[] value);

    Task GetAsync(RpcChannel channel, byte[] key);
}

internal sealed class EtcdTarget : ITarget
{
    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(10);

    public Task PutAsync(RpcChannel channel, byte[] key, byte[] value) =>
        channel.UnaryAsync("/etcdserverpb.KV/Put", new Etcd.PutRequest { Key = UnsafeByteOperations.UnsafeWrap(key), Value = UnsafeByteOperations.UnsafeWrap(value) }, Etcd.PutResponse.Parser, Timeout);

    public Task GetAsync(RpcChannel channel, byte[] key) =>
        channel.UnaryAsync("/etcdserverpb.KV/Range", new Etcd.RangeRequest { Key = UnsafeByteOperations.UnsafeWrap(key) }, Etcd.RangeResponse.Parser, Timeout);
}

internal sealed class FlotillaTarget : ITarget
{
    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(10);

    public Task PutAsync(RpcChannel channel, byte[] key, byte[] value) =>
        channel.UnaryAsync("/flotilla.v1.KV/Put", new PutRequest { Key = UnsafeByteOperations.UnsafeWrap(key), Value = UnsafeByteOperations.UnsafeWrap(value) }, PutResponse.Parser, Timeout);

    public async Task GetAsync(RpcChannel channel, byte[] key)
    {
        try
        {
            await channel.UnaryAsync("/flotilla.v1.KV/Get", new GetRequest { Key = UnsafeByteOperations.UnsafeWrap(key) }, GetResponse.Parser, Timeout);
        }
        catch (RpcException e) when (e.Status.Code == RpcCode.NotFound)
        {
        }
    }
}
