using Flotilla.Contracts.Protos;
using Flotilla.Node;
using Flotilla.Raft;
using Flotilla.Server.Grpc;
using Flotilla.Server.Tests.Fakes;
using Flotilla.Shards;
using Flotilla.Wire.Peers;
using Flotilla.Wire.Rpc;
using static Flotilla.Server.Tests.Grpc.KvFixture;
using Version = Flotilla.Data.Version;

namespace Flotilla.Server.Tests.Grpc;

public sealed class KvServiceTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task What_was_put_is_got_with_its_version_until_it_is_deleted()
    {
        await using var kv = await StartAsync();
        var put = await kv.PutAsync(new PutRequest { Key = Bytes("k"), Value = Bytes("v") });
        var got = await kv.GetAsync(new GetRequest { Key = Bytes("k") });
        Assert.Equal(("v", put.Version), (got.Value.ToStringUtf8(), got.Version));
        Assert.True((await kv.DeleteAsync(new DeleteRequest { Key = Bytes("k") })).Deleted);
        Assert.False((await kv.DeleteAsync(new DeleteRequest { Key = Bytes("k") })).Deleted);
        Assert.Equal("not_found", (await FailsAsync(() => kv.GetAsync(new GetRequest { Key = Bytes("k") }))).FlotillaCode);
    }

    [Fact]
    public async Task Every_kind_of_command_reaches_the_gateway_as_it_was_meant()
    {
        await using var kv = await StartAsync();
        var version = new Version(1, 2, 3, 4);
        kv.Gateway.AnswerAll(() => Task.FromResult(new Answer(new CommandResult(ResultCode.Ok, version, "41"u8.ToArray()), new(1), default, null, null)));
        var key = Bytes("k");
        var value = Bytes("v");

        await kv.PutAsync(new PutRequest { Key = key, Value = value, TtlMs = 1500 });
        Assert.Equal((CommandKind.Put, 1500L), (kv.Gateway.LastCommand.Kind, kv.Gateway.LastCommand.TtlMs));
        Assert.True(kv.Gateway.LastCommand.Key.Span.SequenceEqual("k"u8) && kv.Gateway.LastCommand.Value.Span.SequenceEqual("v"u8));

        await kv.PutAsync(new PutRequest { Key = key, Value = value, ExpectedVersion = "1.2.3.4" });
        Assert.Equal((CommandKind.CompareAndSwap, version), (kv.Gateway.LastCommand.Kind, kv.Gateway.LastCommand.Expected));

        await kv.PutAsync(new PutRequest { Key = key, Value = value, OnlyIfAbsent = true });
        Assert.Equal(CommandKind.PutIfAbsent, kv.Gateway.LastCommand.Kind);

        var incremented = await kv.PutAsync(new PutRequest { Key = key, Increment = -3 });
        Assert.Equal((CommandKind.Increment, -3L), (kv.Gateway.LastCommand.Kind, kv.Gateway.LastCommand.Delta));
        Assert.Equal(41, incremented.Number);

        await kv.PutAsync(new PutRequest { Key = key, Increment = 0 });
        Assert.Equal(CommandKind.Increment, kv.Gateway.LastCommand.Kind);

        await kv.DeleteAsync(new DeleteRequest { Key = key, ExpectedVersion = "1.2.3.4" });
        Assert.Equal((CommandKind.CompareAndDelete, version), (kv.Gateway.LastCommand.Kind, kv.Gateway.LastCommand.Expected));

        await kv.DeleteAsync(new DeleteRequest { Key = key });
        Assert.Equal(CommandKind.Delete, kv.Gateway.LastCommand.Kind);
    }

    [Fact, Trait("Hazard", "34")]
    public async Task Writes_carry_the_idempotency_key_of_their_metadata()
    {
        await using var kv = await StartAsync();
        await kv.PutAsync(new PutRequest { Key = Bytes("k"), Increment = 1 }, ("idempotency-key", "\"an id\";life=60"));
        var once = Assert.IsType<Once.ByKey>(kv.Gateway.LastCommand.Once);
        Assert.Equal(("an id", 60_000L), (System.Text.Encoding.ASCII.GetString(once.Key.Span), once.Terms.LifeMs));
        Assert.False(kv.Gateway.LastOptions.IsRetry);

        await kv.DeleteAsync(new DeleteRequest { Key = Bytes("k") }, ("idempotency-key", "id-2"), ("idempotency-retry", "true"));
        Assert.IsType<Once.ByKey>(kv.Gateway.LastCommand.Once);
        Assert.True(kv.Gateway.LastOptions.IsRetry);

        await kv.PutAsync(new PutRequest { Key = Bytes("k") });
        Assert.Null(kv.Gateway.LastCommand.Once);
        foreach (var wrong in new[] { "", "\"", "a b" })
        {
            Assert.Equal("bad_request", (await FailsAsync(() => kv.PutAsync(new PutRequest { Key = Bytes("k") }, ("idempotency-key", wrong)))).FlotillaCode);
            Assert.Equal("bad_request", (await FailsAsync(() => kv.DeleteAsync(new DeleteRequest { Key = Bytes("k") }, ("idempotency-key", wrong)))).FlotillaCode);
        }
    }

    [Theory]
    [InlineData(ResultCode.VersionMismatch, RpcCode.FailedPrecondition, "version_mismatch")]
    [InlineData(ResultCode.BadRequest, RpcCode.InvalidArgument, "bad_request")]
    [InlineData(ResultCode.NotLeader, RpcCode.FailedPrecondition, "not_leader")]
    [InlineData(ResultCode.NotOwner, RpcCode.Unavailable, "slot_moving")]
    [InlineData(ResultCode.SlotMoving, RpcCode.Unavailable, "slot_moving")]
    [InlineData(ResultCode.Overloaded, RpcCode.ResourceExhausted, "overloaded")]
    [InlineData(ResultCode.NoQuorum, RpcCode.Unavailable, "no_quorum")]
    [InlineData(ResultCode.Indeterminate, RpcCode.DeadlineExceeded, "indeterminate")]
    [InlineData(ResultCode.TooLarge, RpcCode.InvalidArgument, "too_large")]
    [InlineData(ResultCode.KeyReused, RpcCode.InvalidArgument, "bad_request")]
    [InlineData(ResultCode.SessionExpired, RpcCode.DeadlineExceeded, "indeterminate")]
    public async Task Every_result_has_its_status_and_its_stable_code(ResultCode result, RpcCode code, string name)
    {
        await using var kv = await StartAsync();
        kv.Gateway.AnswerAll(() => Task.FromResult(new Answer(new CommandResult(result, new Version(1, 0, 9, 0), default), new(1), new NodeId("n2"), "127.0.0.1:8002", null)));
        var status = await FailsAsync(() => kv.PutAsync(new PutRequest { Key = Bytes("k") }));
        Assert.Equal((code, name), (status.Code, status.FlotillaCode));
        Assert.False(string.IsNullOrEmpty(status.Message));
        Assert.Equal(result == ResultCode.NotLeader ? "n2" : null, status.Trailer("flotilla-leader-node"));
        Assert.Equal(result == ResultCode.NotLeader ? "127.0.0.1:8002" : null, status.Trailer("flotilla-leader-http"));
        Assert.Equal(result == ResultCode.VersionMismatch ? "1.0.9.0" : null, status.Trailer("flotilla-version"));
    }

    [Fact]
    public async Task What_makes_no_sense_never_reaches_the_gateway()
    {
        await using var kv = await StartAsync();
        kv.Gateway.AnswerAll(() => throw new InvalidOperationException("the gateway was asked"));
        var key = Bytes("k");
        var bad = new PutRequest[]
        {
            new(),
            new() { Key = key, ExpectedVersion = "nonsense" },
            new() { Key = key, ExpectedVersion = "1.2.3.4", OnlyIfAbsent = true },
            new() { Key = key, TtlMs = ulong.MaxValue },
            new() { Key = key, Increment = 1, Value = key },
            new() { Key = key, Increment = 1, OnlyIfAbsent = true },
            new() { Key = key, Increment = 1, TtlMs = 1 },
        };
        foreach (var request in bad)
        {
            Assert.Equal("bad_request", (await FailsAsync(() => kv.PutAsync(request))).FlotillaCode);
        }

        Assert.Equal("bad_request", (await FailsAsync(() => kv.GetAsync(new GetRequest()))).FlotillaCode);
        Assert.Equal("bad_request", (await FailsAsync(() => kv.DeleteAsync(new DeleteRequest { Key = key, ExpectedVersion = "x" }))).FlotillaCode);
        Assert.Equal("bad_request", (await FailsAsync(() => kv.ScanAsync(new Contracts.Protos.ScanRequest { Limit = 10_001 }))).FlotillaCode);
        Assert.Equal("too_large", (await FailsAsync(() => kv.GetAsync(new GetRequest { Key = Bytes(new string('k', 4097)) }))).FlotillaCode);
        Assert.Equal("too_large", (await FailsAsync(() => kv.PutAsync(new PutRequest { Key = key, Value = Bytes(new string('v', (1 << 20) + 1)) }))).FlotillaCode);
    }

    [Fact]
    public async Task Forwarding_staleness_and_the_deadline_reach_the_gateway()
    {
        await using var kv = await StartAsync();
        await kv.PutAsync(new PutRequest { Key = Bytes("k") });
        Assert.Equal(CallOptions.Default, kv.Gateway.LastOptions);
        await kv.GetAsync(new GetRequest { Key = Bytes("k"), Stale = true, Forward = false });
        Assert.Equal(new CallOptions(false, true, 0), kv.Gateway.LastOptions);
        await kv.GetAsync(new GetRequest { Key = Bytes("k") }, TimeSpan.FromSeconds(20));
        Assert.InRange(kv.Gateway.LastOptions.TimeoutMs, 1, 20_000);

        await using var proud = await StartAsync(new KvServiceOptions { ForwardDefault = false });
        await proud.PutAsync(new PutRequest { Key = Bytes("k") });
        Assert.False(proud.Gateway.LastOptions.Forward);
        await proud.PutAsync(new PutRequest { Key = Bytes("k"), Forward = true });
        Assert.True(proud.Gateway.LastOptions.Forward);
    }

    [Fact]
    public async Task A_scan_goes_on_where_its_page_says()
    {
        await using var kv = await StartAsync();
        foreach (var i in Enumerable.Range(0, 25))
        {
            await kv.PutAsync(new PutRequest { Key = Bytes($"a{i:d2}"), Value = Bytes($"{i}") });
        }

        await kv.PutAsync(new PutRequest { Key = Bytes("b") });
        var keys = new List<string>();
        var request = new Contracts.Protos.ScanRequest { Prefix = Bytes("a"), Limit = 10 };
        for (var pages = 1; ; pages++)
        {
            Assert.True(pages <= 3, "the scan does not come to an end");
            var page = await kv.ScanAsync(request);
            keys.AddRange(page.Records.Select(r => r.Key.ToStringUtf8()));
            if (!page.HasNext)
            {
                break;
            }

            request.From = page.Next;
        }

        Assert.Equal(Enumerable.Range(0, 25).Select(i => $"a{i:d2}"), keys, StringComparer.Ordinal);
        await kv.ScanAsync(new Contracts.Protos.ScanRequest());
        Assert.Equal((100, 1 << 20), (kv.Gateway.LastScan.Limit, kv.Gateway.LastScan.MaxBytes));
    }

    [Fact]
    public async Task Too_many_calls_at_once_are_told_so_and_the_place_comes_free_again()
    {
        await using var kv = await StartAsync(new KvServiceOptions { MaxInFlight = 1 });
        var release = new TaskCompletionSource<Answer>();
        kv.Gateway.AnswerAll(() => release.Task);
        var first = kv.PutAsync(new PutRequest { Key = Bytes("k") });
        Assert.True(SpinWait.SpinUntil(() => !kv.Gateway.LastCommand.Key.IsEmpty, Patience));
        Assert.Equal("overloaded", (await FailsAsync(() => kv.GetAsync(new GetRequest { Key = Bytes("k") }))).FlotillaCode);
        release.SetResult(new Answer(CommandResult.Of(ResultCode.Ok), new(1), default, null, null));
        await first;
        await kv.PutAsync(new PutRequest { Key = Bytes("k") });
    }

    [Fact]
    public async Task Adding_a_node_asks_for_it_and_says_how_it_stands()
    {
        var changes = new FakeChanges();
        await using var kv = await StartAsync(changes: changes);
        Task<AddNodeResponse> AddAsync(string id, string address) =>
            kv.Channel.UnaryAsync("/flotilla.v1.KV/AddNode", new AddNodeRequest { Id = id, Address = address }, AddNodeResponse.Parser, null, Token);
        await AddAsync("n4", "127.0.0.1:50054");
        Assert.Equal("add n4 at 127.0.0.1:50054 hosted 30", Assert.Single(changes.Asked));
        Assert.Equal("bad_request", (await FailsAsync(() => AddAsync("", "127.0.0.1:50054"))).FlotillaCode);
        Assert.Equal("bad_request", (await FailsAsync(() => AddAsync("n4", "nowhere"))).FlotillaCode);

        changes.Answer = new(ChangeCode.UnderWay, [new(new(2), ChangeCode.UnderWay, "n4 is a learner")], null);
        var status = await FailsAsync(() => AddAsync("n4", "127.0.0.1:50054"));
        Assert.Equal((RpcCode.DeadlineExceeded, "under_way"), (status.Code, status.FlotillaCode));
        Assert.Contains("shard 2: n4 is a learner", status.Message, StringComparison.Ordinal);
        changes.Answer = new(ChangeCode.SeatIsTaken, [], "remove it first");
        status = await FailsAsync(() => AddAsync("n4", "127.0.0.1:50054"));
        Assert.Equal((RpcCode.FailedPrecondition, "seat_taken", "remove it first"), (status.Code, status.FlotillaCode, status.Message));
    }

    [Fact]
    public async Task Monitor_tells_the_state_at_once_and_each_change_when_it_happens()
    {
        await using var kv = await StartAsync();
        await using var events = kv.MonitorAsync(new MonitorRequest { IntervalMs = 60_000 }).GetAsyncEnumerator(Token);
        Assert.True(await events.MoveNextAsync());
        var first = events.Current;
        Assert.Equal(("n1", "0000000000000abc", 3), (first.Node, first.ClusterId, first.Nodes.Count));
        Assert.Equal(("n1", 3ul, 16383u), (first.Shards[0].Leader, first.Shards[0].Term, first.Shards[0].Ranges[0].Last));
        Assert.Equal(("candidate", 10ul), (first.Replicas[0].Role, first.Replicas[0].CommitIndex));

        // Only numbers that every write moves: not worth an event of its own. The new leader is.
        kv.Gateway.View = Views.OneShard("n1", 3, commit: 11);
        kv.Gateway.View = Views.OneShard("n2", 4, commit: 12);
        Assert.True(await events.MoveNextAsync().AsTask().WaitAsync(Patience, Token));
        Assert.Equal(("n2", 4ul, 12ul), (events.Current.Shards[0].Leader, events.Current.Shards[0].Term, events.Current.Replicas[0].CommitIndex));
    }

    [Fact]
    public async Task Monitor_repeats_itself_at_the_interval_asked_for()
    {
        await using var kv = await StartAsync();
        await using var events = kv.MonitorAsync(new MonitorRequest { IntervalMs = 100 }).GetAsyncEnumerator(Token);
        for (var i = 0; i < 3; i++)
        {
            Assert.True(await events.MoveNextAsync().AsTask().WaitAsync(Patience, Token));
        }

        var error = await Assert.ThrowsAsync<RpcException>(async () => await kv.MonitorAsync(new MonitorRequest { IntervalMs = 7 }).GetAsyncEnumerator(Token).MoveNextAsync());
        Assert.Equal("bad_request", error.Status.FlotillaCode);
    }

    private static async Task<RpcStatus> FailsAsync<T>(Func<Task<T>> call) => (await Assert.ThrowsAsync<RpcException>(() => call())).Status;
}
