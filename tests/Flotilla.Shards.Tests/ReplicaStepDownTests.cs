using Flotilla.Raft;
using Flotilla.Shards.Tests.Harness;
using static Flotilla.Shards.Tests.Harness.Words;

namespace Flotilla.Shards.Tests;

/// <summary>What becomes of writes that wait while their leader loses its place.</summary>
public sealed class ReplicaStepDownTests
{
    [Fact]
    [Trait("Hazard", "7")]
    public void A_write_that_another_entry_replaced_is_certainly_not_applied()
    {
        var fleet = Fleet.Led(3);
        var old = fleet.Leader;
        Fleet.Isolate(old);
        var lost = new[] { fleet.Execute(old, Command.Put(B("a"), B("lost"))), fleet.Execute(old, Command.Put(B("b"), B("lost"))) };
        var successor = Successor(fleet, old);
        Assert.Equal(ResultCode.Ok, fleet.Result(fleet.Execute(successor, Command.Put(B("a"), B("kept")))).Code);
        Assert.All(lost, id => Assert.Null(fleet.Code(id)));

        old.Cut = false;
        Assert.All(lost, id => Assert.Equal(ResultCode.NotLeader, fleet.Result(id).Code));
        Assert.Equal("kept", Text(fleet.Result(fleet.Get(successor, "a")).Value));
        Assert.Equal(ResultCode.NotFound, fleet.Result(fleet.Get(successor, "b")).Code);
    }

    [Fact]
    [Trait("Hazard", "7")]
    public void The_no_op_of_a_new_term_decides_all_that_waited_behind_it()
    {
        // The new leader writes one entry only; the old one had ten, at that index and beyond.
        var fleet = Fleet.Led(3);
        var old = fleet.Leader;
        Fleet.Isolate(old);
        var lost = Enumerable.Range(0, 10).Select(i => fleet.Execute(old, Command.Put(B($"k{i}"), B("lost")))).ToArray();
        Successor(fleet, old);
        old.Cut = false;
        Assert.All(lost, id => Assert.Equal(ResultCode.NotLeader, fleet.Result(id).Code));
    }

    [Fact]
    [Trait("Hazard", "7")]
    public void A_write_that_the_next_leader_commits_is_answered_with_its_result_after_the_step_down()
    {
        var fleet = Fleet.Led(3);
        var old = fleet.Leader;

        // The entry reaches a follower, whose acknowledgement is lost with the old leader's place.
        var id = fleet.Execute(old, Command.Increment(B("n"), 41));
        fleet.Run(1.05);
        Fleet.Isolate(old);
        var successor = Successor(fleet, old);
        Assert.Null(fleet.Code(id));
        Assert.Equal("41", Text(fleet.Result(fleet.Get(successor, "n")).Value));
        fleet.Until(() => old.Replica!.Raft.Role == Role.Follower || old.Replica.Raft.Role == Role.PreCandidate);
        Assert.Null(fleet.Code(id));

        old.Cut = false;
        Assert.Equal("41", Text(fleet.Result(id).Value));
    }

    [Fact]
    [Trait("Hazard", "7")]
    public void A_write_that_nobody_decides_is_indeterminate_at_its_deadline_and_may_still_happen()
    {
        var fleet = Fleet.Led(3);
        var old = fleet.Leader;
        var id = fleet.Execute(old, Command.Increment(B("n"), 1), deadlineMs: 400);
        fleet.Run(1.05);
        Fleet.Isolate(old);
        fleet.Until(() => fleet.Code(id) is not null);
        Assert.Equal(ResultCode.Indeterminate, fleet.Code(id));
        var successor = Successor(fleet, old);
        old.Cut = false;
        Assert.Equal("1", Text(fleet.Result(fleet.Get(successor, "n")).Value));
        fleet.Run(500);
        Assert.Equal(0, old.Replica!.Waiting);
    }

    [Fact]
    [Trait("Hazard", "7")]
    public void With_one_member_dead_and_a_thousand_elections_every_waiter_ends()
    {
        // A live node that is cut off and joined again loses and regains its place over and over, with writes and reads
        // waiting all the while; a dead member keeps the majority thin.
        var fleet = Fleet.Led(3);
        Fleet.Kill(fleet.Nodes.First(n => n != fleet.Leader));
        var asked = new List<RequestId>();
        var terms = fleet.Leader.Replica!.Raft.Term.Value;
        for (var round = 0; round < 150; round++)
        {
            foreach (var node in fleet.Nodes.Where(n => n.Replica is not null))
            {
                asked.Add(fleet.Execute(node, Command.Increment(B("n"), 1), 700));
                asked.Add(fleet.Get(node, "n", deadlineMs: 700));
                node.Cut = round % 3 == 0;
            }

            fleet.Run(round % 3 == 0 ? 700 : 350);
        }

        fleet.Run(1000);
        Assert.All(fleet.Nodes.Where(n => n.Replica is not null), n => Assert.Equal(0, n.Replica!.Waiting));
        Assert.All(asked, id => Assert.NotNull(fleet.Code(id)));
        Assert.True(fleet.Leader.Replica!.Raft.Term.Value > terms + 20, "the test means to see many terms");
        CountsAgree(fleet, asked);
    }

