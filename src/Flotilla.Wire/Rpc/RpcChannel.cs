using System.IO.Pipelines;
using System.Net;
using System.Net.Http;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using Flotilla.Contracts;
using Google.Protobuf;

namespace Flotilla.Wire.Rpc;

/// <summary>
/// A way to one server: HTTP/2 without TLS, with prior knowledge, no proxy. The name is resolved at each dial. Calls share
/// connections; each duplex stream has one of its own. Thread-safe.
/// </summary>
public sealed class RpcChannel : IDisposable
{
    private static readonly MediaTypeHeaderValue GrpcType = new("application/grpc");
    private readonly RpcChannelOptions _options;
    private readonly HttpMessageInvoker _calls;
    private readonly string _base;

    /// <summary>A channel to <paramref name="address"/>; nothing is dialled before the first call.</summary>
    public RpcChannel(HostPort address, RpcChannelOptions? options = null)
    {
        Address = address;
        _options = options ?? new RpcChannelOptions();
        _base = $"http://{address}";
        _calls = Dialler();
    }

    /// <summary>The server's address.</summary>
    public HostPort Address { get; }

    /// <summary>One message out, one in.</summary>
    /// <param name="path"><c>/package.Service/Method</c>.</param>
    /// <param name="request">The request.</param>
    /// <param name="parser">Of the answer.</param>
    /// <param name="timeout">The call's deadline from now, sent along; null for none.</param>
    /// <param name="cancellation">Gives up: the server is told.</param>
    /// <exception cref="RpcException">Any outcome but Ok.</exception>
    public Task<TResponse> UnaryAsync<TResponse>(string path, IMessage request, MessageParser<TResponse> parser, TimeSpan? timeout = null, CancellationToken cancellation = default)
        where TResponse : class, IMessage<TResponse> => UnaryAsync(path, request, parser, [], timeout, cancellation);

    /// <summary>The same with metadata.</summary>
    /// <param name="path"><c>/package.Service/Method</c>.</param>
    /// <param name="request">The request.</param>
    /// <param name="parser">Of the answer.</param>
    /// <param name="metadata">Sent as headers: names in lower case, values in ASCII.</param>
    /// <param name="timeout">The call's deadline from now, sent along; null for none.</param>
    /// <param name="cancellation">Gives up: the server is told.</param>
    /// <exception cref="RpcException">Any outcome but Ok.</exception>
    public async Task<TResponse> UnaryAsync<TResponse>(string path, IMessage request, MessageParser<TResponse> parser, IReadOnlyList<KeyValuePair<string, string>> metadata, TimeSpan? timeout, CancellationToken cancellation)
        where TResponse : class, IMessage<TResponse>
    {
        ArgumentNullException.ThrowIfNull(parser);
        ArgumentNullException.ThrowIfNull(metadata);
        using var life = Life(timeout, cancellation);
        try
        {
            var body = Body(request);
            foreach (var (name, value) in metadata)
            {
                body.Headers.TryAddWithoutValidation(name, value);
            }

            using var response = await SendAsync(_calls, path, body, timeout, life.Token).ConfigureAwait(false);
            var reader = Reader(await response.Content.ReadAsStreamAsync(life.Token).ConfigureAwait(false));
            if (!await reader.WaitAsync(life.Token).ConfigureAwait(false) || !reader.TryRead(out var bytes))
            {
                ThrowUnlessOk(StatusOf(response));
                throw RpcException.Protocol(RpcCode.Internal, "the answer has no message");
            }

            var message = RpcMessageReader.Parse(parser, bytes);
            if (await reader.WaitAsync(life.Token).ConfigureAwait(false))
            {
                throw RpcException.Protocol(RpcCode.Internal, "the answer has more than one message");
            }

            ThrowUnlessOk(StatusOf(response));
            return message;
        }
        catch (Exception e) when (e is not RpcException && RpcException.IsTransport(e))
        {
            throw Explain(e, life, cancellation);
        }
    }

