using Flotilla.Raft;
using Flotilla.Shards.Handoff;
using Flotilla.Shards.Tests.Harness;
using Flotilla.Topology.Descriptors;
using static Flotilla.Shards.Tests.Harness.Words;

namespace Flotilla.Shards.Tests.Modes;

/// <summary>The mode sync: what is acknowledged is on the disk of every member of the in-sync set, and nobody waits for one that is gone.</summary>
public sealed class SyncModeTests
{
    private static readonly ReplicaOptions Options = new() { HealAfterMs = 2000 };

    [Fact]
    [Trait("Hazard", "47")]
    public void A_write_is_acknowledged_once_every_member_holds_it_and_not_before()
    {
        var fleet = InSync(3);
        var far = fleet.Nodes.First(n => n != fleet.Leader);
        Fleet.Isolate(far);
        var write = fleet.Execute(fleet.Leader, Command.Put(B("k"), B("v")));
        fleet.Run(50);

        // Committed, applied and seen by readers, but it is not on all three disks.
        Assert.Equal("v", Text(fleet.Leader.Replica!.Records.TryGet(B("k"), out var record) ? record.Value : default));
        Assert.Null(fleet.Code(write));
        Fleet.Rejoin(far);
        Assert.Equal(ResultCode.Ok, fleet.Result(write).Code);
        Assert.All(fleet.Nodes, node => Assert.Contains(node.Log, e => e.Kind == EntryKind.Command && e.Payload.Span.IndexOf("v"u8) >= 0));
    }

    [Fact]
    [Trait("Hazard", "47")]
    public void Once_a_member_is_silent_writes_are_refused_at_once_and_are_in_nobodys_log()
    {
        var fleet = InSync(3, new ReplicaOptions { HealAfterMs = 0 });
        var far = fleet.Nodes.First(n => n != fleet.Leader);
        Fleet.Isolate(far);
        fleet.Run(100);
        var logs = fleet.Nodes.Select(n => n.Replica!.Raft.Log.LastIndex).ToArray();
        var write = fleet.Execute(fleet.Leader, Command.Put(B("k"), B("v")));
        Assert.Equal((ResultCode.ReplicaUnavailable, far.Id.Value), (fleet.Code(write), Text(fleet.Answers[write].Value)));
        Assert.Equal(far.Id, fleet.Leader.Replica!.HeldUpBy(fleet.Now));

        // For as long as it takes: without heal-after the shard stays strict.
        fleet.Run(60_000);
        Assert.Equal(ResultCode.ReplicaUnavailable, fleet.Result(fleet.Execute(fleet.Leader, Command.Put(B("k"), B("v")))).Code);
        Assert.Equal(logs, fleet.Nodes.Select(n => n.Replica!.Raft.Log.LastIndex));
        Assert.Equal(ResultCode.NotFound, fleet.Result(fleet.Get(fleet.Leader, "k")).Code);

        Fleet.Rejoin(far);
        fleet.Run(1000);
        Assert.Equal(ResultCode.Ok, fleet.Result(fleet.Execute(fleet.Leader, Command.Put(B("k"), B("v")))).Code);
    }

    [Fact]
    [Trait("Hazard", "47")]
    public void What_was_under_way_when_a_member_fell_silent_ends_indeterminate_and_may_be_seen()
    {
        var fleet = InSync(3, new ReplicaOptions { HealAfterMs = 0 });
        Fleet.Isolate(fleet.Nodes.First(n => n != fleet.Leader));
        var write = fleet.Execute(fleet.Leader, Command.Put(B("k"), B("v")), deadlineMs: 700);
        fleet.Run(699);
        Assert.Null(fleet.Code(write));
        fleet.Run(2);
        Assert.Equal(ResultCode.Indeterminate, fleet.Code(write));
        Assert.Equal("v", Text(fleet.Result(fleet.Get(fleet.Leader, "k")).Value));
    }

