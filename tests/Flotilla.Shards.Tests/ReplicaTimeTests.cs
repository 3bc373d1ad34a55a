using Flotilla.Raft;
using Flotilla.Shards.Tests.Harness;
using static Flotilla.Shards.Tests.Harness.Words;

namespace Flotilla.Shards.Tests;

public sealed class ReplicaTimeTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public void An_idle_leader_moves_the_log_time_on_when_a_record_falls_due(int nodes)
    {
        var fleet = Fleet.Led(nodes);
        fleet.Result(fleet.Execute(fleet.Leader, Command.Put(B("a"), B("1"), ttlMs: 500)));
        var entries = fleet.Leader.Replica!.Raft.Log.LastIndex;
        fleet.Run(450);
        Assert.Equal(ResultCode.Ok, fleet.Result(fleet.Get(fleet.Leader, "a")).Code);
        fleet.Run(200);
        Assert.Equal(ResultCode.NotFound, fleet.Result(fleet.Get(fleet.Leader, "a")).Code);
        Assert.All(fleet.Nodes, n => Assert.Equal(0, n.Replica!.Records.Count));
        Assert.Equal(entries.Next, fleet.Leader.Replica.Raft.Log.LastIndex);
        fleet.Run(5000);
        Assert.Equal(entries.Next, fleet.Leader.Replica.Raft.Log.LastIndex);
    }

    [Fact]
    public void Records_that_fall_due_one_after_the_other_share_time_entries()
    {
        var fleet = Fleet.Led(1, new ReplicaOptions { TimeEntrySpacingMs = 50 });
        var leader = fleet.Leader;
        for (var i = 0; i < 200; i++)
        {
            leader.Replica!.Execute(fleet.NextId(), Command.Put(B($"k{i}"), B("v"), ttlMs: 100 + i), fleet.Now.PlusMs(5000), fleet.Clock(leader));
        }

        fleet.Step(leader);
        var entries = leader.Replica!.Raft.Log.LastIndex;
        fleet.Run(1000);
        Assert.Equal(0, leader.Replica.Records.Count);
        Assert.InRange(leader.Replica.Raft.Log.LastIndex - entries, 2ul, 6ul);
    }

    [Fact]
    public void What_one_entry_cannot_remove_goes_with_further_time_entries()
    {
        var fleet = Fleet.Led(1);
        var leader = fleet.Leader;
        for (var i = 0; i < 3 * StateMachine.MaxExpiredPerEntry; i++)
        {
            leader.Replica!.Execute(fleet.NextId(), Command.Put(B($"k{i}"), B("v"), ttlMs: 100), fleet.Now.PlusMs(5000), fleet.Clock(leader));
        }

        fleet.Step(leader);
        fleet.Run(50);
        Assert.Equal(3 * StateMachine.MaxExpiredPerEntry, leader.Replica!.Records.Count);
        fleet.Run(400);
        Assert.Equal(0, leader.Replica.Records.Count);
    }

    [Fact]
    [Trait("Hazard", "8")]
    public void Replicas_with_skewed_clocks_expire_the_same_records_and_time_goes_on_under_a_slow_next_leader()
    {
        // The fleet compares the states of all replicas after every step.
        var fleet = Fleet.Led(3);
        var leader = fleet.Leader;
        var slow = fleet.Nodes.First(n => n != leader);
        leader.WallOffsetMs = +3_600_000;
        slow.WallOffsetMs = -60_000;
        fleet.Result(fleet.Execute(leader, Command.Put(B("a"), B("1"), ttlMs: 20_000)));
        fleet.Run(500);
        Assert.All(fleet.Nodes, n => Assert.Equal(1, n.Replica!.Records.Count));

        leader.Replica!.TransferLeadership(slow.Id, fleet.Clock(leader));
        fleet.Step(leader);
        fleet.Until(() => slow.Replica!.Raft.AcceptsProposals);
        var stamp = slow.Replica!.LogTimeMs;
        fleet.Result(fleet.Execute(slow, Command.Put(B("b"), B("1"), ttlMs: 1000)));
        Assert.InRange(slow.Replica.LogTimeMs - stamp, 1, 5000);

        // Its own clock is an hour behind the log time: a time to live still ends, a ninth late at most.
        fleet.Run(1300);
        Assert.Equal(ResultCode.NotFound, fleet.Result(fleet.Get(slow, "b")).Code);
        Assert.Equal(ResultCode.Ok, fleet.Result(fleet.Get(slow, "a")).Code);
        fleet.Run(22_000);
        Assert.All(fleet.Nodes, n => Assert.Equal(0, n.Replica!.Records.Count));
    }

    [Fact]
    public void A_log_time_ahead_of_every_clock_is_caught_up_by_them()
    {
        var fleet = Fleet.Led(1);
        var leader = fleet.Leader;
        leader.WallOffsetMs = 1000;
        fleet.Result(fleet.Execute(leader, Command.Put(B("a"), B("1"))));
        leader.WallOffsetMs = 0;
        fleet.Run(5000);
        fleet.Result(fleet.Execute(leader, Command.Put(B("a"), B("2"))));
        Assert.InRange(leader.Replica!.LogTimeMs - fleet.Clock(leader).WallMs, 450, 550);
        fleet.Run(6000);
        fleet.Result(fleet.Execute(leader, Command.Put(B("a"), B("3"))));
        Assert.InRange(leader.Replica.LogTimeMs - fleet.Clock(leader).WallMs, -50, 0);
    }

    [Fact]
    public void One_time_entry_under_way_is_enough()
    {
        var fleet = Fleet.Led(3);
        var leader = fleet.Leader;
        fleet.Result(fleet.Execute(leader, Command.Put(B("a"), B("1"), ttlMs: 20)));
        var entries = leader.Replica!.Raft.Log.LastIndex;
        Fleet.Isolate(leader);
        fleet.Run(250);
        Assert.Equal(Role.Leader, leader.Replica.Raft.Role);
        Assert.Equal(entries.Next, leader.Replica.Raft.Log.LastIndex);
    }

    [Fact]
    public void Stamps_never_fall_along_a_log_even_before_any_of_them_is_applied()
    {
        var fleet = Fleet.Led(3);
        var leader = fleet.Leader;
        foreach (var offset in new[] { 0, -500, 300, -10_000 })
        {
            leader.WallOffsetMs = offset;
            fleet.Execute(leader, Command.Put(B("a"), B("1")));
        }

        var entries = new List<Entry>();
        Assert.True(leader.Replica!.Raft.Log.TryRead(leader.Replica.Raft.Log.FirstInMemory, leader.Replica.Raft.Log.LastIndex, 1 << 20, entries));
        var stamps = entries.Where(e => e.Kind == EntryKind.Command).Select(e => CommandCodec.Decode(e.Payload, [])).ToArray();
        Assert.Equal(4, stamps.Length);
        Assert.Equal(stamps.Order(), stamps);
    }

    [Fact]
    [Trait("Hazard", "8")]
    public void A_clock_that_jumps_back_moves_no_log_time_back()
    {
        var fleet = Fleet.Led(1);
        var leader = fleet.Leader;
        fleet.Result(fleet.Execute(leader, Command.Put(B("a"), B("1"), ttlMs: 1000)));
        var before = leader.Replica!.LogTimeMs;
        leader.WallOffsetMs = -10_000;
        fleet.Result(fleet.Execute(leader, Command.Put(B("b"), B("1"))));
        Assert.InRange(leader.Replica.LogTimeMs - before, 0, 50);
        fleet.Run(900);
        Assert.Equal(ResultCode.Ok, fleet.Result(fleet.Get(leader, "a")).Code);
        fleet.Run(300);
        Assert.Equal(ResultCode.NotFound, fleet.Result(fleet.Get(leader, "a")).Code);
    }

    [Fact]
    public void A_restarted_replica_applies_its_log_in_slices_and_ends_in_the_same_state()
    {
        var options = new ReplicaOptions { ApplyBytesPerFlush = 2000, MaxEntryBytes = 500 };
        var fleet = Fleet.Led(1, options);
        var node = fleet.Leader;
        for (var i = 0; i < 300; i++)
        {
            node.Replica!.Execute(fleet.NextId(), Command.Put(B($"k{i % 90}"), new byte[100], ttlMs: i % 7 == 0 ? 50 + i : 0), fleet.Now.PlusMs(5000), fleet.Clock(node));
            fleet.Run(1);
        }

        fleet.Run(1000);
        var (applied, digest) = (node.Replica!.LastApplied, node.Replica.StateDigest());
        Fleet.Kill(node);
        node.FailFetches = 2;
        fleet.Start(node);
        fleet.Until(() => node.Replica!.LastApplied >= applied);
        Assert.Equal(digest, node.Replica!.StateDigest());
        Assert.True(node.Fetches > 3, "the test means to see several fetches");
    }

    [Fact]
    public void A_slice_is_bounded_and_the_replica_asks_to_go_on()
    {
        var fleet = Fleet.Led(3, new ReplicaOptions { ApplyBytesPerFlush = 1000, MaxEntryBytes = 300 });
        var follower = fleet.Nodes.First(n => n != fleet.Leader);
        var leader = fleet.Leader;
        for (var i = 0; i < 40; i++)
        {
            leader.Replica!.Execute(fleet.NextId(), Command.Put(B($"k{i}"), new byte[200]), fleet.Now.PlusMs(5000), fleet.Clock(leader));
        }

        fleet.Step(leader);
        var steps = 0;
        fleet.Until(() =>
        {
            steps += follower.Replica!.NextDeadline == fleet.Now ? 1 : 0;
            return follower.Replica!.Records.Count == 40;
        });
        Assert.InRange(steps, 5, 100);
    }
}
