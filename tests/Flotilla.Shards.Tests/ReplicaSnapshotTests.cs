using Flotilla.Raft;
using Flotilla.Shards.Tests.Harness;
using static Flotilla.Shards.Tests.Harness.Words;

namespace Flotilla.Shards.Tests;

public sealed class ReplicaSnapshotTests
{
    private static readonly ReplicaOptions Small = new()
    {
        SnapshotLogBytes = 3000,
        SnapshotRetryMs = 500,
        Raft = new RaftOptions { LogTailBytes = 0, LogCacheBytes = 500, SnapshotChunkBytes = 1000, SnapshotBytesPerSecond = 100_000 },
    };

    [Fact]
    public void A_snapshot_is_taken_when_so_much_log_was_applied_and_the_log_behind_it_goes()
    {
        var fleet = Fleet.Led(3, Small);
        Put(fleet, 100);
        Assert.All(fleet.Nodes, node => Assert.InRange(node.SnapshotsTaken, 3, 8));
        fleet.Run(500);
        Assert.All(fleet.Nodes, node => Assert.InRange(node.Log.Sum(entry => (long)entry.Cost), 0, 2 * Small.SnapshotLogBytes));
        Assert.Equal(ResultCode.Ok, fleet.Result(fleet.Get(fleet.Leader, "k7")).Code);
    }

    [Fact]
    [Trait("Hazard", "26")]
    public void A_restart_goes_on_from_snapshot_and_log_with_the_same_state()
    {
        var fleet = Fleet.Led(3, Small);
        Put(fleet, 60, ttlMs: 60_000);
        fleet.Run(500);
        foreach (var node in fleet.Nodes)
        {
            var (applied, digest) = (node.Replica!.LastApplied, node.Replica.StateDigest());
            Fleet.Kill(node);
            fleet.Start(node);
            fleet.Until(() => node.Replica!.LastApplied >= applied);
            Assert.True(node.Replica!.LastApplied > applied || node.Replica.StateDigest() == digest);
            fleet.Until(() => fleet.Nodes.Count(n => n.Replica!.Raft.AcceptsProposals) == 1);
        }

        Assert.Equal(ResultCode.Ok, fleet.Result(fleet.Get(fleet.Leader, "k7")).Code);
        fleet.Run(70_000);
        Assert.Equal(ResultCode.NotFound, fleet.Result(fleet.Get(fleet.Leader, "k7")).Code);
    }

    [Fact]
    [Trait("Hazard", "28")]
    public void A_follower_that_was_away_for_long_catches_up_by_a_snapshot_while_the_log_keeps_being_truncated()
    {
        var fleet = Fleet.Led(3, Small);
        var away = fleet.Nodes.First(node => node != fleet.Leader);
        Fleet.Isolate(away);
        fleet.Run(500);
        Put(fleet, 100);
        Fleet.Rejoin(away);
        for (var i = 0; i < 400 && away.SnapshotsInstalled == 0; i++)
        {
            Put(fleet, 1);
        }

        Assert.Equal(1, away.SnapshotsInstalled);
        Put(fleet, 30);
        fleet.Until(() => away.Replica!.LastApplied == fleet.Leader.Replica!.LastApplied);
        Assert.Equal(fleet.Leader.Replica!.StateDigest(), away.Replica!.StateDigest());
    }

    [Fact]
    public void A_snapshot_that_could_not_be_written_is_taken_again_after_a_pause()
    {
        var fleet = Fleet.Led(1, Small);
        fleet.Leader.FailSnapshots = 2;
        Put(fleet, 20);
        fleet.Run(100);
        Assert.Equal(1, fleet.Leader.SnapshotsTaken);
        fleet.Run(2000);
        Assert.Equal(3, fleet.Leader.SnapshotsTaken);
        Assert.NotNull(fleet.Leader.Snapshot);
        fleet.Run(60_000);
        Assert.Equal(3, fleet.Leader.SnapshotsTaken);
    }

    [Fact]
    [Trait("Hazard", "29")]
    public void Asking_again_and_again_takes_one_snapshot_at_a_time_and_none_of_the_same_state()
    {
        var fleet = Fleet.Led(1);
        var leader = fleet.Leader;
        Put(fleet, 1);
        for (var i = 0; i < 5; i++)
        {
            leader.Replica!.AskForSnapshot();
            fleet.Step(leader);
        }

        fleet.Run(1000);
        Assert.InRange(leader.SnapshotsTaken, 1, 2);
        var taken = leader.SnapshotsTaken;
        leader.Replica!.AskForSnapshot();
        fleet.Run(1000);
        Assert.Equal(taken, leader.SnapshotsTaken);
        Put(fleet, 1);
        leader.Replica.AskForSnapshot();
        fleet.Run(1000);
        Assert.Equal(taken + 1, leader.SnapshotsTaken);
        Assert.Equal(leader.Replica.LastApplied, leader.Snapshot!.Index);
    }

    private static void Put(Fleet fleet, int count, long ttlMs = 0)
    {
        for (var i = 0; i < count; i++)
        {
            Assert.Equal(ResultCode.Ok, fleet.Result(fleet.Execute(fleet.Leader, Command.Put(B($"k{i % 40}"), new byte[100], ttlMs))).Code);
        }
    }
}