    /// <summary>One message out, many in. Leaving the enumeration early tells the server.</summary>
    /// <inheritdoc cref="UnaryAsync{TResponse}(string, IMessage, MessageParser{TResponse}, TimeSpan?, CancellationToken)"/>
    public async IAsyncEnumerable<TResponse> ServerStreamingAsync<TResponse>(string path, IMessage request, MessageParser<TResponse> parser, TimeSpan? timeout = null, [EnumeratorCancellation] CancellationToken cancellation = default)
        where TResponse : class, IMessage<TResponse>
    {
        using var life = Life(timeout, cancellation);
        HttpResponseMessage? response = null;
        try
        {
            RpcMessageReader? reader = null;
            while (true)
            {
                var more = false;
                try
                {
                    if (reader is null)
                    {
                        response = await SendAsync(_calls, path, Body(request), timeout, life.Token).ConfigureAwait(false);
                        reader = Reader(await response.Content.ReadAsStreamAsync(life.Token).ConfigureAwait(false));
                    }

                    more = await reader.WaitAsync(life.Token).ConfigureAwait(false);
                }
                catch (Exception e) when (e is not RpcException && RpcException.IsTransport(e))
                {
                    throw Explain(e, life, cancellation);
                }

                if (!more)
                {
                    ThrowUnlessOk(StatusOf(response!));
                    yield break;
                }

                while (reader.TryRead(out var bytes))
                {
                    yield return RpcMessageReader.Parse(parser, bytes);
                }
            }
        }
        finally
        {
            response?.Dispose();
        }
    }

    /// <summary>
    /// Dials a connection of its own and opens a bidirectional stream on it. Done when the server has accepted the stream;
    /// <see cref="RpcException.Failure"/> tells a refused connection from an unreachable host and from silence.
    /// </summary>
    /// <param name="path"><c>/package.Service/Method</c>.</param>
    /// <param name="timeout">For the opening only.</param>
    /// <param name="cancellation">Gives up the opening.</param>
    public async Task<RpcDuplex> OpenDuplexAsync(string path, TimeSpan timeout, CancellationToken cancellation = default)
    {
        var dialler = Dialler();
        var life = new CancellationTokenSource();
        var content = new RpcDuplexContent();
        HttpResponseMessage? response = null;
        try
        {
            using var opening = Life(timeout, cancellation);
            using (opening.Token.UnsafeRegister(static state => ((CancellationTokenSource)state!).Cancel(), life))
            {
                try
                {
                    response = await SendAsync(dialler, path, content, null, life.Token).ConfigureAwait(false);
                    if (Header(response.Headers, "grpc-status") is not null)
                    {
                        // The server ended the call before it took the stream, and says why.
                        ThrowUnlessOk(StatusOf(response));
                        throw RpcException.Protocol(RpcCode.Internal, $"{Address} ended the stream at once");
                    }

                    var request = await content.Opened.WaitAsync(life.Token).ConfigureAwait(false);
                    var reply = await response.Content.ReadAsStreamAsync(life.Token).ConfigureAwait(false);
                    var input = PipeReader.Create(reply, new StreamPipeReaderOptions(bufferSize: 64 << 10, minimumReadSize: 8 << 10));
                    var output = PipeWriter.Create(request, new StreamPipeWriterOptions(minimumBufferSize: 64 << 10, leaveOpen: true));
                    return new RpcDuplex(input, output, new ClientEnd(Address.ToString(), dialler, life, response, content), _options.MaxFrameBytes);
                }
                catch (Exception e) when (e is not RpcException && RpcException.IsTransport(e))
                {
                    throw Explain(e, opening, cancellation);
                }
            }
        }
        catch
        {
            await life.CancelAsync().ConfigureAwait(false);
            content.Finish();
            response?.Dispose();
            dialler.Dispose();
            life.Dispose();
            throw;
        }
    }

    /// <summary>Closes the connections of the calls; duplex streams live on.</summary>
    public void Dispose() => _calls.Dispose();

    internal static RpcStatus StatusOf(HttpResponseMessage response)
    {
        // A call without any message may have its status in the headers ("Trailers-Only").
        HttpHeaders source = Header(response.TrailingHeaders, "grpc-status") is null ? response.Headers : response.TrailingHeaders;
        if (!int.TryParse(Header(source, "grpc-status"), out var code))
        {
            return new RpcStatus(RpcCode.Unknown, "the call ended without a status");
        }

        List<KeyValuePair<string, string>>? trailers = null;
        foreach (var (name, values) in source)
        {
            if (name.StartsWith("flotilla-", StringComparison.OrdinalIgnoreCase))
            {
                (trailers ??= []).Add(new(name.ToLowerInvariant(), RpcText.PercentDecode(string.Join(',', values))));
            }
        }

        var message = Header(source, "grpc-message");
        return new RpcStatus(code is >= 0 and <= 16 ? (RpcCode)code : RpcCode.Unknown, message is null ? null : RpcText.PercentDecode(message), trailers);
    }

    private static string? Header(HttpHeaders headers, string name) => headers.TryGetValues(name, out var values) ? values.FirstOrDefault() : null;

