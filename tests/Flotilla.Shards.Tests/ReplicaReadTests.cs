using Flotilla.Raft;
using Flotilla.Shards.Tests.Harness;
using static Flotilla.Shards.Tests.Harness.Words;

namespace Flotilla.Shards.Tests;

public sealed class ReplicaReadTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public void A_read_sees_every_write_that_was_acknowledged_before(int nodes)
    {
        var fleet = Fleet.Led(nodes);
        for (var i = 0; i < 30; i++)
        {
            fleet.Result(fleet.Execute(fleet.Leader, Command.Put(B("a"), B($"{i}"))));
            foreach (var node in fleet.Nodes)
            {
                Assert.Equal($"{i}", Text(fleet.Result(fleet.Get(node, "a")).Value));
            }
        }
    }

    [Fact]
    public void A_scan_is_answered_with_a_page()
    {
        var fleet = Fleet.Led(3);
        foreach (var key in new[] { "a/1", "a/2", "b" })
        {
            fleet.Result(fleet.Execute(fleet.Leader, Command.Put(B(key), B("v"))));
        }

        var scan = fleet.Scan(fleet.Nodes[2], ScanOf("a/"));
        fleet.Until(() => fleet.Pages.ContainsKey(scan));
        Assert.Equal("a/1 a/2", Keys(fleet.Pages[scan]));
        var bad = fleet.Scan(fleet.Nodes[2], ScanOf(limit: 0), stale: true);
        Assert.Equal(ResultCode.BadRequest, fleet.Pages[bad].Code);
    }

    [Fact]
    public void A_stale_read_is_answered_at_once_from_what_is_applied_also_without_a_leader()
    {
        var fleet = Fleet.Led(3);
        fleet.Result(fleet.Execute(fleet.Leader, Command.Put(B("a"), B("1"))));
        fleet.Run(200);
        foreach (var node in fleet.Nodes)
        {
            node.Cut = true;
        }

        fleet.Run(2000);
        Assert.All(fleet.Nodes, n => Assert.Equal("1", Text(fleet.Answers[fleet.Get(n, "a", stale: true)].Value)));
    }

    [Fact]
    [Trait("Hazard", "31")]
    public void A_leader_cut_off_never_answers_a_linearizable_read()
    {
        var fleet = Fleet.Led(3);
        fleet.Result(fleet.Execute(fleet.Leader, Command.Put(B("a"), B("old"))));
        var old = fleet.Leader;
        Fleet.Isolate(old);
        var during = fleet.Get(old, "a");
        fleet.Until(() => fleet.Code(during) is not null);
        Assert.Equal(ResultCode.NotLeader, fleet.Code(during));
        Assert.Equal(ResultCode.NotLeader, fleet.Result(fleet.Get(old, "a")).Code);
        Assert.Equal("old", Text(fleet.Answers[fleet.Get(old, "a", stale: true)].Value));
    }

    [Fact]
    public void A_read_that_meets_its_deadline_has_read_nothing()
    {
        var fleet = Fleet.Led(3);
        var leader = fleet.Leader;
        Fleet.Isolate(leader);
        var get = fleet.Get(leader, "a", deadlineMs: 30);
        fleet.Run(31);
        Assert.Equal(ResultCode.NoQuorum, fleet.Code(get));
        leader.Cut = false;
        fleet.Run(2000);
    }

    [Fact]
    public void Many_reads_share_rounds_and_all_are_answered()
    {
        var fleet = Fleet.Led(3);
        fleet.Result(fleet.Execute(fleet.Leader, Command.Put(B("a"), B("1"))));
        var ids = new List<RequestId>();
        for (var i = 0; i < 300; i++)
        {
            // Each in a flush of its own, so that more wait than read indexes may be asked for at a time.
            ids.Add(fleet.Get(fleet.Leader, "a"));
        }

        fleet.Run(20);
        Assert.All(ids, id => Assert.Equal(ResultCode.Ok, fleet.Code(id)));
        Assert.Equal(0, fleet.Leader.Replica!.Waiting);
    }

    [Fact]
    public void Reads_beyond_the_bound_on_read_indexes_do_not_wait_for_a_heartbeat()
    {
        // They arrive before the new leader may read at all, so that all read indexes come in one answer; and with one
        // follower dead nothing else happens after it that would wake the leader.
        var fleet = Fleet.Led(3);
        var old = fleet.Leader;
        Fleet.Kill(old);
        fleet.Until(() => fleet.Nodes.Any(n => n.Replica is { Raft.Role: Role.Leader }));
        var leader = fleet.Nodes.Single(n => n.Replica is { Raft.Role: Role.Leader });
        var ids = Enumerable.Range(0, 40).Select(_ => fleet.Get(leader, "a")).ToArray();
        fleet.Run(10);
        Assert.All(ids, id => Assert.Equal(ResultCode.NotFound, fleet.Code(id)));
    }

    [Fact]
    [Trait("Hazard", "31")]
    public void A_read_waits_until_the_applied_state_has_reached_its_index()
    {
        var fleet = Fleet.Led(3);
        fleet.Result(fleet.Execute(fleet.Leader, Command.Put(B("a"), B("1"))));
        var follower = fleet.Nodes.First(n => n != fleet.Leader);
        fleet.Run(100);

        // A restarted follower cannot apply what its disk does not give back.
        Fleet.Kill(follower);
        follower.FailFetches = int.MaxValue;
        fleet.Start(follower);
        fleet.Until(() => follower.Replica!.Raft.Leader == fleet.Leader.Id);
        var early = fleet.Get(follower, "a", deadlineMs: 300);
        var late = fleet.Get(follower, "a");
        fleet.Run(301);
        Assert.Equal(ResultCode.NoQuorum, fleet.Code(early));
        Assert.Null(fleet.Code(late));
        follower.FailFetches = 0;
        Assert.Equal("1", Text(fleet.Result(late).Value));
    }

    [Fact]
    public void Large_answers_are_spread_over_flushes()
    {
        var fleet = Fleet.Led(1, new ReplicaOptions { ReadBytesPerFlush = 1 << 20 });
        var leader = fleet.Leader;
        fleet.Result(fleet.Execute(leader, Command.Put(B("a"), new byte[600_000])));
        var ids = Enumerable.Range(0, 10).Select(_ => fleet.NextId()).ToArray();
        foreach (var id in ids)
        {
            leader.Replica!.Get(id, B("a"), stale: true, fleet.Now.PlusMs(5000), fleet.Clock(leader));
        }

        Assert.Equal(2, fleet.Step(leader).Replies.Count);
        Assert.Equal(fleet.Now, leader.Replica!.NextDeadline);
        fleet.Run(1);
        Assert.All(ids, id => Assert.Equal(600_000, fleet.Answers[id].Value.Length));
    }
}