    [Fact]
    [Trait("Hazard", "7")]
    public void An_older_leaders_entry_that_takes_the_place_proves_a_write_lost()
    {
        // As in the Raft paper's figure 8: the entry that is applied at the index has a lower term than the one that waits.
        var fleet = Fleet.Led(3);
        var a = fleet.Leader;
        Fleet.Isolate(a);
        RequestId[] older = [fleet.Execute(a, Command.Put(B("x"), B("a")), 20_000), fleet.Execute(a, Command.Put(B("y"), B("a")), 20_000)];

        // The next leader is cut off at the moment of its election, with its no-op and one write in its own log only.
        fleet.Until(() => fleet.Nodes.Any(n => n != a && n.Replica!.Raft.Role == Role.Leader));
        var b = fleet.Nodes.Single(n => n != a && n.Replica!.Raft.Role == Role.Leader);
        Fleet.Isolate(b);
        var newer = fleet.Execute(b, Command.Put(B("x"), B("b")), 20_000);
        Assert.Equal(a.Replica!.Raft.Log.LastIndex, b.Replica!.Raft.Log.LastIndex);

        a.Cut = false;
        Assert.All(older, id => Assert.Equal(ResultCode.Ok, fleet.Result(id).Code));
        b.Cut = false;
        Assert.Equal(ResultCode.NotLeader, fleet.Result(newer).Code);
        Assert.Equal("a", Text(fleet.Result(fleet.Get(fleet.Leader, "x")).Value));
    }

    [Fact]
    public void A_write_proposed_behind_the_no_op_of_its_term_gets_its_own_result()
    {
        var fleet = new Fleet(3);
        fleet.Until(() => fleet.Nodes.Any(n => n.Replica!.Raft.Role == Role.Leader));
        var leader = fleet.Nodes.Single(n => n.Replica!.Raft.Role == Role.Leader);
        Assert.False(leader.Replica!.Raft.AcceptsProposals);
        Assert.Equal("5", Text(fleet.Result(fleet.Execute(leader, Command.Increment(B("n"), 5))).Value));
    }

    [Fact]
    [Trait("Hazard", "12")]
    public void What_was_acknowledged_survives_the_loss_of_everything_not_synced_on_every_node()
    {
        var fleet = Fleet.Led(3);
        for (var i = 0; i < 20; i++)
        {
            Assert.Equal(ResultCode.Ok, fleet.Result(fleet.Execute(fleet.Leader, Command.Put(B($"k{i}"), B($"{i}")))).Code);
            if (i % 7 == 6)
            {
                Array.ForEach(fleet.Nodes, Fleet.Kill);
                Array.ForEach(fleet.Nodes, fleet.Start);
                fleet.Until(() => fleet.Nodes.Any(n => n.Replica!.Raft.AcceptsProposals));
            }
        }

        fleet.Until(() => fleet.Nodes.All(n => n.Replica!.Records.Count == 20));
        Assert.Equal("19", Text(fleet.Result(fleet.Get(fleet.Leader, "k19")).Value));
        Assert.All(fleet.Nodes, n => Assert.True(n.Fetches > 0, "the test means to see entries read back from the disk"));
    }

    private static FleetNode Successor(Fleet fleet, FleetNode old)
    {
        fleet.Until(() => fleet.Nodes.Any(n => n != old && n.Replica is { Raft.AcceptsProposals: true }));
        return fleet.Nodes.Single(n => n != old && n.Replica is { Raft.AcceptsProposals: true });
    }

    // Every increment answered Ok happened once; a definite refusal not at all; the others at most once.
    private static void CountsAgree(Fleet fleet, List<RequestId> asked)
    {
        var writes = asked.Where((_, i) => i % 2 == 0).Select(id => fleet.Answers[id].Code).ToArray();
        var count = int.Parse(Text(fleet.Result(fleet.Get(fleet.Leader, "n")).Value));
        var done = writes.Count(c => c == ResultCode.Ok);
        Assert.InRange(count, done, done + writes.Count(c => c == ResultCode.Indeterminate));
        Assert.True(done > 10 && writes.Contains(ResultCode.NotLeader), "the test means to see both");
    }
}
