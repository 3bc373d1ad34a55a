using System.Buffers;
using System.IO.Pipelines;
using Flotilla.Contracts.Protos;
using Flotilla.Wire.Rpc;
using Google.Protobuf;

namespace Flotilla.Wire.Tests.Rpc;

public sealed class RpcFramingTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(32_000)]
    [InlineData(40_000)]
    [InlineData(1_000_000)]
    public void A_message_of_any_size_is_written_and_read_whole(int size)
    {
        var message = new GetResponse { Value = ByteString.CopyFrom(new byte[size]), Version = "1.0.2.3" };
        var output = new ArrayBufferWriter<byte>();
        Assert.Equal(RpcFraming.Write(output, message), output.WrittenCount);
        Assert.Equal(RpcFraming.ToArray(message), output.WrittenSpan.ToArray());
        var buffer = new ReadOnlySequence<byte>(output.WrittenMemory);
        Assert.True(RpcFraming.TryRead(ref buffer, 2_000_000, out var bytes));
        Assert.Equal(message, GetResponse.Parser.ParseFrom(bytes));
        Assert.True(buffer.IsEmpty);
    }

    [Fact]
    [Trait("Hazard", "55")]
    public void A_claimed_length_over_the_limit_is_refused_before_a_byte_of_it_arrives()
    {
        foreach (var claim in new uint[] { 1001, 1u << 31, uint.MaxValue })
        {
            var prefix = new byte[] { 0, (byte)(claim >> 24), (byte)(claim >> 16), (byte)(claim >> 8), (byte)claim };
            var error = Assert.Throws<RpcException>(() =>
            {
                var buffer = new ReadOnlySequence<byte>(prefix);
                RpcFraming.TryRead(ref buffer, 1000, out _);
            });
            Assert.Equal(RpcCode.ResourceExhausted, error.Code);
        }
    }

    [Fact]
    public void A_compressed_message_is_refused()
    {
        var error = Assert.Throws<RpcException>(() =>
        {
            var buffer = new ReadOnlySequence<byte>([1, 0, 0, 0, 0]);
            RpcFraming.TryRead(ref buffer, 1000, out _);
        });
        Assert.Equal(RpcCode.Unimplemented, error.Code);
    }

    [Fact]
    public async Task Messages_arriving_byte_by_byte_are_read_whole_and_in_order()
    {
        var pipe = new Pipe();
        var reader = new RpcMessageReader(pipe.Reader, 1000, "test");
        var all = new List<byte>();
        for (var i = 0; i < 20; i++)
        {
            all.AddRange(RpcFraming.ToArray(new GetResponse { Version = new string('v', i) }));
        }

        var writing = Task.Run(
            async () =>
            {
                foreach (var b in all)
                {
                    await pipe.Writer.WriteAsync(new[] { b }, Token);
                }

                await pipe.Writer.CompleteAsync();
            },
            Token);
        var seen = 0;
        while (await reader.WaitAsync(Token))
        {
            while (reader.TryRead(out var bytes))
            {
                Assert.Equal(seen++, GetResponse.Parser.ParseFrom(bytes).Version.Length);
            }
        }

        await writing;
        Assert.Equal(20, seen);
    }

    [Fact]
    public async Task A_reader_that_stops_between_messages_finds_the_rest_later()
    {
        var pipe = new Pipe();
        var reader = new RpcMessageReader(pipe.Reader, 1000, "test");
        await pipe.Writer.WriteAsync(RpcFraming.ToArray(new GetResponse { Version = "a" }), Token);
        await pipe.Writer.WriteAsync(RpcFraming.ToArray(new GetResponse { Version = "b" }), Token);
        foreach (var expected in new[] { "a", "b" })
        {
            Assert.True(await reader.WaitAsync(Token));
            Assert.True(reader.TryRead(out var bytes));
            Assert.Equal(expected, GetResponse.Parser.ParseFrom(bytes).Version);
        }
    }

    [Fact]
    public async Task A_stream_that_ends_inside_a_message_is_an_error_and_not_an_end()
    {
        var pipe = new Pipe();
        var reader = new RpcMessageReader(pipe.Reader, 1000, "test");
        await pipe.Writer.WriteAsync(RpcFraming.ToArray(new GetResponse { Version = "whole" }).AsMemory(..7), Token);
        await pipe.Writer.CompleteAsync();
        var error = await Assert.ThrowsAsync<RpcException>(async () => await reader.WaitAsync(Token));
        Assert.Equal(RpcFailure.Protocol, error.Failure);
    }
}
