using Flotilla.Node.Gateways;
using Flotilla.Node.Tests.Clusters;
using Flotilla.Raft;
using Flotilla.Shards;
using Flotilla.Topology;
using Flotilla.Wire.Peers;
using static Flotilla.Node.Tests.Clusters.GatewayText;

namespace Flotilla.Node.Tests.Parts;

/// <summary>A gateway whose attempts end in every way that there is: a write takes effect once, and its answer is true.</summary>
public sealed class WritesTests : IDisposable
{
    /// <summary>For calls that are to be answered, however busy the machine is.</summary>
    private const int EnoughMs = 120_000;

    private readonly FakeShards _shards = new();
    private readonly Writes _writes;

    public WritesTests() => _writes = new Writes(_shards, TimeSpan.FromSeconds(5));

    public void Dispose() => _writes.Dispose();

    [Theory, Trait("Hazard", "34"), Trait("Hazard", "36")]
    [InlineData(Fate.NotSent)]
    [InlineData(Fate.Lost)]
    [InlineData(Fate.AnswerLost)]
    [InlineData(Fate.Late)]
    internal async Task An_increment_counts_once_and_its_first_result_is_given_wherever_an_attempt_is_lost(Fate fate)
    {
        Enqueue(fate, fate, fate, Fate.Answered);
        var answer = await IncrementAsync();
        Assert.Equal("1", Text(answer.Result.Value));
        Assert.Equal(4, _shards.Attempts.Count);
        _shards.DeliverLate();
        Assert.Equal("1", Counter());

        // All attempts go under one name, and those after an unclear one say that they are retries.
        var names = _shards.Attempts.ConvertAll(a => (Once.InSession)a.Once!);
        Assert.Single(names.Select(n => (n.Session, n.Sequence)).Distinct());
        Assert.Equal([false, fate != Fate.NotSent, fate != Fate.NotSent, fate != Fate.NotSent], names.Select(n => n.IsRetry));
    }

    [Fact, Trait("Hazard", "34")]
    public async Task An_attempt_that_comes_after_its_write_was_answered_and_forgotten_is_refused()
    {
        Enqueue(Fate.Late, Fate.Answered);
        Assert.Equal("1", Text((await IncrementAsync()).Result.Value));
        Assert.Equal("2", Text((await IncrementAsync()).Result.Value)); // Moves the mark past the first.
        _shards.DeliverLate();
        Assert.Equal("2", Counter());
        Assert.Equal(1, _shards.Machine().RecordedResultCount);
    }

    [Fact, Trait("Hazard", "34")]
    public async Task A_compare_and_swap_whose_answer_is_lost_gives_its_version_and_no_mismatch()
    {
        var before = (await RunAsync(Command.Put(Bytes("k"), Bytes("1")))).Result.Version;
        Enqueue(Fate.AnswerLost, Fate.AnswerLost);
        var swapped = await RunAsync(Command.CompareAndSwap(Bytes("k"), before, Bytes("2")));
        Assert.Equal(ResultCode.Ok, swapped.Code);
        Assert.Equal(_shards.Machine().Get(Bytes("k")).Version, swapped.Result.Version);

        // One that did not match says so from its first execution, though it would match by now.
        Enqueue(Fate.AnswerLost);
        var missed = RunAsync(Command.CompareAndSwap(Bytes("k"), before, Bytes("3")));
        Assert.Equal((ResultCode.VersionMismatch, swapped.Result.Version), ((await missed).Code, (await missed).Result.Version));
    }

    [Theory, Trait("Hazard", "34")]
    [InlineData(ResultCode.NotLeader)]
    [InlineData(ResultCode.Overloaded)]
    [InlineData(ResultCode.NoQuorum)]
    [InlineData(ResultCode.SlotMoving)]
    [InlineData(ResultCode.TooLarge)]
    public async Task Once_a_write_is_in_doubt_no_refusal_is_its_answer(ResultCode refusal)
    {
        Enqueue(Fate.AnswerLost, refusal, refusal, Fate.Answered);
        Assert.Equal("1", Text((await IncrementAsync()).Result.Value));
        Assert.Equal("1", Counter());

        Enqueue(Fate.AnswerLost);
        _shards.Draw = _ => refusal;
        var answer = await IncrementAsync(timeoutMs: 60);
        Assert.Equal(ResultCode.Indeterminate, answer.Code);
        Assert.Equal("the answer was lost", answer.Detail);
        Assert.Equal("2", Counter());
    }

