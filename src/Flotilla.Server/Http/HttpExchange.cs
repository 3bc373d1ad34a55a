using System.Buffers;
using System.IO.Pipelines;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Flotilla.Contracts.Http;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;

namespace Flotilla.Server.Http;

/// <summary>
/// One request and its answer on one connection; HTTP/1.1 has one at a time, so the object is made once per connection
/// and used again. It reads and writes the server's features directly: there is no <c>HttpContext</c>.
/// </summary>
internal sealed class HttpExchange
{
    /// <summary>An answer up to this long stays in the connection's buffer until the request ends, which sends it with its headers in one packet.</summary>
    private const int FlushAbove = 32 << 10;

    private IFeatureCollection _features = null!;
    private IHttpRequestFeature _request = null!;
    private IHttpResponseFeature _response = null!;

    /// <summary>The route, once it is known.</summary>
    public Route Route { get; set; }

    /// <summary>The method.</summary>
    public Verbs Verb { get; private set; }

    /// <summary>When the request arrived, as <see cref="System.Diagnostics.Stopwatch"/> counts.</summary>
    public long StartedAt { get; private set; }

    /// <summary>The status answered, or 0 while there is no answer.</summary>
    public int Status { get; private set; }

    /// <summary>What this request holds of the budget for bodies.</summary>
    public long ReservedBytes { get; set; }

    /// <summary>The method's token.</summary>
    public string Method => _request.Method;

    /// <summary>The raw target.</summary>
    public string RawTarget => _features.Get<IHttpRequestFeature>()!.RawTarget;

    /// <summary>The request's headers.</summary>
    public IHeaderDictionary Headers => _request.Headers;

    /// <summary>The answer's headers.</summary>
    public IHeaderDictionary ResponseHeaders => _response.Headers;

    /// <summary>The request's body.</summary>
    public PipeReader Body => _features.Get<IRequestBodyPipeFeature>()!.Reader;

    /// <summary>True once the client is gone.</summary>
    public bool ClientIsGone => _features.Get<IHttpRequestLifetimeFeature>()?.RequestAborted.IsCancellationRequested == true;

    /// <summary>Cancelled when the client goes away.</summary>
    public CancellationToken Gone => _features.Get<IHttpRequestLifetimeFeature>()?.RequestAborted ?? CancellationToken.None;

    /// <summary>Starts over with the connection's next request.</summary>
    public void Begin(IFeatureCollection features, long startedAt)
    {
        _features = features;
        _request = features.Get<IHttpRequestFeature>()!;
        _response = features.Get<IHttpResponseFeature>()!;
        Route = Route.Unknown;
        Verb = Routes.VerbOf(_request.Method);
        StartedAt = startedAt;
        Status = 0;
        ReservedBytes = 0;
    }

    /// <summary>Answers with a whole body. A client that is gone is no error.</summary>
    public Task Send(int status, string contentType, ReadOnlySpan<byte> body)
    {
        Head(status, contentType, body.Length);
        if (Verb == Verbs.Head)
        {
            return Task.CompletedTask;
        }

        // Once the headers stand in the connection's buffer, the body is written behind them without a copy in between.
        var output = _features.Get<IHttpResponseBodyFeature>()!;
        var started = output.StartAsync();
        if (!started.IsCompletedSuccessfully)
        {
            return SendLater(started, output.Writer, body.ToArray());
        }

        try
        {
            output.Writer.Write(body);
        }
        catch (ArgumentOutOfRangeException) when (ClientIsGone)
        {
            // The pipe of a connection that was cut gives no room to write to.
            return Task.CompletedTask;
        }

        return body.Length <= FlushAbove ? Task.CompletedTask : Flush(output.Writer);
    }

    /// <summary>Answers with JSON that stands in this thread's scratch.</summary>
    public Task Send(int status, JsonScratch json) => Send(status, "application/json", json.Written);

    /// <summary>Answers with a document.</summary>
    public Task Send<T>(int status, T document, JsonTypeInfo<T> type)
    {
        var json = JsonScratch.Begin(out var writer);
        JsonSerializer.Serialize(writer, document, type);
        return Send(status, json);
    }

    /// <summary>Answers with a body of unknown length, which the caller writes. If it can't be written to its end, <see cref="Abort"/>.</summary>
    public async Task<PipeWriter> Begin(int status, string contentType)
    {
        Status = status;
        _response.StatusCode = status;
        _response.Headers.ContentType = contentType;
        var output = _features.Get<IHttpResponseBodyFeature>()!;
        await output.StartAsync();
        return output.Writer;
    }

    /// <summary>Cuts the connection: the client must not take what it got for a whole answer.</summary>
    public void Abort() => _features.Get<IHttpRequestLifetimeFeature>()?.Abort();

    /// <summary>Answers without a body.</summary>
    public Task SendNothing(int status)
    {
        Status = status;
        _response.StatusCode = status;
        return Task.CompletedTask;
    }

    /// <summary>Answers with a problem (RFC 9457).</summary>
    public Task Fail(ProblemKind kind, Problem document)
    {
        if (kind.RetryAfter)
        {
            ResponseHeaders.RetryAfter = "1";
        }

        var json = JsonScratch.Begin(out var writer);
        JsonSerializer.Serialize(writer, document, DocumentsJson.Default.Problem);
        return Send(kind.Status, "application/problem+json", json.Written);
    }

    /// <summary>Answers with a problem and what to say about it.</summary>
    public Task Fail(ProblemKind kind, string? detail = null) => Fail(kind, Problems.Document(kind, detail));

    private static async Task SendLater(Task started, PipeWriter writer, byte[] body)
    {
        await started;
        await writer.WriteAsync(body);
    }

    private static async Task Flush(PipeWriter writer) => await writer.FlushAsync();

    private void Head(int status, string contentType, int length)
    {
        Status = status;
        _response.StatusCode = status;
        var headers = _response.Headers;
        headers.ContentType = contentType;
        headers.ContentLength = length;
    }
}
