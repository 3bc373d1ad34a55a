using System.Diagnostics;
using System.Net;
using System.Net.Http;
using Flotilla.Contracts.Protos;
using Flotilla.Wire.Rpc;
using Google.Protobuf;

namespace Flotilla.Wire.Tests.Rpc;

public sealed class UnaryTests
{
    private const string Path = "/test.T/Get";
    private static readonly TimeSpan Patience = RpcFixture.Patience;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task An_answer_comes_back()
    {
        await using var fixture = await StartAsync((request, _) => Reply(new GetResponse { Value = request.Key, Version = "v" }));
        Assert.Equal("hello", (await fixture.GetAsync(Path, "hello", cancellation: Token)).Value.ToStringUtf8());
    }

    [Fact]
    public async Task Many_calls_at_once_share_connections_and_each_gets_its_own_answer()
    {
        await using var fixture = await StartAsync((request, _) => Reply(new GetResponse { Value = request.Key }));
        await Task.WhenAll(Enumerable.Range(0, 2000).Select(async i => Assert.Equal($"k{i}", (await fixture.GetAsync(Path, $"k{i}", Patience, Token)).Value.ToStringUtf8())));
    }

    [Fact]
    public async Task A_status_comes_back_with_its_message_and_trailers()
    {
        var status = new RpcStatus(RpcCode.FailedPrecondition, "ünmöglich: 100 %", [new(RpcStatus.CodeTrailer, "version_mismatch"), new("flotilla-version", "1.0.4.2")]);
        await using var fixture = await StartAsync((_, _) => new(status));
        var error = await Assert.ThrowsAsync<RpcException>(() => fixture.GetAsync(Path, cancellation: Token));
        Assert.Equal(RpcFailure.Status, error.Failure);
        Assert.Equal(RpcCode.FailedPrecondition, error.Code);
        Assert.Equal("ünmöglich: 100 %", error.Status.Message);
        Assert.Equal("version_mismatch", error.Status.FlotillaCode);
        Assert.Equal("1.0.4.2", error.Status.Trailer("flotilla-version"));
    }

