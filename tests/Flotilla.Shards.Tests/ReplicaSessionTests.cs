using Flotilla.Raft;
using Flotilla.Shards.Tests.Harness;
using static Flotilla.Shards.Tests.Harness.Words;

namespace Flotilla.Shards.Tests;

/// <summary>Sessions and idempotency keys through whole replicas: proposals, elections, restarts.</summary>
public sealed class ReplicaSessionTests
{
    private static readonly SessionTerms Terms = new(IdleMs: 2000, Window: 100, MaxSessions: 2, MaxResults: 1000);

    [Fact]
    public void Two_attempts_that_wait_on_one_leader_at_once_both_get_the_one_result()
    {
        var fleet = Fleet.Led(3);
        var leader = fleet.Leader;
        var session = Open(fleet, leader);
        var increment = Command.Increment(B("n"), 1).In(session, 1);

        // Twice in one entry, and once in the next while that is still on its way.
        RequestId[] ids = [fleet.NextId(), fleet.NextId(), fleet.NextId()];
        leader.Replica!.Execute(ids[0], increment, fleet.Now.PlusMs(5000), fleet.Clock(leader));
        leader.Replica.Execute(ids[1], increment, fleet.Now.PlusMs(5000), fleet.Clock(leader));
        fleet.Step(leader);
        leader.Replica.Execute(ids[2], increment, fleet.Now.PlusMs(5000), fleet.Clock(leader));
        fleet.Step(leader);
        Assert.DoesNotContain(ids, fleet.Answers.ContainsKey);
        var results = ids.Select(fleet.Result).ToArray();
        Assert.All(results, r => Assert.Equal((ResultCode.Ok, results[0].Version, "1"), (r.Code, r.Version, Text(r.Value))));
        Assert.Equal("1", Text(fleet.Result(fleet.Get(leader, "n")).Value));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    [Trait("Hazard", "34")]
    public void An_answer_lost_with_its_leader_is_given_by_the_next_one(bool bySession)
    {
        var fleet = Fleet.Led(3);
        var old = fleet.Leader;
        var session = Open(fleet, old);
        var increment = bySession ? Command.Increment(B("n"), 1).In(session, 1) : Command.Increment(B("n"), 1).Under("id");
        var first = fleet.Result(fleet.Execute(old, increment));
        Fleet.Kill(old);
        fleet.Until(() => fleet.Nodes.Any(n => n.Replica is { Raft.AcceptsProposals: true }));
        var heir = fleet.Leader;
        Assert.Equal(ResultCode.Ok, fleet.Result(fleet.Execute(heir, Command.Increment(B("n"), 10))).Code);
        var again = fleet.Result(fleet.Execute(heir, increment));
        Assert.Equal((first.Code, first.Version, "1"), (again.Code, again.Version, Text(again.Value)));
        Assert.Equal("11", Text(fleet.Result(fleet.Get(heir, "n")).Value));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    [Trait("Hazard", "36")]
    public void A_retry_that_overtakes_its_first_attempt_lets_it_do_nothing(bool firstArrives)
    {
        // The leader appends the first attempt and is cut off; the retry goes to the heir. The first entry may or may not
        // have reached the heir before.
        var fleet = Fleet.Led(3);
        var old = fleet.Leader;
        var session = Open(fleet, old);
        var increment = Command.Increment(B("n"), 1).In(session, 1);
        old.Cut = !firstArrives;
        var first = fleet.Execute(old, increment, deadlineMs: 400);
        if (firstArrives)
        {
            fleet.Run(1.05);
            old.Cut = true;
        }

        fleet.Until(() => fleet.Nodes.Any(n => n != old && n.Replica is { Raft.AcceptsProposals: true }));
        var heir = fleet.Nodes.Single(n => n != old && n.Replica is { Raft.AcceptsProposals: true });
        Assert.Equal("1", Text(fleet.Result(fleet.Execute(heir, Command.Increment(B("n"), 1).In(session, 1, isRetry: true))).Value));
        old.Cut = false;
        fleet.Run(1000);
        Assert.Equal(firstArrives ? ResultCode.Indeterminate : ResultCode.NotLeader, fleet.Code(first)); // The latter: its entry was replaced.
        Assert.Equal("1", Text(fleet.Result(fleet.Get(heir, "n")).Value));
    }

    [Fact]
    [Trait("Hazard", "26")]
    public void Sessions_and_keys_are_there_again_after_every_node_restarted()
    {
        var fleet = Fleet.Led(3);
        var session = Open(fleet, fleet.Leader);
        var first = fleet.Result(fleet.Execute(fleet.Leader, Command.Increment(B("n"), 1).In(session, 1)));
        fleet.Result(fleet.Execute(fleet.Leader, Command.Increment(B("n"), 1).Under("id")));
        foreach (var node in fleet.Nodes)
        {
            Fleet.Kill(node);
            fleet.Start(node);
        }

        fleet.Until(() => fleet.Nodes.Any(n => n.Replica is { Raft.AcceptsProposals: true }));
        Assert.Equal(first.Version, fleet.Result(fleet.Execute(fleet.Leader, Command.Increment(B("n"), 1).In(session, 1, isRetry: true))).Version);
        Assert.Equal("2", Text(fleet.Result(fleet.Execute(fleet.Leader, Command.Increment(B("n"), 1).Under("id"))).Value));
        Assert.Equal("2", Text(fleet.Result(fleet.Get(fleet.Leader, "n")).Value));
    }

    [Fact]
    [Trait("Hazard", "35")]
    public void A_clock_that_leaps_with_a_new_leader_ends_sessions_and_repeats_nothing()
    {
        var fleet = Fleet.Led(3, new ReplicaOptions { Sessions = Terms });
        var old = fleet.Leader;
        var session = Open(fleet, old);
        fleet.Result(fleet.Execute(old, Command.Increment(B("n"), 1).In(session, 1)));
        foreach (var node in fleet.Nodes.Where(n => n != old))
        {
            node.WallOffsetMs = 3_600_000;
        }

        Fleet.Kill(old);
        fleet.Until(() => fleet.Nodes.Any(n => n.Replica is { Raft.AcceptsProposals: true }));
        Assert.Equal(ResultCode.SessionExpired, fleet.Result(fleet.Execute(fleet.Leader, Command.Increment(B("n"), 1).In(session, 1, isRetry: true))).Code);
        Assert.Equal("1", Text(fleet.Result(fleet.Get(fleet.Leader, "n")).Value));
    }

    [Fact]
    public void An_idle_shard_with_a_full_table_stays_quiet_and_takes_new_sessions_once_old_ones_fell_due()
    {
        var fleet = Fleet.Led(3, new ReplicaOptions { Sessions = Terms });
        var leader = fleet.Leader;
        Open(fleet, leader);
        Open(fleet, leader);
        Assert.Equal(ResultCode.Overloaded, fleet.Result(fleet.Execute(leader, Command.OpenSession())).Code);
        var entries = leader.Replica!.Raft.Log.LastIndex;
        fleet.Run(2500);
        Assert.Equal(entries, leader.Replica.Raft.Log.LastIndex);
        Assert.Equal(ResultCode.Ok, fleet.Result(fleet.Execute(leader, Command.OpenSession())).Code);
    }

    [Fact]
    public void The_terms_are_those_of_the_leader_whatever_the_request_says()
    {
        var fleet = Fleet.Led(3, new ReplicaOptions { Sessions = Terms, IdempotencyKeys = new KeyTerms(1000, 200) });
        var leader = fleet.Leader;
        Assert.Equal(ResultCode.Ok, fleet.Result(fleet.Execute(leader, Opening(Terms with { MaxSessions = 1 }))).Code);
        Assert.Equal(ResultCode.Ok, fleet.Result(fleet.Execute(leader, Opening(Terms with { MaxSessions = 1 }))).Code);
        Assert.Equal(ResultCode.Overloaded, fleet.Result(fleet.Execute(leader, Opening(Terms with { MaxSessions = 99 }))).Code);

        var codes = Enumerable.Range(0, 3).Select(i => fleet.Result(fleet.Execute(leader, Command.Put(B("a"), B("1")).Under($"id-{i}", KeyTerms.Default))).Code);
        Assert.Equal([ResultCode.Ok, ResultCode.Ok, ResultCode.Overloaded], codes);
    }

    [Theory]
    [InlineData(0, 1000)]
    [InlineData(500, 500)]
    [InlineData(1000, 1000)]
    [InlineData(5000, 1000)]
    public void A_client_may_ask_that_its_key_be_kept_for_less_time_and_not_for_more(long askedMs, long keptMs)
    {
        var fleet = Fleet.Led(3, new ReplicaOptions { IdempotencyKeys = new KeyTerms(1000, 5000) });
        var put = Command.Put(B("a"), B("1")).Under("id", new KeyTerms(askedMs, 0));
        var first = fleet.Result(fleet.Execute(fleet.Leader, put));
        fleet.Run(keptMs - 200);
        Assert.Equal(first, fleet.Result(fleet.Execute(fleet.Leader, put)));
        fleet.Run(400);
        Assert.NotEqual(first, fleet.Result(fleet.Execute(fleet.Leader, put)));
    }

    [Fact]
    public void What_breaks_the_rules_of_sessions_is_refused_before_the_log()
    {
        var fleet = Fleet.Led(1);
        var leader = fleet.Leader;
        var entries = leader.Replica!.Raft.Log.LastIndex;
        Command[] wrong =
        [
            Command.Put(B("a"), B("1")).In(default, sequence: 1, mark: 2),
            Command.Put(B("a"), B("1")).Under(""),
            Command.Put(B("a"), B("1")).Under(new string('x', 256)),
            Command.Put(B("a"), B("1")) with { Once = new Once.Opening() },
            Command.Put(default, B("1")).Under("id"),
            Command.CloseSession(default) with { Once = null },
            Command.OpenSession() with { Once = null },
        ];
        Assert.All(wrong, command => Assert.Equal(ResultCode.BadRequest, fleet.Code(fleet.Execute(leader, command))));
        Assert.Equal(entries, leader.Replica.Raft.Log.LastIndex);
        Assert.Equal(ResultCode.Ok, fleet.Result(fleet.Execute(leader, Command.Put(B("a"), B("1")).Under(new string('x', 255)))).Code);
    }

    private static SessionId Open(Fleet fleet, FleetNode node) => SessionId.Of(fleet.Result(fleet.Execute(node, Command.OpenSession())));
}
