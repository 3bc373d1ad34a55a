using System.Net;
using System.Net.Sockets;
using Flotilla.Contracts;
using Flotilla.Contracts.Protos;
using Flotilla.Wire.Rpc;

namespace Flotilla.Wire.Tests.Rpc;

public sealed class ServerStreamingTests
{
    private const string Path = "/test.T/Watch";
    private static readonly TimeSpan Patience = RpcFixture.Patience;
    private static readonly TimeSpan Stillness = TimeSpan.FromMilliseconds(250);

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Messages_come_one_by_one_and_then_the_status()
    {
        await using var fixture = await StartAsync(async (request, writer, _) =>
        {
            for (var i = 1u; i <= request.IntervalMs; i++)
            {
                await writer.WriteAsync(new MonitorEvent { AgeMs = i });
            }

            return new RpcStatus(RpcCode.ResourceExhausted, "enough");
        });
        var seen = 0ul;
        var error = await Assert.ThrowsAsync<RpcException>(async () =>
        {
            await foreach (var message in fixture.Channel.ServerStreamingAsync(Path, new MonitorRequest { IntervalMs = 1000 }, MonitorEvent.Parser, Patience, Token))
            {
                Assert.Equal(++seen, message.AgeMs);
            }
        });
        Assert.Equal(1000ul, seen);
        Assert.Equal("enough", error.Status.Message);
    }

    [Fact]
    public async Task A_reader_that_leaves_early_ends_the_handler()
    {
        var ended = new TaskCompletionSource();
        await using var fixture = await StartAsync(async (_, writer, call) =>
        {
            using var registration = call.Cancellation.Register(ended.SetResult);
            await writer.WriteAsync(new MonitorEvent());
            await Task.Delay(Timeout.Infinite, call.Cancellation);
            return RpcStatus.Ok;
        });
        await foreach (var message in fixture.Channel.ServerStreamingAsync(Path, new MonitorRequest(), MonitorEvent.Parser, null, Token))
        {
            Assert.Empty(message.Nodes);
            break;
        }

        await ended.Task.WaitAsync(Patience, Token);
    }

    [Fact]
    [Trait("Hazard", "57")]
    public async Task A_reader_that_does_not_read_holds_up_the_writer_instead_of_filling_its_memory()
    {
        long written = 0;
        await using var fixture = await StartAsync(async (_, writer, _) =>
        {
            var message = new MonitorEvent { Node = new string('n', 100_000) };
            while (true)
            {
                await writer.WriteAsync(message);
                Interlocked.Add(ref written, 100_000);
            }
        });
        await using var reading = fixture.Channel.ServerStreamingAsync(Path, new MonitorRequest(), MonitorEvent.Parser, null, Token).GetAsyncEnumerator(Token);
        Assert.True(await reading.MoveNextAsync());
        var last = -1L;
        while (last != Interlocked.Read(ref written))
        {
            // Standing still for a while is what "held up" means; a slow machine only takes more rounds.
            last = Interlocked.Read(ref written);
            await Task.Delay(Stillness, Token);
        }

        Assert.True(last < 64 << 20, $"{last} bytes were written ahead of a reader that took one message");
    }

    [Fact]
    public async Task A_server_that_falls_silent_is_found_by_pings()
    {
        // A proxy stands for a process that is stopped: its connection stays open and nothing comes through.
        await using var fixture = await StartAsync(async (_, writer, call) =>
        {
            await writer.WriteAsync(new MonitorEvent());
            await Task.Delay(Timeout.Infinite, call.Cancellation);
            return RpcStatus.Ok;
        });
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        using var frozen = new CancellationTokenSource();
        var proxy = ProxyAsync(listener, fixture.Listener.Port, frozen.Token);
        using var channel = new RpcChannel(new HostPort("127.0.0.1", ((IPEndPoint)listener.LocalEndpoint).Port), new RpcChannelOptions { PingAfter = TimeSpan.FromSeconds(1), PingTimeout = TimeSpan.FromSeconds(1) });
        await using var reading = channel.ServerStreamingAsync(Path, new MonitorRequest(), MonitorEvent.Parser, null, Token).GetAsyncEnumerator(Token);
        Assert.True(await reading.MoveNextAsync());
        await frozen.CancelAsync();
        var error = await Assert.ThrowsAsync<RpcException>(() => reading.MoveNextAsync().AsTask().WaitAsync(Patience, Token));
        Assert.True(error.Failure == RpcFailure.TimedOut, error.ToString());
        listener.Stop();
        await proxy;
    }

    private static async Task ProxyAsync(TcpListener listener, int port, CancellationToken frozen)
    {
        using var front = await listener.AcceptTcpClientAsync(Token);
        using var back = new TcpClient();
        await back.ConnectAsync(IPAddress.Loopback, port, Token);
        var stopped = new TaskCompletionSource();
        using var registration = frozen.Register(stopped.SetResult);
        async Task CopyAsync(Stream from, Stream to)
        {
            try
            {
                await from.CopyToAsync(to, frozen);
            }
            catch (Exception e) when (e is OperationCanceledException or IOException)
            {
                // Frozen: from here on bytes stay where they are.
            }
        }

        await Task.WhenAll(CopyAsync(front.GetStream(), back.GetStream()), CopyAsync(back.GetStream(), front.GetStream()), stopped.Task);

        // Hold the connection open until the caller has given it up.
        var rest = new byte[256];
        try
        {
            while (await front.GetStream().ReadAsync(rest, Token) > 0)
            {
            }
        }
        catch (IOException)
        {
            // Reset by the caller: given up as well.
        }
    }

    private static Task<RpcFixture> StartAsync(Func<MonitorRequest, RpcStreamWriter<MonitorEvent>, RpcCall, Task<RpcStatus>> handler) =>
        RpcFixture.StartAsync(s => s.ServerStreaming(Path, MonitorRequest.Parser, handler));
}