    [Fact]
    public async Task A_handler_that_throws_answers_internal_and_keeps_its_secrets()
    {
        await using var fixture = await StartAsync((_, _) => throw new InvalidOperationException("secret"));
        var error = await Assert.ThrowsAsync<RpcException>(() => fixture.GetAsync(Path, cancellation: Token));
        Assert.Equal(RpcCode.Internal, error.Code);
        Assert.DoesNotContain("secret", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_method_that_is_not_there_is_unimplemented()
    {
        await using var fixture = await StartAsync((_, _) => Reply(new GetResponse()));
        var error = await Assert.ThrowsAsync<RpcException>(() => fixture.GetAsync("/test.T/Other", cancellation: Token));
        Assert.Equal(RpcCode.Unimplemented, error.Code);
        Assert.Contains("/test.T/Other", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_deadline_ends_the_call_at_both_ends()
    {
        var cancelled = new TaskCompletionSource<bool>();
        await using var fixture = await StartAsync(async (_, call) =>
        {
            Assert.InRange(call.Remaining!.Value.TotalMilliseconds, 1, 300);
            try
            {
                await Task.Delay(Timeout.Infinite, call.Cancellation);
            }
            finally
            {
                cancelled.SetResult(true);
            }

            return new GetResponse();
        });
        var watch = Stopwatch.StartNew();
        var error = await Assert.ThrowsAsync<RpcException>(() => fixture.GetAsync(Path, timeout: TimeSpan.FromMilliseconds(300), cancellation: Token));
        Assert.Equal(RpcCode.DeadlineExceeded, error.Code);
        Assert.True(watch.Elapsed < TimeSpan.FromSeconds(10));
        Assert.True(await cancelled.Task.WaitAsync(Patience, Token));
    }

    [Fact]
    public async Task A_caller_without_a_clock_of_its_own_is_told_of_the_deadline_by_the_server()
    {
        await using var fixture = await StartAsync(async (_, call) =>
        {
            await Task.Delay(Timeout.Infinite, call.Cancellation);
            return new GetResponse();
        });
        using var response = await PostAsync(fixture, RpcFraming.ToArray(new GetRequest()), ("grpc-timeout", "50m"));
        Assert.Equal("4", await StatusAsync(response));
    }

    [Fact]
    public async Task A_caller_that_gives_up_is_noticed_by_the_handler()
    {
        var started = new TaskCompletionSource();
        var cancelled = new TaskCompletionSource();
        await using var fixture = await StartAsync(async (_, call) =>
        {
            using var registration = call.Cancellation.Register(cancelled.SetResult);
            started.SetResult();
            await Task.Delay(Timeout.Infinite, call.Cancellation);
            return new GetResponse();
        });
        using var source = new CancellationTokenSource();
        var calling = fixture.GetAsync(Path, cancellation: source.Token);
        await started.Task.WaitAsync(Patience, Token);
        await source.CancelAsync();
        Assert.Equal(RpcFailure.Cancelled, (await Assert.ThrowsAsync<RpcException>(() => calling)).Failure);
        await cancelled.Task.WaitAsync(Patience, Token);
    }

    [Fact]
    public async Task A_request_over_the_limit_is_refused_and_the_next_one_served()
    {
        await using var fixture = await StartAsync((_, _) => Reply(new GetResponse()));
        var error = await Assert.ThrowsAsync<RpcException>(() => fixture.GetAsync(Path, new string('k', RpcFraming.DefaultMaxMessageBytes), cancellation: Token));
        Assert.Equal(RpcCode.ResourceExhausted, error.Code);
        Assert.Equal("too_large", error.Status.FlotillaCode);
        await fixture.GetAsync(Path, cancellation: Token);
    }

    [Fact]
    public async Task An_answer_over_the_limit_is_refused_by_the_caller()
    {
        await using var fixture = await StartAsync((_, _) => Reply(new GetResponse { Value = ByteString.CopyFrom(new byte[RpcFraming.DefaultMaxMessageBytes]) }));
        Assert.Equal(RpcCode.ResourceExhausted, (await Assert.ThrowsAsync<RpcException>(() => fixture.GetAsync(Path, cancellation: Token))).Code);
    }

    [Fact]
    public async Task A_body_that_is_no_such_message_is_an_invalid_argument()
    {
        await using var fixture = await StartAsync((_, _) => Reply(new GetResponse()));
        using var response = await PostAsync(fixture, [0, 0, 0, 0, 2, 0x0a, 0x7f]);
        Assert.Equal("3", await StatusAsync(response));
    }

    [Fact]
    public async Task Compression_is_refused_with_what_is_understood()
    {
        await using var fixture = await StartAsync((_, _) => Reply(new GetResponse()));
        using var response = await PostAsync(fixture, RpcFraming.ToArray(new GetRequest()), ("grpc-encoding", "gzip"));
        Assert.Equal("identity", response.Headers.GetValues("grpc-accept-encoding").Single());
        Assert.Equal("12", await StatusAsync(response));
        using var marked = await PostAsync(fixture, [1, 0, 0, 0, 0]);
        Assert.Equal("12", await StatusAsync(marked));
    }

    [Fact]
    public async Task What_is_not_grpc_gets_an_http_error_in_words()
    {
        await using var fixture = await StartAsync((_, _) => Reply(new GetResponse()));
        using var response = await PostAsync(fixture, [], ("content-type", "application/json"));
        Assert.Equal(HttpStatusCode.UnsupportedMediaType, response.StatusCode);
        Assert.Contains("gRPC", await response.Content.ReadAsStringAsync(Token), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Two_messages_or_none_are_no_unary_call()
    {
        await using var fixture = await StartAsync((_, _) => Reply(new GetResponse()));
        foreach (var body in new byte[][] { [], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 9, 1] })
        {
            using var response = await PostAsync(fixture, body);
            Assert.Equal("13", await StatusAsync(response));
        }
    }

    [Fact]
    public async Task A_refused_connection_is_unavailable_and_says_refused()
    {
        var fixture = await StartAsync((_, _) => Reply(new GetResponse()));
        await fixture.GetAsync(Path, cancellation: Token);
        await fixture.Listener.DisposeAsync();
        var watch = Stopwatch.StartNew();
        RpcException error;
        do
        {
            // The first call may still go out on the connection that is just being cut.
            error = await Assert.ThrowsAsync<RpcException>(() => fixture.GetAsync(Path, cancellation: Token));
            Assert.Equal(RpcCode.Unavailable, error.Code);
        }
        while (error.Failure == RpcFailure.Closed && watch.Elapsed < Patience);
        Assert.Equal(RpcFailure.Refused, error.Failure);
        fixture.Channel.Dispose();
    }

    private static Task<RpcFixture> StartAsync(Func<GetRequest, RpcCall, ValueTask<RpcReply<GetResponse>>> handler) =>
        RpcFixture.StartAsync(s => s.Unary(Path, GetRequest.Parser, handler));

    private static ValueTask<RpcReply<GetResponse>> Reply(GetResponse response) => new(response);

    private static async Task<HttpResponseMessage> PostAsync(RpcFixture fixture, byte[] body, params (string Name, string Value)[] headers)
    {
        using var client = new HttpMessageInvoker(new SocketsHttpHandler { UseProxy = false });
        using var request = new HttpRequestMessage(HttpMethod.Post, $"http://127.0.0.1:{fixture.Listener.Port}{Path}")
        {
            Version = HttpVersion.Version20,
            VersionPolicy = HttpVersionPolicy.RequestVersionExact,
            Content = new ByteArrayContent(body),
        };
        request.Content.Headers.TryAddWithoutValidation("content-type", headers.FirstOrDefault(h => h.Name == "content-type").Value ?? "application/grpc+proto");
        foreach (var (name, value) in headers.Where(h => h.Name != "content-type"))
        {
            request.Headers.TryAddWithoutValidation(name, value);
        }

        var response = await client.SendAsync(request, Token);
        await response.Content.LoadIntoBufferAsync(Token);
        return response;
    }

    private static async Task<string> StatusAsync(HttpResponseMessage response)
    {
        await response.Content.ReadAsByteArrayAsync(Token);
        return (response.TrailingHeaders.TryGetValues("grpc-status", out var values) ? values : response.Headers.GetValues("grpc-status")).Single();
    }
}
