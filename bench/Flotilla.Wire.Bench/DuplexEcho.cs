using System.Buffers;
using Flotilla.Contracts;
using Flotilla.Raft;
using Flotilla.Wire.Peers;
using Flotilla.Wire.Rpc;
using Google.Protobuf;
using Pb = Flotilla.Wire.Protos;

namespace Flotilla.Wire.Bench;

/// <summary>The stream between nodes: a frame per message, one flush per batch; with or without encoding and decoding each frame anew.</summary>
internal sealed class DuplexEcho(bool decode) : IEcho
{
    private readonly Pb.PeerFrame _ready = PeerCodec.ToProto(Sample());
    private readonly PeerFrame _sample = Sample();
    private readonly PeerFrame _into = new();
    private RpcListener _listener = null!;
    private RpcChannel _channel = null!;
    private RpcDuplex _duplex = null!;

    public async Task OpenAsync()
    {
        _listener = await RpcListener.StartAsync(new HostPort("127.0.0.1", 0), new RpcServices().Duplex(PeerCodec.StreamPath, ServeAsync));
        _channel = new RpcChannel(new HostPort("127.0.0.1", _listener.Port));
        _duplex = await _channel.OpenDuplexAsync(PeerCodec.StreamPath, TimeSpan.FromSeconds(5));
    }

    public ValueTask SendAsync(int count)
    {
        for (var i = 0; i < count; i++)
        {
            _duplex.Write(decode ? PeerCodec.ToProto(_sample) : _ready);
        }

        return _duplex.FlushAsync();
    }

    public async ValueTask<int> ReceiveAsync()
    {
        await _duplex.WaitToReadAsync();
        var count = 0;
        while (_duplex.TryRead(out var bytes))
        {
            count++;
            if (decode)
            {
                PeerCodec.Decode(bytes, _into);
            }
        }

        return count;
    }

    public async ValueTask DisposeAsync()
    {
        await _duplex.DisposeAsync();
        _channel.Dispose();
        await _listener.DisposeAsync();
    }

    /// <summary>An AppendEntries with one entry, 200 bytes as a frame with its prefix.</summary>
    internal static PeerFrame Sample()
    {
        var frame = new PeerFrame { ClusterId = 42 };
        var payload = new byte[141];
        frame.Messages.Add(new PeerEnvelope(new GroupId(7), new AppendEntries(new(3), new(100_000), new(3), [new Entry(new(100_001), new(3), EntryKind.Command, payload)], new(100_000), 77)));
        return frame;
    }

    private async Task<RpcStatus> ServeAsync(RpcDuplex duplex, RpcCall call)
    {
        var into = new PeerFrame();
        while (await duplex.WaitToReadAsync(call.Cancellation))
        {
            while (duplex.TryRead(out var bytes))
            {
                if (decode)
                {
                    PeerCodec.Decode(bytes, into);
                    duplex.Write(PeerCodec.ToProto(into));
                }
                else
                {
                    duplex.Write(_ready);
                }
            }

            await duplex.FlushAsync(call.Cancellation);
        }

        return RpcStatus.Ok;
    }
}
