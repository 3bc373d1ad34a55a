using System.Buffers.Binary;
using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Flotilla.Contracts.Protos;
using Flotilla.Wire.Rpc;

namespace Flotilla.Wire.Tests.Rpc;

/// <summary>A client that opens streams and resets them at once, written down to the frames (RFC 9113, section 4.1).</summary>
public sealed class RapidResetTests
{
    private const string Slow = "/test.T/Slow";
    private const string Quick = "/test.T/Quick";
    private const int GoAway = 7;
    private const uint EnhanceYourCalm = 0xb;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    [Trait("Hazard", "61")]
    public async Task A_flood_of_streams_opened_and_reset_is_cut_off_while_others_are_served()
    {
        var started = 0;
        var release = new TaskCompletionSource();
        await using var fixture = await RpcFixture.StartAsync(s => s
            .Unary<GetRequest, GetResponse>(Quick, GetRequest.Parser, (request, _) => new(new GetResponse { Value = request.Key }))
            .Duplex(Slow, async (_, _) =>
            {
                // Work that does not stop when its stream is reset: the worst case of the attack.
                Interlocked.Increment(ref started);
                await release.Task;
                return RpcStatus.Ok;
            }));

        using var attacker = new TcpClient();
        await attacker.ConnectAsync(IPAddress.Loopback, fixture.Listener.Port, Token);
        var stream = attacker.GetStream();
        await stream.WriteAsync("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"u8.ToArray(), Token);
        await stream.WriteAsync(Frame(4, 0, 0, []), Token);
        var goodbye = ReadGoAwayAsync(stream);
        var opened = 0;
        try
        {
            while (opened < 5000 && !goodbye.IsCompleted)
            {
                var id = (2 * opened) + 1;
                var before = Volatile.Read(ref started);
                await stream.WriteAsync(Frame(1, 4, id, Headers()), Token);
                opened++;

                // Each handler gets the time to begin, as long as more of them may.
                var patience = Stopwatch.StartNew();
                while (opened <= 2 * RpcKestrel.MaxStreamsPerConnection && before == Volatile.Read(ref started) && !goodbye.IsCompleted && patience.Elapsed < RpcFixture.Patience)
                {
                    await Task.Yield();
                }

                await stream.WriteAsync(Frame(3, 0, id, [0, 0, 0, 8]), Token);
            }
        }
        catch (IOException)
        {
            // Cut off while sending: just what ought to happen.
        }

        // Others are served all the while.
        Assert.Equal("k", (await fixture.GetAsync(Quick, cancellation: Token)).Value.ToStringUtf8());
        var said = await goodbye.WaitAsync(RpcFixture.Patience, Token);
        Assert.True(said is null or EnhanceYourCalm, $"cut off with {said:x}");
        Assert.Equal(2 * RpcKestrel.MaxStreamsPerConnection, Volatile.Read(ref started));
        release.SetResult();
    }

    /// <summary>Reads until the server cuts the connection; what it said last, or null if its goodbye was lost with the connection.</summary>
    private static async Task<uint?> ReadGoAwayAsync(NetworkStream stream)
    {
        var header = new byte[9];
        uint? said = null;
        try
        {
            while (true)
            {
                await stream.ReadExactlyAsync(header, Token);
                var payload = new byte[(header[0] << 16) | (header[1] << 8) | header[2]];
                await stream.ReadExactlyAsync(payload, Token);
                if (header[3] == GoAway)
                {
                    said = BinaryPrimitives.ReadUInt32BigEndian(payload.AsSpan(4));
                }
            }
        }
        catch (IOException)
        {
            return said;
        }
    }

    private static byte[] Frame(byte type, byte flags, int stream, byte[] payload) =>
        [(byte)(payload.Length >> 16), (byte)(payload.Length >> 8), (byte)payload.Length, type, flags, (byte)(stream >> 24), (byte)(stream >> 16), (byte)(stream >> 8), (byte)stream, .. payload];

    // HPACK (RFC 7541) without a dynamic table: POST and http stand in the static one, the rest is literal.
    private static byte[] Headers() =>
        [0x83, 0x86, 0x04, .. Text(Slow), 0x01, .. Text("localhost"), 0x0f, 0x10, .. Text("application/grpc"), 0x00, .. Text("te"), .. Text("trailers")];

    private static byte[] Text(string text) => [(byte)text.Length, .. Encoding.ASCII.GetBytes(text)];
}
