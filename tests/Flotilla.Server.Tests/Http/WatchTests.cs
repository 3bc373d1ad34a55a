using System.Collections.Concurrent;
using System.Text;
using Flotilla.Contracts;
using Flotilla.Node;
using Flotilla.Raft;
using Flotilla.Server.Http;
using Flotilla.Server.Tests.Fakes;
using Flotilla.Shards.Watching;
using Flotilla.Topology;
using Version = Flotilla.Data.Version;

namespace Flotilla.Server.Tests.Http;

/// <summary><c>GET /watch</c>.</summary>
public sealed class WatchTests
{
    [Fact]
    public async Task Events_are_told_one_field_a_line_with_their_cursor()
    {
        await using var watches = await FakeWatches.StartAsync();
        using var reader = await watches.ReadAsync("/watch?prefix=a%2F");
        Assert.Equal(("a/", false, null), watches.Asked);
        Assert.Equal("retry: 500", await LineAsync(reader));
        Assert.Equal(["id: c0", "event: heartbeat", """data: {"cursor":"c0","leaderless":[2]}"""], await EventAsync(reader));
        watches.Tell(ShardEventKind.Put, "a/é\n", "line\r\nbreak");
        Assert.Equal(["id: c1", "event: put", """data: {"key":"a/é\n","value":"line\r\nbreak","version":"1.0.1.0"}"""], await EventAsync(reader));
        watches.Tell(ShardEventKind.Delete, "a/1", "");
        watches.Tell(ShardEventKind.Expire, "a/2", "");
        Assert.Equal(["id: c2", "event: delete", """data: {"key":"a/1","version":"1.0.2.0"}"""], await EventAsync(reader));
        Assert.Equal(["id: c3", "event: expire", """data: {"key":"a/2","version":"1.0.3.0"}"""], await EventAsync(reader));
        watches.Tell(new WatchEvent(ShardEventKind.Put, new byte[] { 255 }, new byte[] { 254 }, new Version(1, 0, 9, 0), "c9"));
        Assert.Equal("""data: {"keyBase64":"/w==","valueBase64":"/g==","version":"1.0.9.0"}""", (await EventAsync(reader))[2]);
    }

    [Fact]
    public async Task Heartbeats_carry_the_cursor_while_nothing_happens_and_while_much_does()
    {
        await using var watches = await FakeWatches.StartAsync(o => o with { WatchHeartbeat = TimeSpan.FromMilliseconds(20) });
        using var reader = await watches.ReadAsync("/watch");
        await LineAsync(reader);
        for (var i = 0; i < 3; i++)
        {
            Assert.Equal("event: heartbeat", (await EventAsync(reader))[1]);
        }

        using var stop = new CancellationTokenSource();
        var telling = Task.Run(() =>
        {
            while (!stop.IsCancellationRequested && watches.Waiting < 1000)
            {
                watches.Tell(ShardEventKind.Put, "k", "v");
                Thread.Yield();
            }
        }, TestContext.Current.CancellationToken);
        var beats = 0;
        for (var i = 0; beats < 3; i++)
        {
            Assert.True(i < 5_000_000);
            beats += (await EventAsync(reader))[1] == "event: heartbeat" ? 1 : 0;
        }

        await stop.CancelAsync();
        await telling;
    }

    [Theory]
    [InlineData("/watch?key=a&prefix=b")]
    [InlineData("/watch?key=")]
    [InlineData("/watch?prefix=%zz")]
    [InlineData("/watch?keyBase64=!")]
    [InlineData("/watch?form=x")]
    [InlineData("/watch?from=a&from=b")]
    [InlineData("/watch?forward=maybe")]
    public async Task What_makes_no_sense_is_refused(string target)
    {
        await using var watches = await FakeWatches.StartAsync();
        using var client = new HttpClient();
        using var answer = await client.GetAsync(new Uri(watches.Url + target, new UriCreationOptions { DangerousDisablePathAndQueryCanonicalization = true }), TestContext.Current.CancellationToken);
        Assert.Equal(400, (int)answer.StatusCode);
    }

