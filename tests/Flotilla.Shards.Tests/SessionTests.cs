using Flotilla.Data;
using Flotilla.Raft;
using Flotilla.Shards.ExactlyOnce;
using Flotilla.Shards.Tests.Harness;
using Flotilla.Topology;
using static Flotilla.Shards.Tests.Harness.Words;
using Version = Flotilla.Data.Version;

namespace Flotilla.Shards.Tests;

/// <summary>What sessions mean to the state machine.</summary>
public sealed class SessionTests
{
    private static readonly SessionTerms Terms = new(IdleMs: 1000, Window: 8, MaxSessions: 3, MaxResults: 12);

    private readonly LogOf _log = new();

    [Fact]
    public void A_session_is_named_by_the_place_in_the_log_that_opened_it()
    {
        _log.Apply(0);
        var opened = _log.Apply(0, Opening(), Command.Put(B("a"), B("1")), Opening());
        Assert.Equal(new SessionId(new LogIndex(2), 0), SessionId.Of(opened[0]));
        Assert.Equal(new SessionId(new LogIndex(2), 2), SessionId.Of(opened[2]));
        Assert.Equal(2, _log.Machine.SessionCount);
    }

    [Fact]
    [Trait("Hazard", "34")]
    public void A_write_that_comes_again_gives_its_first_answer_and_happens_once()
    {
        var session = _log.Open(0);
        var first = _log.One(0, Command.Increment(B("n"), 5).In(session, 1));
        _log.One(0, Command.Increment(B("n"), 100));
        Assert.Equal(("5", ResultCode.Ok), (Text(first.Value), first.Code));
        var again = _log.One(0, Command.Increment(B("n"), 5).In(session, 1, isRetry: true));
        Assert.Equal((first.Code, first.Version, "5"), (again.Code, again.Version, Text(again.Value)));
        Assert.Equal("105", _log.Get("n"));
    }

    [Fact]
    [Trait("Hazard", "36")]
    public void A_write_that_is_proposed_over_and_over_happens_once()
    {
        var session = _log.Open(0);
        var increment = Command.Increment(B("n"), 1).In(session, 1);
        for (var i = 0; i < 50; i++)
        {
            Assert.All(_log.Apply(i, increment, increment), r => Assert.Equal("1", Text(r.Value)));
        }

        Assert.Equal("1", _log.Get("n"));
        Assert.Equal(1, _log.Machine.RecordedResultCount);
    }

    [Fact]
    public void The_outcome_of_a_condition_is_a_result_and_stays_what_it_was()
    {
        var session = _log.Open(0);
        _log.Apply(0, Command.Put(B("text"), B("x")));
        var there = _log.Machine.Get(B("text")).Version;
        Command[] writes =
        [
            Command.CompareAndSwap(B("text"), new Version(1, 0, 999, 0), B("y")).In(session, 1),
            Command.PutIfAbsent(B("text"), B("y")).In(session, 2),
            Command.Delete(B("none")).In(session, 3),
            Command.Increment(B("text"), 1).In(session, 4),
            Command.CompareAndDelete(B("none"), there).In(session, 5),
        ];
        var first = _log.Apply(0, writes);
        Assert.Equal([ResultCode.VersionMismatch, ResultCode.VersionMismatch, ResultCode.NotFound, ResultCode.BadRequest, ResultCode.VersionMismatch], first.Select(r => r.Code));
        Assert.Equal([there, there, Version.None, Version.None, Version.None], first.Select(r => r.Version));

        // Now every one of them would go through.
        _log.Apply(0, Command.Delete(B("text")), Command.Put(B("none"), B("1")));
        Assert.Equal(first, _log.Apply(0, writes));
        Assert.Equal("NotFound", _log.Get("text"));
        Assert.Equal("1", _log.Get("none"));
    }

    [Fact]
    public void A_refusal_of_ownership_is_not_kept_and_leaves_the_session_as_it_is()
    {
        var log = new LogOf(new BTree(), [Slot.Of("mine"u8)]);
        var session = log.Open(0, Terms);
        var digest = log.Machine.StateDigest();
        Assert.Equal(ResultCode.NotOwner, log.One(0, Command.Put(B("other"), B("1")).In(session, 3, mark: 3)).Code);
        Assert.Equal(digest, log.Machine.StateDigest());
        Assert.Equal(ResultCode.Ok, log.One(0, Command.Put(B("mine"), B("1")).In(session, 2)).Code);
        Assert.Equal(1, log.Machine.RecordedResultCount);
    }

    [Fact]
    public void Sequences_come_in_any_order_with_gaps()
    {
        var session = _log.Open(0, Terms with { Window = 100, MaxResults = 1000 });
        var random = new SplitMix64(5);
        ulong[] sequences = [.. Enumerable.Range(0, 100).Where(_ => random.Chance(0.7)).Select(i => (ulong)i)];
        var shuffled = sequences.OrderBy(_ => random.Next()).ToArray();
        var results = shuffled.ToDictionary(s => s, s => _log.One(0, Command.Put(B($"{s}"), B("x")).In(session, s)));
        Assert.All(results.Values, r => Assert.Equal(ResultCode.Ok, r.Code));
        Assert.All(sequences, s => Assert.Equal(results[s], _log.One(0, Command.Put(B($"{s}"), B("x")).In(session, s))));
        Assert.Equal(sequences.Length, _log.Machine.RecordedResultCount);
    }

