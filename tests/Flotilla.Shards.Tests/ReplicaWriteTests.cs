using Flotilla.Raft;
using Flotilla.Shards.Tests.Harness;
using Flotilla.Topology;
using static Flotilla.Shards.Tests.Harness.Words;

namespace Flotilla.Shards.Tests;

public sealed class ReplicaWriteTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public void A_write_is_answered_with_its_applied_result(int nodes)
    {
        var fleet = Fleet.Led(nodes);
        var put = fleet.Result(fleet.Execute(fleet.Leader, Command.Put(B("a"), B("1"))));
        Assert.Equal(ResultCode.Ok, put.Code);
        Assert.Equal(ResultCode.Ok, fleet.Result(fleet.Execute(fleet.Leader, Command.CompareAndSwap(B("a"), put.Version, B("2")))).Code);
        Assert.Equal(ResultCode.VersionMismatch, fleet.Result(fleet.Execute(fleet.Leader, Command.CompareAndSwap(B("a"), put.Version, B("3")))).Code);
        Assert.Equal("7", Text(fleet.Result(fleet.Execute(fleet.Leader, Command.Increment(B("n"), 7))).Value));
        Assert.Equal(ResultCode.NotFound, fleet.Result(fleet.Execute(fleet.Leader, Command.Delete(B("none")))).Code);
    }

    [Fact]
    public void Commands_gathered_before_a_flush_share_an_entry()
    {
        var fleet = Fleet.Led(3);
        var leader = fleet.Leader;
        var before = leader.Replica!.Raft.Log.LastIndex;
        var ids = Enumerable.Range(0, 100).Select(i => Gather(fleet, leader, Command.Put(B($"k{i}"), B("v")))).ToArray();
        fleet.Step(leader);
        Assert.Equal(before.Next, leader.Replica.Raft.Log.LastIndex);
        Assert.All(ids.Select((id, i) => (Result: fleet.Result(id), i)), r => Assert.Equal((ulong)r.i, r.Result.Version.Sub));
    }

    [Fact]
    public void A_batch_over_the_size_of_an_entry_becomes_several()
    {
        var fleet = Fleet.Led(1, new ReplicaOptions { MaxEntryBytes = 2500 });
        var leader = fleet.Leader;
        var before = leader.Replica!.Raft.Log.LastIndex;
        var ids = Enumerable.Range(0, 5).Select(i => Gather(fleet, leader, Command.Put(B($"k{i}"), new byte[1000]))).ToArray();
        var large = Gather(fleet, leader, Command.Put(B("large"), new byte[10_000]));
        fleet.Step(leader);
        Assert.Equal(4ul, leader.Replica.Raft.Log.LastIndex - before);
        Assert.All([.. ids, large], id => Assert.Equal(ResultCode.Ok, fleet.Result(id).Code));
    }

    [Fact]
    public void Limits_and_nonsense_are_refused_at_once()
    {
        var fleet = Fleet.Led(1, new ReplicaOptions { MaxKeyBytes = 10, MaxValueBytes = 20 });
        var leader = fleet.Leader;
        Assert.Equal(ResultCode.BadRequest, fleet.Code(fleet.Execute(leader, Command.Put(default, B("v")))));
        Assert.Equal(ResultCode.TooLarge, fleet.Code(fleet.Execute(leader, Command.Put(new byte[11], B("v")))));
        Assert.Equal(ResultCode.TooLarge, fleet.Code(fleet.Execute(leader, Command.Put(B("k"), new byte[21]))));
        Assert.Equal(ResultCode.BadRequest, fleet.Code(fleet.Execute(leader, Command.Put(B("k"), B("v"), ttlMs: -1))));
        Assert.Equal(ResultCode.BadRequest, fleet.Code(fleet.Execute(leader, new Command((CommandKind)77, B("k"), default, default, 0, 0))));
        Assert.Equal(ResultCode.BadRequest, fleet.Code(fleet.Get(leader, "")));
        Assert.Equal(ResultCode.TooLarge, fleet.Code(fleet.Get(leader, "a key over the limit")));
        Assert.Equal(ResultCode.Ok, fleet.Result(fleet.Execute(leader, Command.Put(new byte[10], new byte[20]))).Code);
    }

    [Fact]
    public void A_replica_that_does_not_lead_refuses_at_once()
    {
        var fleet = Fleet.Led(3);
        var follower = fleet.Nodes.First(n => n != fleet.Leader);
        Assert.Equal(ResultCode.NotLeader, fleet.Code(fleet.Execute(follower, Command.Put(B("a"), B("1")))));
    }

    [Fact]
    public void A_leader_that_hands_over_refuses_definitely()
    {
        var fleet = Fleet.Led(3);
        var old = fleet.Leader;
        var heir = fleet.Nodes.First(n => n != old);
        Assert.True(old.Replica!.TransferLeadership(heir.Id, fleet.Clock(old)));
        Assert.Equal(ResultCode.NotLeader, fleet.Code(fleet.Execute(old, Command.Put(B("a"), B("1")))));
        fleet.Until(() => heir.Replica!.Raft.AcceptsProposals);
        Assert.Equal(ResultCode.NotFound, fleet.Result(fleet.Get(heir, "a")).Code);
    }

    [Fact]
    public void A_key_of_another_shard_is_refused()
    {
        var fleet = new Fleet(1, slots: [Slot.Of("mine"u8)]);
        fleet.Until(() => fleet.Nodes[0].Replica!.Raft.AcceptsProposals);
        Assert.Equal(ResultCode.Ok, fleet.Result(fleet.Execute(fleet.Leader, Command.Put(B("mine"), B("1")))).Code);
        Assert.Equal(ResultCode.NotOwner, fleet.Result(fleet.Execute(fleet.Leader, Command.Put(B("other"), B("1")))).Code);
        Assert.Equal(ResultCode.NotOwner, fleet.Result(fleet.Get(fleet.Leader, "other")).Code);
        Assert.Equal(ResultCode.NotOwner, fleet.Result(fleet.Get(fleet.Leader, "other", stale: true)).Code);
    }

    [Fact]
    [Trait("Hazard", "63")]
    public void Too_many_uncommitted_bytes_are_refused_together_with_what_follows()
    {
        var fleet = Fleet.Led(3, new ReplicaOptions { MaxEntryBytes = 1000, Raft = new RaftOptions { MaxUncommittedBytes = 3000 } });
        var leader = fleet.Leader;
        Fleet.Isolate(leader);
        var ids = Enumerable.Range(0, 6).Select(i => Gather(fleet, leader, Command.Put(B($"k{i}"), new byte[900]), 50)).ToArray();
        var small = Gather(fleet, leader, Command.Put(B("small"), default), 50);
        fleet.Step(leader);
        Assert.Equal([null, null, null, ResultCode.Overloaded, ResultCode.Overloaded, ResultCode.Overloaded], ids.Select(fleet.Code));
        Assert.Equal(ResultCode.Overloaded, fleet.Code(small));
        fleet.Run(51);
        Assert.Equal(ResultCode.Indeterminate, fleet.Code(ids[0]));
    }

    [Fact]
    [Trait("Hazard", "7")]
    public void No_more_wait_than_the_limit_and_every_answer_makes_room()
    {
        var fleet = Fleet.Led(3, new ReplicaOptions { MaxWaiting = 10 });
        var leader = fleet.Leader;
        Fleet.Isolate(leader);
        var writes = Enumerable.Range(0, 6).Select(i => fleet.Execute(leader, Command.Put(B($"k{i}"), B("v")), 40)).ToArray();
        var reads = Enumerable.Range(0, 6).Select(_ => fleet.Get(leader, "a", deadlineMs: 40)).ToArray();
        Assert.Equal(10, leader.Replica!.Waiting);
        Assert.Equal([null, null, null, null, ResultCode.Overloaded, ResultCode.Overloaded], reads.Select(fleet.Code));
        Assert.Equal(ResultCode.Overloaded, fleet.Code(fleet.Execute(leader, Command.Put(B("x"), B("v")))));
        Assert.Equal(ResultCode.Overloaded, fleet.Pages[fleet.Scan(leader, ScanOf())].Code);

        fleet.Run(41);
        Assert.Equal(0, leader.Replica.Waiting);
        Assert.All(writes, id => Assert.Equal(ResultCode.Indeterminate, fleet.Code(id)));
        Assert.All(reads.Take(4), id => Assert.Equal(ResultCode.NoQuorum, fleet.Code(id)));
        Assert.Null(fleet.Code(fleet.Execute(leader, Command.Put(B("x"), B("v")))));
    }

    [Fact]
    public void A_write_whose_deadline_passes_before_it_is_proposed_was_certainly_not_written()
    {
        var fleet = Fleet.Led(1);
        var leader = fleet.Leader;
        var late = Gather(fleet, leader, Command.Put(B("late"), B("1")), deadlineMs: 0);
        var early = Gather(fleet, leader, Command.Put(B("early"), B("1")), deadlineMs: 1);
        fleet.Step(leader);
        Assert.Equal(ResultCode.NoQuorum, fleet.Code(late));
        Assert.Equal(ResultCode.Ok, fleet.Result(early).Code);
        Assert.Equal(ResultCode.NotFound, fleet.Result(fleet.Get(leader, "late")).Code);
    }

    [Fact]
    [Trait("Hazard", "7")]
    public void Nothing_waits_longer_than_the_cap_however_far_its_deadline()
    {
        var fleet = Fleet.Led(3, new ReplicaOptions { MaxWaitMs = 2000 });
        var leader = fleet.Leader;
        Fleet.Isolate(leader);
        var id = fleet.NextId();
        leader.Replica!.Execute(id, Command.Put(B("a"), B("1")), Instant.Never, fleet.Clock(leader));
        fleet.Step(leader);
        fleet.Run(2001);
        Assert.Equal(ResultCode.Indeterminate, fleet.Code(id));
    }

    [Fact]
    [Trait("Hazard", "7")]
    public void Each_deadline_is_met_by_itself_in_whatever_order_they_come()
    {
        var fleet = Fleet.Led(3);
        var leader = fleet.Leader;
        Fleet.Isolate(leader);
        double[] deadlines = [90, 30, 60, 120];
        var writes = deadlines.Select(ms => fleet.Execute(leader, Command.Put(B("a"), B("1")), ms)).ToArray();
        var reads = deadlines.Select(ms => fleet.Get(leader, "a", deadlineMs: ms)).ToArray();
        var start = fleet.Now;
        foreach (var ms in deadlines.Order())
        {
            fleet.Run(start.PlusMs(ms).MsSince(fleet.Now) - 0.5);
            Assert.All(deadlines.Select((d, i) => (d, i)), x => Assert.Equal(x.d < ms, fleet.Code(writes[x.i]) is not null));
            fleet.Run(0.6);
            Assert.All(deadlines.Select((d, i) => (d, i)), x => Assert.Equal(x.d <= ms, fleet.Code(writes[x.i]) == ResultCode.Indeterminate));
            Assert.All(deadlines.Select((d, i) => (d, i)), x => Assert.Equal(x.d <= ms, fleet.Code(reads[x.i]) == ResultCode.NoQuorum));
        }
    }

    private static RequestId Gather(Fleet fleet, FleetNode node, Command command, double deadlineMs = 5000)
    {
        var id = fleet.NextId();
        node.Replica!.Execute(id, command, fleet.Now.PlusMs(deadlineMs), fleet.Clock(node));
        return id;
    }
}