    [Theory]
    [InlineData("/watch?key=a%20b", "a b", true, null, null)]
    [InlineData("/watch?keyBase64=YSBi", "a b", true, null, null)]
    [InlineData("/watch?from=cur", "", false, null, "cur")]
    [InlineData("/watch?from=", "", false, null, null)]
    [InlineData("/watch?from=old", "", false, "newer", "newer")]
    public async Task Where_and_what_is_taken_from_the_query_and_the_header(string target, string bytes, bool isKey, string? header, string? from)
    {
        await using var watches = await FakeWatches.StartAsync();
        using var reader = await watches.ReadAsync(target, header);
        Assert.Equal((bytes, isKey, from), watches.Asked);
    }

    [Theory]
    [InlineData(WatchOutcome.BadCursor, 400, "bad_request")]
    [InlineData(WatchOutcome.Compacted, 410, "compacted")]
    [InlineData(WatchOutcome.NoQuorum, 503, "no_quorum")]
    [InlineData(WatchOutcome.NotLeader, 409, "not_leader")]
    [InlineData(WatchOutcome.Overloaded, 429, "overloaded")]
    public async Task A_watch_that_can_not_begin_is_a_problem(WatchOutcome outcome, int status, string code)
    {
        await using var watches = await FakeWatches.StartAsync(refuse: new WatchOpening(outcome, null, "in words", new NodeId("n9"), "127.0.0.1:9"));
        using var client = new HttpClient();
        using var answer = await client.GetAsync(new Uri(watches.Url + "/watch"), TestContext.Current.CancellationToken);
        var body = await answer.Content.ReadAsStringAsync(TestContext.Current.CancellationToken);
        Assert.Equal(status, (int)answer.StatusCode);
        Assert.Contains($"\"code\":\"{code}\"", body, StringComparison.Ordinal);
        Assert.Contains("in words", body, StringComparison.Ordinal);
        Assert.Equal(outcome == WatchOutcome.NotLeader, body.Contains("n9", StringComparison.Ordinal));
    }

    [Fact]
    public async Task One_that_fell_behind_gets_what_is_left_and_then_is_told_why_it_ends()
    {
        await using var watches = await FakeWatches.StartAsync();
        using var reader = await watches.ReadAsync("/watch");
        await LineAsync(reader);
        await EventAsync(reader);
        watches.Tell(ShardEventKind.Put, "k", "v");
        watches.Finish(WatchEnd.Slow);
        Assert.Equal("event: put", (await EventAsync(reader))[1]);
        var cut = await EventAsync(reader);
        Assert.Equal(("id: c1", "event: cut"), (cut[0], cut[1]));
        Assert.StartsWith("""data: {"reason":"slow","cursor":"c1",""", cut[2], StringComparison.Ordinal);
        Assert.Null(await LineAsync(reader));
        await Until.TrueAsync(() => watches.Disposed == 1, "the stream is let go of");
    }

    [Fact]
    public async Task A_node_that_stops_sends_its_watches_elsewhere_at_once()
    {
        await using var watches = await FakeWatches.StartAsync();
        using var reader = await watches.ReadAsync("/watch");
        await LineAsync(reader);
        await EventAsync(reader);
        var stopping = watches.Door.StopAsync(TimeSpan.FromSeconds(20));
        var cut = await EventAsync(reader);
        Assert.StartsWith("""data: {"reason":"stopping","cursor":"c0",""", cut[2], StringComparison.Ordinal);
        Assert.Null(await LineAsync(reader));
        await stopping.WaitAsync(TimeSpan.FromSeconds(10), TestContext.Current.CancellationToken);
    }

    [Fact]
    public async Task A_client_that_goes_away_leaves_nothing_behind()
    {
        await using var watches = await FakeWatches.StartAsync();
        using (var reader = await watches.ReadAsync("/watch"))
        {
            await LineAsync(reader);
            await EventAsync(reader);
        }

        await Until.TrueAsync(() => watches.Disposed == 1, "the stream is let go of");
    }