    [Theory]
    [InlineData(ResultCode.Overloaded)]
    [InlineData(ResultCode.TooLarge)]
    public async Task A_refusal_of_the_only_attempt_is_the_answer(ResultCode refusal)
    {
        Enqueue(Fate.NotSent, refusal);
        Assert.Equal(refusal, (await IncrementAsync()).Code);
        Assert.Null(Counter());
    }

    [Fact]
    public async Task Time_that_runs_out_before_anything_was_sent_is_no_quorum()
    {
        _shards.Draw = _ => Fate.NotSent;
        Assert.Equal(ResultCode.NoQuorum, (await IncrementAsync(timeoutMs: 40)).Code);
        Enqueue(Fate.NotSent);
        _shards.Draw = _ => Fate.Lost;
        Assert.Equal(ResultCode.NoQuorum, (await IncrementAsync(timeoutMs: 40)).Code); // No session was open.
        _shards.Draw = null;
        Assert.Equal("1", Text((await IncrementAsync()).Result.Value));
        Enqueue(Fate.NotSent);
        _shards.Draw = _ => Fate.Lost;
        Assert.Equal(ResultCode.Indeterminate, (await IncrementAsync(timeoutMs: 40)).Code);
    }

    [Fact, Trait("Hazard", "35")]
    public async Task A_session_that_the_shard_forgot_is_opened_anew_by_the_next_write()
    {
        await IncrementAsync();
        _shards.Advance(SessionTerms.Default.IdleMs);
        Assert.Equal("2", Text((await IncrementAsync()).Result.Value));
        Assert.Equal("2", Counter());
        var names = _shards.Attempts.ConvertAll(a => (Once.InSession)a.Once!);
        Assert.Equal(3, names.Count);
        Assert.NotEqual(names[1].Session, names[2].Session);
        Assert.False(names[2].IsRetry);
        Assert.Equal(1, _shards.Machine().SessionCount);
    }

    [Theory, Trait("Hazard", "35")]
    [InlineData(Fate.Lost, "1")]
    [InlineData(Fate.AnswerLost, "2")]
    internal async Task A_retry_whose_session_is_gone_stays_in_doubt(Fate fate, string counter)
    {
        await IncrementAsync();
        Enqueue(fate, ResultCode.SessionExpired);
        var answer = await IncrementAsync();
        Assert.Equal(ResultCode.Indeterminate, answer.Code);
        Assert.Contains("written once or not at all", answer.Detail, StringComparison.Ordinal);
        Assert.Equal(counter, Counter());
    }

    [Fact]
    public async Task An_opening_without_an_answer_is_asked_for_again()
    {
        _shards.OpeningPlan.Enqueue(Fate.AnswerLost);
        _shards.OpeningPlan.Enqueue(ResultCode.NotLeader);
        Assert.Equal("1", Text((await IncrementAsync()).Result.Value));
        Assert.Equal(2, _shards.Machine().SessionCount); // The first one expires.
    }

    [Fact]
    public async Task Writers_that_come_at_once_share_one_opening()
    {
        _shards.OpeningPlan.Enqueue(Fate.Held);
        var writes = Enumerable.Range(0, 50).Select(_ => IncrementAsync()).ToArray();
        await Eventually.IsTrueAsync(() => _shards.Held == 1, "the opening is under way");
        Assert.Empty(_shards.Attempts);
        _shards.ReleaseHeld();
        await Task.WhenAll(writes);
        Assert.Equal("50", Counter());
        Assert.Equal(1, _shards.Machine().SessionCount);
    }