    [Fact]
    public void What_lies_below_the_mark_is_forgotten_and_refused_but_never_executed()
    {
        var session = _log.Open(0);
        _log.Apply(0, Command.Increment(B("n"), 1).In(session, 1), Command.Increment(B("n"), 1).In(session, 2), Command.Increment(B("n"), 1).In(session, 4));
        Assert.Equal("4", Text(_log.One(0, Command.Increment(B("n"), 1).In(session, 3, mark: 3)).Value));
        Assert.Equal(2, _log.Machine.RecordedResultCount);
        Assert.Equal(ResultCode.SessionExpired, _log.One(0, Command.Increment(B("n"), 1).In(session, 2, isRetry: true)).Code);
        Assert.Equal(ResultCode.SessionExpired, _log.One(0, Command.Increment(B("n"), 1).In(session, 0)).Code);

        // A late attempt may carry an older mark: the newer one counts.
        Assert.Equal("3", Text(_log.One(0, Command.Increment(B("n"), 1).In(session, 4, mark: 1)).Value));
        Assert.Equal("4", _log.Get("n"));
    }

    [Fact]
    public void The_mark_counts_also_when_its_write_is_refused()
    {
        var session = _log.Open(0, Terms);
        _log.Apply(0, Command.Put(B("a"), B("1")).In(session, 1), Command.Put(B("a"), B("1")).In(session, 2));
        Assert.Equal(ResultCode.Overloaded, _log.One(0, Command.Put(B("a"), B("1")).In(session, 50, mark: 3)).Code);
        Assert.Equal(0, _log.Machine.RecordedResultCount);
    }

    [Fact]
    public void An_unknown_session_executes_nothing()
    {
        Assert.Equal(ResultCode.SessionExpired, _log.One(0, Command.Put(B("a"), B("1")).In(new SessionId(new LogIndex(9), 0), 1)).Code);
        Assert.Equal(ResultCode.SessionExpired, _log.One(0, Command.CloseSession(new SessionId(new LogIndex(1), 0))).Code);
        Assert.Equal("NotFound", _log.Get("a"));
    }

    [Fact]
    [Trait("Hazard", "35")]
    public void A_session_that_expired_executes_nothing_even_while_it_is_still_stored()
    {
        var session = _log.Open(1000, Terms);
        _log.Apply(1000, Command.Increment(B("n"), 1).In(session, 1));
        _log.Apply(1999, Command.Increment(B("n"), 1).In(session, 2, mark: 2));
        _log.Apply(2998);
        Assert.Equal(1, _log.Machine.SessionCount);
        Assert.Equal(ResultCode.SessionExpired, _log.One(2999, Command.Increment(B("n"), 1).In(session, 2, isRetry: true)).Code);
        Assert.Equal("2", _log.Get("n"));
        Assert.Equal((0, 0), (_log.Machine.SessionCount, (int)_log.Machine.RecordedResultCount));

        // More fall due at once than one entry removes.
        var many = Enumerable.Range(0, SessionTable.MaxExpiredPerEntry + 10).Select(_ => _log.Open(3000, Terms with { MaxSessions = 1000 })).ToArray();
        Assert.Equal(ResultCode.SessionExpired, _log.One(4000, Command.Increment(B("n"), 1).In(many[^1], 1)).Code);
        Assert.Equal(10, _log.Machine.SessionCount);
        _log.Apply(4000);
        Assert.Equal(0, _log.Machine.SessionCount);
        Assert.Equal("2", _log.Get("n"));
    }

    [Fact]
    [Trait("Hazard", "35")]
    public void A_leap_of_the_log_time_ends_sessions_but_never_repeats_a_write()
    {
        var session = _log.Open(0);
        _log.Apply(0, Command.Increment(B("n"), 1).In(session, 1));
        _log.Apply(100L * 365 * 86_400_000);
        Assert.Equal(ResultCode.SessionExpired, _log.One(5, Command.Increment(B("n"), 1).In(session, 1, isRetry: true)).Code);
        var next = _log.Open(5);
        Assert.NotEqual(session, next);
        Assert.Equal("2", Text(_log.One(5, Command.Increment(B("n"), 1).In(next, 1)).Value));
    }

