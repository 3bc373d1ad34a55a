using System.Net;
using System.Net.Sockets;

namespace Flotilla.Wire.Bench;

/// <summary>The floor: the same bytes over a bare socket, no framing.</summary>
internal sealed class TcpEcho : IEcho
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly byte[] _out = new byte[EchoBench.MessageBytes * 64];
    private readonly byte[] _in = new byte[EchoBench.MessageBytes * 64];
    private TcpClient _client = null!;
    private NetworkStream _stream = null!;
    private Task _serving = null!;
    private int _partial;

    public async Task OpenAsync()
    {
        _listener.Start();
        _serving = ServeAsync();
        _client = new TcpClient { NoDelay = true };
        await _client.ConnectAsync((IPEndPoint)_listener.LocalEndpoint);
        _stream = _client.GetStream();
    }

    public ValueTask SendAsync(int count) => _stream.WriteAsync(_out.AsMemory(0, count * EchoBench.MessageBytes));

    public async ValueTask<int> ReceiveAsync()
    {
        var got = _partial + await _stream.ReadAsync(_in);
        _partial = got % EchoBench.MessageBytes;
        return got / EchoBench.MessageBytes;
    }

    public async ValueTask DisposeAsync()
    {
        _client.Dispose();
        _listener.Dispose();
        await _serving;
    }

    private async Task ServeAsync()
    {
        using var socket = await _listener.AcceptSocketAsync();
        socket.NoDelay = true;
        var buffer = new byte[64 << 10];
        int got;
        while ((got = await socket.ReceiveAsync(buffer)) > 0)
        {
            for (var sent = 0; sent < got;)
            {
                sent += await socket.SendAsync(buffer.AsMemory(sent, got - sent));
            }
        }
    }
}