    [Fact, Trait("Hazard", "34")]
    public async Task Where_there_is_no_room_for_sessions_writes_go_plain_and_are_sent_once_when_in_doubt()
    {
        _shards.Sessions = SessionTerms.Default with { MaxSessions = 1 };
        var taken = SessionId.Of(_shards.Apply(0, Command.OpenSession()));
        Assert.Equal("1", Text((await IncrementAsync()).Result.Value));
        Assert.Null(_shards.Attempts[^1].Once);
        Enqueue(Fate.AnswerLost);
        Assert.Equal(ResultCode.Indeterminate, (await IncrementAsync()).Code);
        Assert.Equal(2, _shards.Attempts.Count);
        Assert.Equal("2", Counter());

        // Once there is room, writes are as safe as ever.
        _shards.Apply(0, Command.CloseSession(taken));
        await Eventually.IsTrueAsync(async () => (await IncrementAsync()).Code == ResultCode.Ok && _shards.Attempts[^1].Once is Once.InSession, "a session is opened");
    }

    [Fact]
    public async Task One_write_without_an_answer_holds_up_no_others()
    {
        await IncrementAsync();
        Enqueue(Fate.Held);
        var held = IncrementAsync();
        const int count = (3 * WriteSession.Window) + 100;
        for (var i = 0; i < count; i++)
        {
            var answer = await IncrementAsync();
            Assert.True(answer.Code == ResultCode.Ok, $"write {i}: {answer.Code} {answer.Detail}");
        }

        // The first session is stuck. The second is opened before it is needed; none of its own writes waits, so it is enough.
        Assert.Equal(2, _shards.Machine().SessionCount);
        Assert.False(held.IsCompleted);
        _shards.ReleaseHeld();
        Assert.Equal("2", Text((await held).Result.Value));
        Assert.Equal($"{count + 2}", Counter());
    }

    [Fact]
    public async Task Writes_without_an_answer_are_bounded()
    {
        _shards.Draw = command => command.Key.IsEmpty ? Fate.Answered : Fate.Held;
        var held = new List<Task<Outcome>>();
        for (var i = 0; i < ShardSessions.MaxSessions * WriteSession.Window; i++)
        {
            held.Add(IncrementAsync(timeoutMs: EnoughMs));
        }

        await Eventually.IsTrueAsync(() => _shards.Held == held.Count, "all are under way");
        Assert.Equal(ShardSessions.MaxSessions, _shards.Machine().SessionCount);
        var answer = await IncrementAsync();
        Assert.Equal(ResultCode.Overloaded, answer.Code);
        Assert.Contains("nothing was written", answer.Detail, StringComparison.Ordinal);
        _shards.Draw = null;
        _shards.ReleaseHeld();
        await Task.WhenAll(held);
        Assert.Equal($"{held.Count}", Counter());
    }

    [Fact, Trait("Hazard", "34")]
    public async Task A_write_under_a_key_whose_answer_was_lost_gives_its_first_result_through_another_gateway()
    {
        using var other = new Writes(_shards, TimeSpan.FromSeconds(5));
        var increment = Command.Increment(Bytes("n"), 1) with { Once = new Once.ByKey(Bytes("id")) };
        _shards.Draw = _ => Fate.AnswerLost;
        Assert.Equal(ResultCode.Indeterminate, (await RunAsync(increment, timeoutMs: 40)).Code);
        _shards.Draw = null;

        // Whatever refuses the second gateway does not speak of the first one's attempt.
        Enqueue(ResultCode.Overloaded, ResultCode.NotLeader, Fate.AnswerLost, Fate.Answered);
        var answer = await RunAsync(increment, by: other, isRetry: true);
        Assert.Equal("1", Text(answer.Result.Value));
        Assert.Equal("1", Counter());
        Assert.Equal(0, _shards.Machine().SessionCount);
        Assert.Equal(ResultCode.KeyReused, (await RunAsync(increment with { Delta = 2 }, by: other)).Code);

        // Without the word that it is a retry, a refusal is the answer to this attempt.
        Enqueue(ResultCode.Overloaded);
        Assert.Equal(ResultCode.Overloaded, (await RunAsync(increment, by: other)).Code);
    }