    [Fact]
    [Trait("Hazard", "46")]
    public void After_heal_after_a_silent_member_is_taken_out_and_writes_go_on_and_once_it_has_caught_up_it_counts_again()
    {
        var fleet = InSync(3, Options);
        var far = fleet.Nodes.First(n => n != fleet.Leader);
        Fleet.Isolate(far);
        fleet.Run(1900);
        Assert.Equal(ResultCode.ReplicaUnavailable, fleet.Result(fleet.Execute(fleet.Leader, Command.Put(B("k"), B("1")))).Code);
        fleet.Run(400);
        Assert.Equal(ResultCode.Ok, fleet.Result(fleet.Execute(fleet.Leader, Command.Put(B("k"), B("2")))).Code);
        Assert.Equal(2, fleet.Leader.Replica!.InSync.Count);
        Assert.DoesNotContain(far.Id, fleet.Leader.Replica!.InSync);
        Assert.Equal(3, fleet.Leader.Replica!.Raft.Configuration.Voters.Count);

        // It is back: first it catches up, then it counts.
        Fleet.Rejoin(far);
        fleet.Until(() => fleet.Leader.Replica!.InSync.Count == 3);
        Assert.True(far.Replica!.Raft.Log.LastIndex >= fleet.Leader.Replica!.Raft.CommitIndex);
        Fleet.Isolate(far);
        var write = fleet.Execute(fleet.Leader, Command.Put(B("k"), B("3")), deadlineMs: 500);
        Assert.Equal(ResultCode.Indeterminate, fleet.Result(write).Code);
    }

    [Fact]
    [Trait("Hazard", "46")]
    public void The_set_never_shrinks_below_a_majority_of_the_voters()
    {
        var fleet = InSync(5, Options);
        var leader = fleet.Leader;
        foreach (var node in fleet.Nodes.Where(n => n != leader).Take(2))
        {
            Fleet.Isolate(node);
        }

        fleet.Run(6000);
        Assert.Equal(ResultCode.Ok, fleet.Result(fleet.Execute(leader, Command.Put(B("k"), B("1")))).Code);
        Assert.Equal(3, leader.Replica!.InSync.Count);

        // Another one answers heartbeats and makes nothing durable: unreachable all the same, and the last that may not go.
        fleet.Nodes.Last(n => n != leader).DiskHangs = true;
        _ = fleet.Execute(leader, Command.Put(B("k"), B("2")), deadlineMs: 100);
        fleet.Run(10_000);
        Assert.Equal(3, fleet.Nodes.Single(n => n.Id == leader.Id).Replica!.InSync.Count);
    }

    [Fact]
    [Trait("Hazard", "47")]
    public void A_member_that_answers_and_makes_nothing_durable_is_as_good_as_gone()
    {
        var fleet = InSync(3, Options);
        var hung = fleet.Nodes.First(n => n != fleet.Leader);
        hung.DiskHangs = true;
        Assert.Equal(ResultCode.Indeterminate, fleet.Result(fleet.Execute(fleet.Leader, Command.Put(B("k"), B("1")), deadlineMs: 900)).Code);
        fleet.Run(200);
        Assert.Equal(ResultCode.ReplicaUnavailable, fleet.Result(fleet.Execute(fleet.Leader, Command.Put(B("k"), B("2")))).Code);
        fleet.Run(2500);
        Assert.Equal(ResultCode.Ok, fleet.Result(fleet.Execute(fleet.Leader, Command.Put(B("k"), B("3")))).Code);
        Assert.DoesNotContain(hung.Id, fleet.Leader.Replica!.InSync);
    }

    [Fact]
    [Trait("Hazard", "48")]
    public void The_next_leader_knows_who_is_out_of_sync_and_a_retry_is_answered_by_the_same_rule()
    {
        var fleet = InSync(5, Options);
        var session = SessionId.Of(fleet.Result(fleet.Execute(fleet.Leader, Opening())));
        var far = fleet.Nodes.First(n => n != fleet.Leader);
        Fleet.Isolate(far);
        fleet.Run(3000);
        var write = Command.Increment(B("n"), 1).In(session, 1);
        Assert.Equal(ResultCode.Ok, fleet.Result(fleet.Execute(fleet.Leader, write)).Code);

        var dead = fleet.Leader;
        Fleet.Kill(dead);
        fleet.Until(() => fleet.Nodes.Any(n => n.Replica is { Raft.AcceptsProposals: true }));
        var next = fleet.Leader;
        fleet.Until(() => next.Replica!.LastApplied >= next.Replica!.Raft.CommitIndex);
        Assert.DoesNotContain(far.Id, next.Replica!.InSync);
        Assert.Contains(dead.Id, next.Replica!.InSync);

        // The dead one is a member until it has been silent for long enough: until then nothing is acknowledged, a retry neither.
        var retry = fleet.Execute(next, Command.Increment(B("n"), 1).In(session, 1, isRetry: true), deadlineMs: 500);
        Assert.Contains(fleet.Result(retry).Code, new[] { ResultCode.Indeterminate, ResultCode.ReplicaUnavailable });
        fleet.Run(3000);
        Assert.Equal("1", Text(fleet.Result(fleet.Execute(next, Command.Increment(B("n"), 1).In(session, 1, isRetry: true))).Value));
    }