    private static async Task<string?> LineAsync(StreamReader reader) => await reader.ReadLineAsync(TestContext.Current.CancellationToken);

    private static async Task<List<string>> EventAsync(StreamReader reader)
    {
        var lines = new List<string>();
        while (await LineAsync(reader) is { Length: > 0 } line)
        {
            lines.Add(line);
        }

        return lines;
    }

    /// <summary>A door in front of one stream, which the test fills.</summary>
    private sealed class FakeWatches(WatchOpening? refuse) : IWatches, IAsyncDisposable
    {
        private readonly FakeStream _stream = new();
        private readonly HttpClient _client = new();
        private int _told;

        public HttpDoor Door { get; private set; } = null!;

        public string Url => Door.Url;

        public (string Bytes, bool IsKey, string? From) Asked { get; private set; }

        public int Disposed => Volatile.Read(ref _stream.Disposed);

        public int Waiting => _stream.Events.Count;

        public static async Task<FakeWatches> StartAsync(Func<HttpDoorOptions, HttpDoorOptions>? change = null, WatchOpening? refuse = null)
        {
            var watches = new FakeWatches(refuse);
            var options = new HttpDoorOptions { Listen = new HostPort("127.0.0.1", 0) };
            watches.Door = HttpDoor.Build(change?.Invoke(options) ?? options, new FakeGateway(), watches: watches);
            await watches.Door.StartAsync(TestContext.Current.CancellationToken);
            return watches;
        }

        public async Task<StreamReader> ReadAsync(string target, string? lastEventId = null)
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, new Uri(Url + target));
            if (lastEventId is not null)
            {
                request.Headers.Add("Last-Event-ID", lastEventId);
            }

            var answer = await _client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, TestContext.Current.CancellationToken);
            Assert.Equal("text/event-stream", answer.Content.Headers.ContentType?.ToString());
            return new StreamReader(await answer.Content.ReadAsStreamAsync(TestContext.Current.CancellationToken));
        }

        public void Tell(ShardEventKind kind, string key, string value) =>
            Tell(new WatchEvent(kind, Encoding.UTF8.GetBytes(key), Encoding.UTF8.GetBytes(value), new Version(1, 0, (ulong)++_told, 0), $"c{_told}"));

        public void Tell(WatchEvent read)
        {
            _stream.Events.Enqueue(read);
            _stream.News.Release();
        }

        public void Finish(WatchEnd end)
        {
            Volatile.Write(ref _stream.Ended, (int)end);
            _stream.News.Release();
        }

        public ValueTask<WatchOpening> OpenAsync(WatchRequest request, CancellationToken cancellation)
        {
            Asked = (Encoding.UTF8.GetString(request.Filter.Bytes.Span), request.Filter.IsKey, request.From);
            return ValueTask.FromResult(refuse ?? new WatchOpening(WatchOutcome.Open, _stream, null));
        }

        public async ValueTask DisposeAsync()
        {
            await Door.DisposeAsync();
            _client.Dispose();
        }
    }

    private sealed class FakeStream : IWatchStream
    {
        public int Ended;
        public int Disposed;

        public ConcurrentQueue<WatchEvent> Events { get; } = [];

        public SemaphoreSlim News { get; } = new(0);

        public string Cursor { get; private set; } = "c0";

        public WatchEnd End => (WatchEnd)Volatile.Read(ref Ended);

        public IReadOnlyList<ShardId> Leaderless => [new ShardId(2)];

        public WatchEvent? TryTake()
        {
            if (!Events.TryDequeue(out var read))
            {
                return null;
            }

            Cursor = read.Cursor;
            return read;
        }

        public async ValueTask<bool> WaitAsync(TimeSpan patience, CancellationToken cancellation) =>
            !Events.IsEmpty || End != WatchEnd.None || await News.WaitAsync(patience, cancellation);

        public ValueTask DisposeAsync()
        {
            Interlocked.Increment(ref Disposed);
            return ValueTask.CompletedTask;
        }
    }
}