    [Fact, Trait("Hazard", "35")]
    public async Task A_write_whose_key_has_ended_is_refused_at_first_and_indeterminate_once_it_is_in_doubt()
    {
        var increment = Command.Increment(Bytes("n"), 1) with { Once = new Once.ByKey(Bytes("id"), default, UntilMs: 10_000) };
        _shards.Advance(60_000);
        var refused = await RunAsync(increment);
        Assert.Equal(ResultCode.KeyExpired, refused.Code);
        Assert.True(refused.Result.Version.Counter > 60_000);
        Assert.Equal(ResultCode.Indeterminate, (await RunAsync(increment, isRetry: true)).Code);
        Assert.Equal(0, _shards.Machine().Records.Count);
    }

    [Fact, Trait("Hazard", "37")]
    public async Task A_write_follows_its_slot_to_another_shard_unless_it_is_in_doubt()
    {
        var shards = new FakeShards(2);
        using var writes = new Writes(shards, TimeSpan.FromSeconds(5));
        shards.Owner = 1; // Which does not own it: as while a slot is handed over.
        shards.Plan.Enqueue(Fate.Answered);
        var pending = RunAsync(Command.Increment(Bytes("n"), 1), by: writes);
        await Eventually.IsTrueAsync(() => shards.Attempts.Count > 1, "the first shard has refused");
        shards.Owner = 0;
        Assert.Equal(ResultCode.Ok, (await pending).Code);
        Assert.Equal(1, shards.Machine().SessionCount);

        // In doubt it asks the shard that may have executed it, and no other.
        shards.Plan.Enqueue(Fate.AnswerLost);
        shards.Plan.Enqueue(ResultCode.SlotMoving);
        var doubtful = RunAsync(Command.Increment(Bytes("n"), 1), by: writes);
        shards.Owner = 1;
        Assert.Equal("2", Text((await doubtful).Result.Value));
    }

    [Fact, Trait("Hazard", "37")]
    public async Task A_first_attempt_goes_at_once_where_the_slot_went_and_never_in_a_circle()
    {
        var shards = new FakeShards(3);
        using var writes = new Writes(shards, TimeSpan.FromSeconds(5));
        shards.Owner = 2; // By a table that is old, and stays so: it went to the second shard, and on to the first.
        shards.Plan.Enqueue(WentTo(shard: 2, epoch: 2));
        shards.Plan.Enqueue(WentTo(shard: 1, epoch: 3));
        Assert.Equal("1", Text((await RunAsync(Command.Increment(Bytes("n"), 1), by: writes)).Result.Value));
        Assert.Equal(3, shards.Attempts.Count);
        Assert.False(((Once.InSession)shards.Attempts[^1].Once!).IsRetry); // The others certainly executed nothing.

        // A word that is no newer than one followed before is not followed: the table counts.
        shards.Plan.Enqueue(WentTo(shard: 2, epoch: 5));
        shards.Plan.Enqueue(WentTo(shard: 3, epoch: 4));
        var pending = RunAsync(Command.Increment(Bytes("n"), 1), by: writes);
        await Eventually.IsTrueAsync(() => shards.Attempts.Count > 5, "the table is gone by");
        shards.Owner = 0;
        Assert.Equal("2", Text((await pending).Result.Value));
    }

    [Fact, Trait("Hazard", "37")]
    public async Task A_session_is_open_at_the_next_owner_before_a_frozen_slot_is_there()
    {
        var shards = new FakeShards(2);
        using var writes = new Writes(shards, TimeSpan.FromSeconds(5));
        shards.Plan.Enqueue(new CommandResult(ResultCode.SlotMoving, new Data.Version(2, 0, Counter: 2, Sub: 2), default));
        Assert.Equal("1", Text((await RunAsync(Command.Increment(Bytes("n"), 1), by: writes)).Result.Value)); // Aborted: it stayed.
        await Eventually.IsTrueAsync(() => shards.Machine(1).SessionCount == 1, "the target has opened a session");
    }

