using System.Net;
using System.Net.Sockets;
using Flotilla.Contracts;
using Flotilla.Node;
using Flotilla.Server.Http;
using Flotilla.Server.Tests.Fakes;
using Flotilla.Shards;

namespace Flotilla.Server.Tests.Http;

public sealed class HostingTests
{
    [Fact]
    public async Task A_port_in_use_says_what_to_do()
    {
        await using var first = await DoorFixture.StartAsync();
        foreach (var host in new[] { "127.0.0.1", "localhost" })
        {
            var listen = new HostPort(host, first.Door.Addresses[0].Port);
            await using var second = HttpDoor.Build(new HttpDoorOptions { Listen = listen, ListenFlag = "--listen" }, new FakeGateway());
            var failure = await Assert.ThrowsAsync<NodeFailedException>(() => second.StartAsync(TestContext.Current.CancellationToken));
            Assert.Contains($"{listen}: another process uses the port", failure.Message, StringComparison.Ordinal);
            Assert.Contains("--listen HOST:PORT", failure.Message, StringComparison.Ordinal);
        }

        Assert.Equal(200, (await first.GetAsync("/livez")).Status);
    }

    [Theory]
    [InlineData("192.0.2.1", "none of this machine's")]
    [InlineData("no-such-host.invalid", "has no address")]
    public async Task An_address_that_is_not_ours_says_so(string host, string says)
    {
        await using var door = HttpDoor.Build(new HttpDoorOptions { Listen = new HostPort(host, 0) }, new FakeGateway());
        var failure = await Assert.ThrowsAsync<NodeFailedException>(() => door.StartAsync(TestContext.Current.CancellationToken));
        Assert.Contains(says, failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Localhost_binds_both_loopback_addresses_with_one_port()
    {
        await using var door = await DoorFixture.StartAsync(o => o with { Listen = new HostPort("localhost", 0) });
        var port = door.Door.Addresses[0].Port;
        Assert.NotEqual(0, port);
        foreach (var address in new[] { IPAddress.Loopback, IPAddress.IPv6Loopback })
        {
            if (address.AddressFamily == AddressFamily.InterNetworkV6 && !Socket.OSSupportsIPv6)
            {
                continue;
            }

            using var client = new TcpClient(address.AddressFamily);
            await client.ConnectAsync(address, port, TestContext.Current.CancellationToken);
            await client.GetStream().WriteAsync("GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"u8.ToArray(), TestContext.Current.CancellationToken);
            Assert.StartsWith("HTTP/1.1 200", await DoorFixture.ReadAsync(client), StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task A_stop_answers_what_is_under_way_and_takes_nothing_new()
    {
        var answer = new TaskCompletionSource<Answer>();
        var gateway = new FakeGateway { OnExecute = (_, _) => new(answer.Task) };
        await using var door = await DoorFixture.StartAsync(gateway: gateway);
        var write = door.PutAsync("/kv/a", "v");
        await Until.TrueAsync(() => !gateway.Writes.IsEmpty, "the write has reached the gateway");

        var stop = door.Door.StopAsync(TimeSpan.FromSeconds(20));
        await Until.TrueAsync(RefusedAsync, "new connections are refused");
        Assert.False(stop.IsCompleted);
        answer.SetResult(FakeGateway.Answered(ResultCode.Ok));
        Assert.Equal(200, (await write).Status);
        await stop.WaitAsync(TimeSpan.FromSeconds(20), TestContext.Current.CancellationToken);

        async Task<bool> RefusedAsync()
        {
            try
            {
                using var client = await door.ConnectAsync();
                return false;
            }
            catch (SocketException)
            {
                return true;
            }
        }
    }

    [Fact]
    public async Task A_stop_has_busy_clients_leave_their_connections_before_it_closes_any()
    {
        await using var door = await DoorFixture.StartAsync(o => o with { Farewell = TimeSpan.FromMinutes(10) });
        using var busy = await door.ConnectAsync();
        await busy.GetStream().WriteAsync("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"u8.ToArray(), TestContext.Current.CancellationToken);
        Assert.DoesNotContain("Connection: close", await DoorFixture.ReadAsync(busy, "\r\n\r\n"), StringComparison.Ordinal);

        var stop = door.Door.StopAsync(TimeSpan.FromSeconds(20));
        await busy.GetStream().WriteAsync("GET /kv/a HTTP/1.1\r\nHost: x\r\n\r\n"u8.ToArray(), TestContext.Current.CancellationToken);
        var last = await DoorFixture.ReadAsync(busy);
        Assert.StartsWith("HTTP/1.1 404", last, StringComparison.Ordinal);
        Assert.Contains("Connection: close", last, StringComparison.Ordinal);
        Assert.False(stop.IsCompleted);
    }

    [Fact]
    public async Task A_stop_without_patience_cuts_what_is_under_way()
    {
        var gateway = new FakeGateway { OnExecute = (_, _) => new(new TaskCompletionSource<Answer>().Task) };
        await using var door = await DoorFixture.StartAsync(gateway: gateway);
        var write = door.PutAsync("/kv/a", "v");
        await Until.TrueAsync(() => !gateway.Writes.IsEmpty, "the write has reached the gateway");
        await door.Door.StopAsync(TimeSpan.FromMilliseconds(50)).WaitAsync(TimeSpan.FromSeconds(20), TestContext.Current.CancellationToken);
        await Assert.ThrowsAsync<HttpRequestException>(() => write);
    }

    /// <summary>CVE-2025-55315: a proxy that ends a chunk extension at a bare LF and a server that doesn't would see different requests.</summary>
    [Theory]
    [Trait("Hazard", "60")]
    [InlineData("5;a\nb\r\nhello\r\n0\r\n\r\n")]
    [InlineData("5;\nxx\r\nhello\r\n0\r\n\r\n")]
    [InlineData("5;a=\"\n\"\r\nhello\r\n0\r\n\r\n")]
    [InlineData("5\nhello\r\n0\r\n\r\n")]
    public async Task A_bare_line_feed_in_a_chunk_extension_is_refused(string body)
    {
        await using var door = await DoorFixture.StartAsync();
        var answer = await door.RawAsync("PUT /kv/a HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n\r\n" + body + "GET /kv/smuggled HTTP/1.1\r\nHost: x\r\n\r\n");
        Assert.StartsWith("HTTP/1.1 400", answer, StringComparison.Ordinal);
        Assert.DoesNotContain("smuggled", answer, StringComparison.Ordinal);
        Assert.Empty(door.Gateway.Writes);
        Assert.Empty(door.Gateway.Reads);
    }

    [Theory]
    [Trait("Hazard", "60")]
    [InlineData("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n")]
    [InlineData("Content-Length: 5\r\nContent-Length: 6\r\n")]
    [InlineData("Transfer-Encoding: chunked, identity\r\n")]
    public async Task A_body_of_two_lengths_never_lets_a_second_request_through(string headers)
    {
        await using var door = await DoorFixture.StartAsync();
        var answer = await door.RawAsync("PUT /kv/a HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\n" + headers + "\r\n0\r\n\r\nGET /kv/smuggled HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        var closed = answer.Contains("Connection: close", StringComparison.Ordinal) && !answer.Contains("not_found", StringComparison.Ordinal);
        Assert.True(answer.StartsWith("HTTP/1.1 400", StringComparison.Ordinal) || closed, answer);
        Assert.Empty(door.Gateway.Reads);
    }

    [Fact]
    public async Task Pipelined_requests_are_answered_in_order()
    {
        await using var door = await DoorFixture.StartAsync();
        var requests = string.Concat(Enumerable.Range(0, 50).Select(i => $"PUT /kv/k{i} HTTP/1.1\r\nHost: x\r\nContent-Length: 13\r\n\r\n{{\"value\":\"v\"}}GET /kv/k{i} HTTP/1.1\r\nHost: x\r\n\r\n"));
        var answer = await door.RawAsync(requests + "GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        var keys = answer.Split("\"key\":\"").Skip(1).Select(part => part[..part.IndexOf('"', StringComparison.Ordinal)]);
        Assert.Equal(string.Join(' ', Enumerable.Range(0, 50).Select(i => $"k{i} k{i}")), string.Join(' ', keys));
    }
}