    [Fact]
    public void Mode_and_set_survive_a_snapshot_and_a_restart()
    {
        var fleet = InSync(3, Options);
        var far = fleet.Nodes.First(n => n != fleet.Leader);
        Fleet.Isolate(far);
        fleet.Run(3000);
        var leader = fleet.Leader;
        leader.Replica!.AskForSnapshot();
        fleet.Execute(leader, Command.Put(B("k"), B("v")));
        fleet.Until(() => leader.Snapshot is not null);
        Fleet.Kill(leader);
        fleet.Start(leader);
        Assert.Equal((ShardMode.Sync, far.Id), (leader.Replica!.Ownership.Mode, Assert.Single(leader.Replica!.Ownership.OutOfSync)));
    }

    [Fact]
    public void Back_in_raft_a_majority_is_enough()
    {
        var fleet = InSync(3, new ReplicaOptions { HealAfterMs = 0 });
        Fleet.Isolate(fleet.Nodes.First(n => n != fleet.Leader));
        fleet.Run(1000);
        Switch(fleet, ShardMode.Raft);
        Assert.Equal(ResultCode.Ok, fleet.Result(fleet.Execute(fleet.Leader, Command.Put(B("k"), B("v")))).Code);
        Assert.Empty(fleet.Leader.Replica!.InSync);
    }

    [Fact]
    public void A_write_under_way_when_the_mode_ends_is_acknowledged_by_the_set_that_it_began_with()
    {
        var fleet = InSync(3, Options);
        Fleet.Isolate(fleet.Nodes.First(n => n != fleet.Leader));
        fleet.Run(3000);
        Assert.Equal(2, fleet.Leader.Replica!.InSync.Count);

        // Both go into the log in one flush, and come to be applied together.
        var leader = fleet.Leader;
        var id = fleet.NextId();
        leader.Replica!.Execute(id, Command.Put(B("k"), B("v")), fleet.Now.PlusMs(5000), fleet.Clock(leader));
        leader.Replica!.Propose(new HandoffStep.SetMode(ShardMode.Raft));
        fleet.Step(leader);
        Assert.Equal(ResultCode.Ok, fleet.Result(id).Code);
        fleet.Until(() => leader.Replica!.Ownership.Mode == ShardMode.Raft);
        Switch(fleet, ShardMode.Sync);
        Assert.Equal(3, leader.Replica!.InSync.Count);
    }

    [Fact]
    public void A_session_is_opened_though_a_member_is_silent()
    {
        var fleet = InSync(3, new ReplicaOptions { HealAfterMs = 0 });
        Fleet.Isolate(fleet.Nodes.First(n => n != fleet.Leader));
        fleet.Run(1000);
        var session = SessionId.Of(fleet.Result(fleet.Execute(fleet.Leader, Opening())));
        Assert.Equal(ResultCode.ReplicaUnavailable, fleet.Result(fleet.Execute(fleet.Leader, Command.Put(B("k"), B("v")).In(session, 1))).Code);
        Assert.Equal(ResultCode.Ok, fleet.Result(fleet.Execute(fleet.Leader, Command.CloseSession(session))).Code);
    }

    private static Fleet InSync(int nodes, ReplicaOptions? options = null)
    {
        var fleet = Fleet.Led(nodes, options ?? Options);
        fleet.Until(() => fleet.Nodes.All(n => n.Replica!.Raft.CommitIndex == fleet.Leader.Replica!.Raft.CommitIndex));
        Switch(fleet, ShardMode.Sync);
        Assert.Equal(nodes, fleet.Leader.Replica!.InSync.Count);
        return fleet;
    }

    private static void Switch(Fleet fleet, ShardMode mode)
    {
        var leader = fleet.Leader;
        Assert.True(leader.Replica!.Propose(new HandoffStep.SetMode(mode)));
        fleet.Step(leader);
        fleet.Until(() => leader.Replica!.Ownership.Mode == mode);
    }
}