    [Theory, Trait("Hazard", "34")]
    [InlineData(Fate.Lost)]
    [InlineData(Fate.AnswerLost)]
    [InlineData(Fate.Late)]
    internal async Task A_write_in_doubt_at_a_shard_that_never_had_its_slot_is_executed_once_where_the_slot_is(Fate fate)
    {
        var shards = new FakeShards(2);
        using var writes = new Writes(shards, TimeSpan.FromSeconds(5));
        shards.Owner = 1;
        shards.Plan.Enqueue(fate);
        var pending = RunAsync(Command.Increment(Bytes("n"), 1), by: writes);
        await Eventually.IsTrueAsync(() => shards.Attempts.Count > 1, "it is asked again");
        shards.Owner = 0;
        Assert.Equal("1", Text((await pending).Result.Value));

        // What is still under way to the wrong shard finds its session closed, should the slot ever come there.
        Assert.True(shards.IsClosed);
        var names = shards.Attempts.ConvertAll(a => (Once.InSession)a.Once!);
        Assert.True(names[1].IsRetry);
        Assert.Equal(names[0] with { IsRetry = true }, names[1]);
        Assert.False(names[^1].IsRetry);
        Assert.NotEqual((names[0].Session, names[0].Sequence), (names[^1].Session, names[^1].Sequence));
        shards.DeliverLate();
        Assert.Equal(0, shards.Machine(1).Records.Count);
    }

    [Fact, Trait("Hazard", "34")]
    public async Task Other_writes_in_doubt_of_a_session_are_settled_before_it_is_closed()
    {
        var shards = new FakeShards(2);
        using var writes = new Writes(shards, TimeSpan.FromSeconds(5));
        shards.Plan.Enqueue(Fate.Held);
        var other = RunAsync(Command.Increment(Bytes("n"), 1), by: writes);
        await Eventually.IsTrueAsync(() => shards.Held == 1, "one is under way");
        shards.Plan.Enqueue(Fate.Lost);
        shards.Draw = command => command.Key.Span.SequenceEqual("m"u8) && !shards.IsClosed ? ResultCode.NotOwner : Fate.Answered;
        var pending = RunAsync(Command.Increment(Bytes("m"), 1), by: writes);
        await Eventually.IsTrueAsync(() => shards.Attempts.Count(a => a.Key.Span.SequenceEqual("m"u8)) > 3, "it is asked again and again");
        Assert.False(shards.IsClosed);
        shards.ReleaseHeld();
        Assert.Equal("1", Text((await other).Result.Value));
        await Eventually.IsTrueAsync(() => shards.IsClosed, "nobody else needs the session");
        Assert.Equal(ResultCode.Indeterminate, (await pending).Code); // It is answered there after all: what the first attempt came to is not known.
    }

    [Fact]
    public async Task A_client_that_wants_no_forwarding_is_told_the_leader_only_while_nothing_was_written()
    {
        await IncrementAsync();
        _shards.LedElsewhere = true;
        Assert.Equal(ResultCode.NotLeader, (await IncrementAsync(forward: false)).Code);
        _shards.LedElsewhere = false;
        _shards.Draw = _ =>
        {
            _shards.LedElsewhere = true;
            return Fate.AnswerLost;
        };
        Assert.Equal(ResultCode.Indeterminate, (await IncrementAsync(forward: false)).Code);
        Assert.Equal("2", Counter());
    }

    [Fact]
    public async Task A_process_that_stops_closes_its_sessions()
    {
        await IncrementAsync();
        await _writes.CloseSessionsAsync(TimeSpan.FromSeconds(5));
        Assert.Equal(0, _shards.Machine().SessionCount);
        Assert.Equal("2", Text((await IncrementAsync()).Result.Value));
        Assert.Null(_shards.Attempts[^1].Once);
    }

    [Fact]
    public async Task Once_the_process_stops_nobody_waits_for_an_answer_that_will_not_come()
    {
        _shards.Draw = _ => Fate.NotSent;
        var unsent = IncrementAsync(timeoutMs: EnoughMs);
        _writes.Dispose();
        Assert.Equal(ResultCode.NoQuorum, (await unsent.WaitAsync(TimeSpan.FromSeconds(60), TestContext.Current.CancellationToken)).Code);
    }

