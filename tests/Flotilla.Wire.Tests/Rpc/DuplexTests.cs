using System.Net;
using System.Net.Sockets;
using Flotilla.Contracts;
using Flotilla.Contracts.Protos;
using Flotilla.Wire.Rpc;
using Google.Protobuf;

namespace Flotilla.Wire.Tests.Rpc;

public sealed class DuplexTests
{
    private const string Echo = "/test.T/Echo";
    private static readonly TimeSpan Patience = RpcFixture.Patience;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_hundred_thousand_frames_come_back_in_order()
    {
        const int Count = 100_000;
        await using var fixture = await RpcFixture.StartAsync(s => s.Duplex(Echo, EchoAsync));
        await using var duplex = await fixture.Channel.OpenDuplexAsync(Echo, Patience, Token);
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(Token);
        limit.CancelAfter(Patience);
        var reading = Task.Run(async () =>
        {
            ulong next = 0;
            while (next < Count && await duplex.WaitToReadAsync(limit.Token))
            {
                while (duplex.TryRead(out var bytes))
                {
                    Assert.Equal(next++, Replica.Parser.ParseFrom(bytes).CommitIndex);
                }
            }

            return next;
        }, limit.Token);
        var message = new Replica { Role = new string('x', 100) };
        for (var i = 0; i < Count; i++)
        {
            message.CommitIndex = (ulong)i;
            duplex.Write(message);
            if (i % 64 == 63 || i == Count - 1)
            {
                await duplex.FlushAsync(limit.Token);
            }
        }

        Assert.Equal((ulong)Count, await reading);
        await duplex.CompleteAsync(limit.Token);
        Assert.False(await duplex.WaitToReadAsync(limit.Token));
        Assert.True(duplex.Status.IsOk, duplex.Status.ToString());
    }

    [Fact]
    public async Task Frames_of_many_mebibytes_come_back_whole()
    {
        await using var fixture = await RpcFixture.StartAsync(s => s.Duplex(Echo, EchoAsync));
        await using var duplex = await fixture.Channel.OpenDuplexAsync(Echo, Patience, Token);
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(Token);
        limit.CancelAfter(Patience);
        var value = new byte[15 << 20];
        new Random(7).NextBytes(value);
        var sending = Task.Run(async () =>
        {
            for (var i = 0; i < 8; i++)
            {
                duplex.Write(new GetResponse { Value = UnsafeByteOperations.UnsafeWrap(value.AsMemory(0, i % 2 == 0 ? 1 << 20 : value.Length)) });
                await duplex.FlushAsync(limit.Token);
            }
        }, limit.Token);
        var seen = 0;
        while (seen < 8 && await duplex.WaitToReadAsync(limit.Token))
        {
            while (duplex.TryRead(out var bytes))
            {
                var back = GetResponse.Parser.ParseFrom(bytes).Value;
                Assert.True(back.Span.SequenceEqual(value.AsSpan(0, seen % 2 == 0 ? 1 << 20 : value.Length)));
                seen++;
            }
        }

        await sending;
        Assert.Equal(8, seen);
    }

    [Fact]
    public async Task A_refused_connection_is_told_from_every_other_failure()
    {
        var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var port = ((IPEndPoint)listener.LocalEndpoint).Port;
        listener.Stop();
        foreach (var host in new[] { "127.0.0.1", "localhost" })
        {
            using var channel = new RpcChannel(new HostPort(host, port));
            var error = await Assert.ThrowsAsync<RpcException>(() => channel.OpenDuplexAsync(Echo, Patience, Token));
            Assert.Equal(RpcFailure.Refused, error.Failure);
        }

        using var nowhere = new RpcChannel(new HostPort("no-such-host.invalid", port));
        Assert.Equal(RpcFailure.Unreachable, (await Assert.ThrowsAsync<RpcException>(() => nowhere.OpenDuplexAsync(Echo, Patience, Token))).Failure);
    }