    private static void ThrowUnlessOk(RpcStatus status)
    {
        if (!status.IsOk)
        {
            throw new RpcException(status);
        }
    }

    private static CancellationTokenSource Life(TimeSpan? timeout, CancellationToken cancellation)
    {
        var life = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        if (timeout is { } time)
        {
            life.CancelAfter(time);
        }

        return life;
    }

    private static ByteArrayContent Body(IMessage request)
    {
        var content = new ByteArrayContent(RpcFraming.ToArray(request));
        content.Headers.ContentType = GrpcType;
        return content;
    }

    private RpcException Explain(Exception error, CancellationTokenSource life, CancellationToken caller)
    {
        if (caller.IsCancellationRequested)
        {
            return RpcException.CancelledByCaller(error);
        }

        return life.IsCancellationRequested ? RpcException.Deadline() : RpcException.FromTransport(error, Address.ToString());
    }

    private RpcMessageReader Reader(Stream stream) => new(PipeReader.Create(stream, new StreamPipeReaderOptions(bufferSize: 16 << 10)), _options.MaxMessageBytes, Address.ToString());

    private async Task<HttpResponseMessage> SendAsync(HttpMessageInvoker invoker, string path, HttpContent content, TimeSpan? timeout, CancellationToken cancellation)
    {
        var request = new HttpRequestMessage(HttpMethod.Post, _base + path)
        {
            Version = HttpVersion.Version20,
            VersionPolicy = HttpVersionPolicy.RequestVersionExact,
            Content = content,
        };
        content.Headers.ContentType ??= GrpcType;
        request.Headers.TE.Add(new TransferCodingWithQualityHeaderValue("trailers"));
        if (timeout is { } time)
        {
            request.Headers.TryAddWithoutValidation("grpc-timeout", RpcText.FormatTimeout(time));
        }

        var response = await invoker.SendAsync(request, cancellation).ConfigureAwait(false);
        if (response.StatusCode != HttpStatusCode.OK)
        {
            var code = response.StatusCode;
            response.Dispose();
            throw RpcException.Protocol(code == HttpStatusCode.NotFound ? RpcCode.Unimplemented : RpcCode.Unknown, $"{Address} answered HTTP {(int)code}: is this its RPC address?");
        }

        return response;
    }

    private HttpMessageInvoker Dialler() => new(new SocketsHttpHandler
    {
        UseProxy = false,
        UseCookies = false,
        AllowAutoRedirect = false,
        AutomaticDecompression = DecompressionMethods.None,
        ActivityHeadersPropagator = null,
        EnableMultipleHttp2Connections = true,
        InitialHttp2StreamWindowSize = RpcKestrel.StreamWindowBytes,
        KeepAlivePingDelay = _options.PingAfter,
        KeepAlivePingTimeout = _options.PingTimeout,
        KeepAlivePingPolicy = HttpKeepAlivePingPolicy.WithActiveRequests,
        ConnectCallback = ConnectAsync,
    });

    private async ValueTask<Stream> ConnectAsync(SocketsHttpConnectionContext context, CancellationToken cancellation)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        limit.CancelAfter(_options.ConnectTimeout);
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        try
        {
            await socket.ConnectAsync(context.DnsEndPoint, limit.Token).ConfigureAwait(false);
            return new NetworkStream(socket, ownsSocket: true);
        }
        catch (OperationCanceledException e) when (!cancellation.IsCancellationRequested)
        {
            socket.Dispose();
            throw new TimeoutException($"no connection to {Address} within {_options.ConnectTimeout.TotalMilliseconds} ms", e);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    private sealed class ClientEnd(string target, HttpMessageInvoker dialler, CancellationTokenSource life, HttpResponseMessage response, RpcDuplexContent content) : RpcDuplexEnd
    {
        private readonly CancellationToken _closed = life.Token;
        private int _disposed;

        public override string Target => target;

        public override CancellationToken Closed => _closed;

        public override RpcStatus Status => StatusOf(response);

        // An answer that has ended ends the call, whatever was still to be written (RFC 9113, section 8.1).
        public override void ReadToEnd() => Abort();

        public override ValueTask CompleteWritingAsync()
        {
            content.Finish();
            return default;
        }

        public override void Abort()
        {
            if (Interlocked.Exchange(ref _disposed, 1) == 0)
            {
                // In this order: the reset goes out on a connection that still stands.
                life.Cancel();
                content.Finish();
                response.Dispose();
                dialler.Dispose();
            }
        }

        public override ValueTask DisposeAsync()
        {
            Abort();
            return default;
        }
    }
}