    [Theory, Trait("Hazard", "34"), Trait("Hazard", "36")]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public async Task Whatever_is_lost_every_answered_increment_is_counted_once(int seed)
    {
        var random = new Random(seed);
        _shards.Draw = _ =>
        {
            lock (random)
            {
                if (random.Next(50) == 0)
                {
                    _shards.DeliverLate();
                }

                if (random.Next(400) == 0)
                {
                    _shards.Advance(SessionTerms.Default.IdleMs);
                }

                return random.Next(10) switch
                {
                    0 => Fate.Lost,
                    1 => Fate.AnswerLost,
                    2 => Fate.Late,
                    3 => Fate.NotSent,
                    4 => (object)(random.Next(3) switch { 0 => ResultCode.Overloaded, 1 => ResultCode.NoQuorum, _ => ResultCode.Indeterminate }),
                    _ => Fate.Answered,
                };
            }
        };
        var counts = new System.Collections.Concurrent.ConcurrentBag<int>();
        var unknown = 0;
        await Task.WhenAll(Enumerable.Range(0, 16).Select(async client =>
        {
            for (var i = 0; i < 60; i++)
            {
                var answer = await IncrementAsync(timeoutMs: client == 0 ? 5 : EnoughMs);
                if (answer.Code == ResultCode.Ok)
                {
                    counts.Add(int.Parse(Text(answer.Result.Value), System.Globalization.CultureInfo.InvariantCulture));
                }
                else if (answer.Code == ResultCode.Indeterminate)
                {
                    Interlocked.Increment(ref unknown);
                }
                else
                {
                    Assert.Contains(answer.Code, new[] { ResultCode.Overloaded, ResultCode.NoQuorum });
                }
            }
        }));
        _shards.DeliverLate();
        var total = int.Parse(Counter()!, System.Globalization.CultureInfo.InvariantCulture);
        Assert.Equal(counts.Count, counts.Distinct().Count());
        Assert.InRange(total, counts.Count, counts.Count + unknown);
        Assert.True(counts.Count > 300, $"{counts.Count} answers, {unknown} unknown");
    }

    [Fact, Trait("Hazard", "35")]
    public async Task A_key_outlives_the_call_that_sends_its_write_again_whatever_life_it_was_given()
    {
        var increment = Command.Increment(Bytes("n"), 1);
        Enqueue(Fate.AnswerLost, Fate.Answered);
        await RunAsync(increment with { Once = new Once.ByKey(Bytes("short"), new KeyTerms(1_000, 0)) });
        Enqueue(Fate.Answered);
        await RunAsync(increment with { Once = new Once.ByKey(Bytes("long"), new KeyTerms(600_000, 0)) });
        Enqueue(Fate.Answered);
        await RunAsync(increment with { Once = new Once.ByKey(Bytes("default")) });
        var lives = _shards.Attempts.ConvertAll(a => ((Once.ByKey)a.Once!).Terms.LifeMs);
        Assert.Equal(4, lives.Count);
        Assert.InRange(lives[0], 50_001, 50_000 + EnoughMs);
        Assert.Equal([lives[0], 600_000, 0], lives[1..]);
        Assert.Equal("3", Counter());
    }

    private void Enqueue(params object[] fates)
    {
        foreach (var fate in fates)
        {
            _shards.Plan.Enqueue(fate);
        }
    }

    private string? Counter() => _shards.Machine().Get(Bytes("n")) is { Code: ResultCode.Ok } got ? Text(got.Value) : null;

    private Task<Outcome> IncrementAsync(int timeoutMs = EnoughMs, bool forward = true) => RunAsync(Command.Increment(Bytes("n"), 1), timeoutMs, forward: forward);

    private Task<Outcome> RunAsync(Command command, int timeoutMs = EnoughMs, Writes? by = null, bool isRetry = false, bool forward = true) =>
        (by ?? _writes).RunAsync(new Ask(CallKind.Command, command, default, default, Stale: false, forward, NodeClock.Now.PlusMs(timeoutMs)), isRetry).AsTask();

    private static CommandResult WentTo(int shard, uint epoch) => new(ResultCode.NotOwner, new Data.Version(epoch, 0, (ulong)shard, (ulong)shard), default);
}