    [Fact]
    public async Task A_server_that_accepts_and_says_nothing_is_a_timeout()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        using var channel = new RpcChannel(new HostPort("127.0.0.1", ((IPEndPoint)listener.LocalEndpoint).Port));
        var error = await Assert.ThrowsAsync<RpcException>(() => channel.OpenDuplexAsync(Echo, TimeSpan.FromMilliseconds(300), Token));
        Assert.Equal(RpcFailure.TimedOut, error.Failure);
    }

    [Fact]
    public async Task When_the_dialling_end_aborts_the_accepting_end_sees_it_closed()
    {
        var seen = new TaskCompletionSource<Exception>();
        await using var fixture = await RpcFixture.StartAsync(s => s.Duplex(Echo, (d, c) => RecordingAsync(d, c, seen)));
        var duplex = await fixture.Channel.OpenDuplexAsync(Echo, Patience, Token);
        duplex.Write(new Replica());
        await duplex.FlushAsync(Token);
        Assert.True(await duplex.WaitToReadAsync(Token));
        duplex.Abort();
        Assert.True(duplex.Closed.IsCancellationRequested);
        var error = Assert.IsType<RpcException>(await seen.Task.WaitAsync(Patience, Token));
        Assert.Equal(RpcFailure.Closed, error.Failure);
    }

    [Fact]
    public async Task When_the_accepting_end_aborts_the_dialling_end_sees_it_closed()
    {
        await using var fixture = await RpcFixture.StartAsync(s => s.Duplex(Echo, async (d, c) =>
        {
            await d.WaitToReadAsync(c.Cancellation);
            d.Abort();
            return RpcStatus.Ok;
        }));
        await using var duplex = await fixture.Channel.OpenDuplexAsync(Echo, Patience, Token);
        duplex.Write(new Replica());
        await duplex.FlushAsync(Token);
        var error = await Assert.ThrowsAsync<RpcException>(async () => await duplex.WaitToReadAsync(Token).AsTask().WaitAsync(Patience, Token));
        Assert.Equal(RpcFailure.Closed, error.Failure);
        Assert.True(duplex.Closed.IsCancellationRequested);
    }

    [Fact]
    public async Task When_the_server_stops_the_dialling_end_sees_it_closed_and_then_refused()
    {
        var fixture = await RpcFixture.StartAsync(s => s.Duplex(Echo, EchoAsync));
        await using var duplex = await fixture.Channel.OpenDuplexAsync(Echo, Patience, Token);
        var waiting = duplex.WaitToReadAsync(Token).AsTask();
        await fixture.Listener.DisposeAsync();
        var error = await Assert.ThrowsAsync<RpcException>(() => waiting.WaitAsync(Patience, Token));
        Assert.Equal(RpcFailure.Closed, error.Failure);
        Assert.Equal(RpcFailure.Refused, (await Assert.ThrowsAsync<RpcException>(() => fixture.Channel.OpenDuplexAsync(Echo, Patience, Token))).Failure);
    }

    internal static async Task<RpcStatus> EchoAsync(RpcDuplex duplex, RpcCall call)
    {
        while (await duplex.WaitToReadAsync(call.Cancellation))
        {
            while (duplex.TryRead(out var bytes))
            {
                duplex.Write(bytes.Length > 1000 ? GetResponse.Parser.ParseFrom(bytes) : Replica.Parser.ParseFrom(bytes));
            }

            await duplex.FlushAsync(call.Cancellation);
        }

        return RpcStatus.Ok;
    }

    private static async Task<RpcStatus> RecordingAsync(RpcDuplex duplex, RpcCall call, TaskCompletionSource<Exception> seen)
    {
        try
        {
            // Without the call's token: the cut itself must end the wait.
            while (await duplex.WaitToReadAsync(CancellationToken.None))
            {
                while (duplex.TryRead(out _))
                {
                    duplex.Write(new Replica());
                }

                await duplex.FlushAsync(call.Cancellation);
            }
        }
        catch (Exception e)
        {
            seen.SetResult(e);
            throw;
        }

        return RpcStatus.Ok;
    }
}