    [Fact]
    public void Each_use_keeps_a_session_alive_and_each_session_keeps_its_own_terms()
    {
        var brief = _log.Open(0, Terms);
        var lasting = _log.Open(0, Terms with { IdleMs = 5000 });
        for (var ms = 900; ms <= 3600; ms += 900)
        {
            Assert.Equal(ResultCode.Ok, _log.One(ms, Command.Put(B("a"), B("1")).In(brief, 1)).Code);
        }

        _log.Apply(4599);
        Assert.Equal(2, _log.Machine.SessionCount);
        _log.Apply(4600);
        Assert.Equal(1, _log.Machine.SessionCount);
        Assert.Equal(ResultCode.Ok, _log.One(4999, Command.Put(B("a"), B("1")).In(lasting, 1)).Code);
    }

    [Fact]
    public void A_full_table_refuses_new_sessions_and_evicts_none_that_lives()
    {
        var sessions = Enumerable.Range(0, 3).Select(i => _log.Open(i * 100, Terms)).ToArray();
        Assert.Equal(CommandResult.Of(ResultCode.Overloaded), _log.One(900, Opening(Terms)));
        Assert.All(sessions, s => Assert.Equal(ResultCode.Ok, _log.One(900, Command.Put(B("a"), B("1")).In(s, 1)).Code));

        // An entry that asks for a session on a shard with nothing else to do is all that it takes to make room.
        Assert.Equal(CommandResult.Of(ResultCode.Overloaded), _log.One(1899, Opening(Terms)));
        Assert.Equal(ResultCode.Ok, _log.One(1900, Opening(Terms)).Code);
        Assert.Equal(1, _log.Machine.SessionCount);
    }

    [Fact]
    public void A_closed_session_makes_room_and_its_writes_are_refused()
    {
        var sessions = Enumerable.Range(0, 3).Select(_ => _log.Open(0, Terms)).ToArray();
        _log.Apply(0, Command.Put(B("a"), B("1")).In(sessions[1], 1));
        Assert.Equal(CommandResult.Of(ResultCode.Ok), _log.One(0, Command.CloseSession(sessions[1])));
        Assert.Equal(CommandResult.Of(ResultCode.SessionExpired), _log.One(0, Command.CloseSession(sessions[1])));
        Assert.Equal(ResultCode.SessionExpired, _log.One(0, Command.Put(B("a"), B("2")).In(sessions[1], 1, isRetry: true)).Code);
        Assert.Equal(0, _log.Machine.RecordedResultCount);
        Assert.Equal(ResultCode.Ok, _log.One(0, Opening(Terms)).Code);
    }

    [Fact]
    public void Results_are_bounded_per_session_and_per_shard()
    {
        var first = _log.Open(0, Terms);
        var second = _log.Open(0, Terms);
        Assert.All(Enumerable.Range(0, 8), i => Assert.Equal(ResultCode.Ok, _log.One(0, Command.Put(B("a"), B("1")).In(first, (ulong)i)).Code));
        Assert.Equal(ResultCode.Overloaded, _log.One(0, Command.Put(B("a"), B("1")).In(first, 8)).Code);
        Assert.Equal(ResultCode.Overloaded, _log.One(0, Command.Put(B("a"), B("1")).In(first, ulong.MaxValue)).Code);
        Assert.All(Enumerable.Range(0, 4), i => Assert.Equal(ResultCode.Ok, _log.One(0, Command.Put(B("a"), B("1")).In(second, (ulong)i)).Code));
        Assert.Equal(ResultCode.Overloaded, _log.One(0, Command.Put(B("full"), B("1")).In(second, 4)).Code);

        // What is recorded is answered all the same, and a mark that moves makes room.
        Assert.Equal(ResultCode.Ok, _log.One(0, Command.Put(B("a"), B("1")).In(second, 0, isRetry: true)).Code);
        Assert.Equal(ResultCode.Ok, _log.One(0, Command.Put(B("a"), B("1")).In(first, 8, mark: 7)).Code);
        Assert.Equal(ResultCode.Ok, _log.One(0, Command.Put(B("a"), B("1")).In(second, 4)).Code);
        Assert.Equal("NotFound", _log.Get("full"));
    }

    [Fact]
    public void One_sequence_for_keys_of_two_slots_is_refused()
    {
        var session = _log.Open(0);
        _log.Apply(0, Command.Put(B("a"), B("1")).In(session, 1));
        Assert.Equal(CommandResult.Of(ResultCode.BadRequest), _log.One(0, Command.Put(B("b"), B("1")).In(session, 1)));
        Assert.Equal("NotFound", _log.Get("b"));
    }

    [Fact]
    public void The_digest_knows_sessions_marks_and_results()
    {
        var digests = new HashSet<ulong> { _log.Machine.StateDigest() };
        var session = _log.Open(0);
        Assert.True(digests.Add(_log.Machine.StateDigest()));
        _log.Apply(0, Command.Delete(B("a")).In(session, 1));
        Assert.True(digests.Add(_log.Machine.StateDigest()));
        _log.Apply(0, Command.Delete(B("a")).In(session, 1, mark: 1));
        Assert.True(digests.Add(_log.Machine.StateDigest()));
        _log.Apply(0, Command.CloseSession(session));
        Assert.False(digests.Add(_log.Machine.StateDigest()));
    }
}
