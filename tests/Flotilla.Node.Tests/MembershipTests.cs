using Flotilla.Contracts;
using Flotilla.Node.Tests.Clusters;
using Flotilla.Raft;
using Flotilla.Topology;
using Flotilla.Wire.Peers;

namespace Flotilla.Node.Tests;

/// <summary>Nodes that get seats in shards, and lose them.</summary>
public sealed class MembershipTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    [Fact]
    public async Task A_node_that_joins_fills_the_empty_seats_under_load()
    {
        await using var cluster = await TestCluster.StartAsync(3, replicas: 4);
        await using var writers = new Writers([.. cluster.Running.Select(i => cluster[i].Gateway)]);
        await writers.MoreAsync(200);
        var terms = Terms(cluster[0]);
        var joined = cluster.Add(contact: 0);
        await cluster.StartNodeAsync(joined);
        await VotesEverywhereAsync(cluster, joined);
        await writers.MoreAsync(200);

        // A starved machine may hold elections, which leave outcomes unclear; additions alone leave none.
        Assert.True(writers.Failures.Count == 0 || !terms.SequenceEqual(Terms(cluster[0])), string.Join('\n', writers.Failures));
        await writers.CheckAsync(cluster[joined].Gateway);
        Assert.True(cluster.Log.Has(2205, "n4 gets a seat"));

        // It holds what the others hold, and serves it.
        await Eventually.IsTrueAsync(
            () => cluster[joined].Gateway.View.Local.All(r => cluster[0].Gateway.View.Local.Any(o => o.Shard == r.Shard && o.Keys == r.Keys)), "the same records everywhere");
        Assert.Equal("0", await ReadFirstAsync(cluster[joined].Gateway));
    }

    [Fact, Trait("Hazard", "19"), Trait("Hazard", "28")]
    public async Task A_node_that_joins_gets_snapshots_where_the_log_is_gone_and_hosts_it_all_again_after_a_crash()
    {
        static NodeOptions Small(NodeOptions o) => o with
        {
            Wal = o.Wal with { SegmentBytes = 1 << 20 },
            Replica = o.Replica with { SnapshotLogBytes = 300_000, Raft = o.Replica.Raft with { LogTailBytes = 0 } },
        };

        await using var cluster = await TestCluster.StartAsync(3, shards: 2, replicas: 4, change: Small);
        var value = new string('x', 10_000);
        for (var k = 0; k < 200; k++)
        {
            await cluster[0].Gateway.PutSurelyAsync($"k{k}", value);
        }

        await Eventually.IsTrueAsync(() => cluster.Running.All(i => cluster[i].Gateway.View.Local.All(r => r.LogBase > LogIndex.Zero)), "the beginning of every log is gone");
        var joined = cluster.Add(contact: 0, Small);
        await cluster.StartNodeAsync(joined);
        await VotesEverywhereAsync(cluster, joined);
        Assert.True(cluster.Log.Has(2304, ""), "it has installed a snapshot");

        await cluster.KillAsync(joined);
        await cluster[0].Gateway.PutSurelyAsync("k0", "meanwhile");
        await cluster.StartNodeAsync(joined);
        Assert.Equal(2, cluster[joined].Gateway.View.Local.Count);
        await VotesEverywhereAsync(cluster, joined);

        // Three of four voters are needed.
        await cluster.KillAsync(1);
        await cluster[2].Gateway.PutSurelyAsync("k1", "with its vote");
        Assert.Equal("meanwhile", await cluster[joined].Gateway.ReadAsync("k0"));
        Assert.Equal("with its vote", await cluster[joined].Gateway.ReadAsync("k1"));
        Assert.Equal(value, await cluster[joined].Gateway.ReadAsync("k199"));
    }

    [Fact, Trait("Hazard", "23")]
    public async Task A_dead_node_is_replaced_under_load()
    {
        await using var cluster = await TestCluster.StartAsync(3);
        await using var writers = new Writers(cluster[1].Gateway, cluster[2].Gateway);
        await writers.MoreAsync(200);
        await cluster.KillAsync(0);
        var died = writers.Elapsed;
        await cluster.LeadersAsync();
        var terms = Terms(cluster[1]);
        var joined = cluster.Add(contact: 1);
        await cluster.StartNodeAsync(joined);
        var removed = await cluster[1].Changes.RemoveNodeAsync(TestCluster.Id(0), ShardChoice.All, Patience);
        Assert.Equal((ChangeCode.Done, (string?)null), (removed.Code, removed.Detail));
        await VotesEverywhereAsync(cluster, joined);
        await writers.MoreAsync(200);
        var late = writers.Failures.Where(f => f.At > died + TimeSpan.FromSeconds(1)).ToArray();
        Assert.True(late.Length == 0 || !terms.SequenceEqual(Terms(cluster[1])), string.Join('\n', late));
        await writers.CheckAsync(cluster[joined].Gateway);
        Assert.All(cluster[2].Gateway.View.Shards, s => Assert.Equal([TestCluster.Id(1), TestCluster.Id(2), TestCluster.Id(3)], s.Voters));
    }

    [Fact, Trait("Hazard", "17"), Trait("Hazard", "22")]
    public async Task A_wiped_node_votes_again_once_its_old_seat_is_taken_away()
    {
        await using var cluster = await TestCluster.StartAsync(3);
        await cluster[1].Gateway.PutSurelyAsync("k", "v");
        await cluster.KillAsync(0);
        Directory.Delete(cluster.OptionsOf(0).DataDir, recursive: true);
        await cluster.StartNodeAsync(0);
        await Eventually.IsTrueAsync(() => cluster[0].Gateway.View.Local.All(r => r.SeatIsTaken), "it is told that its seat is taken");
        await Eventually.IsTrueAsync(() => cluster[1].Gateway.View.Nodes.All(n => n.Alive), "it is heard again");

        var refused = await cluster[1].Changes.AddNodeAsync(TestCluster.Id(0), null, ShardChoice.All, Patience);
        Assert.Equal(ChangeCode.SeatIsTaken, refused.Code);
        Assert.Contains("flotilla remove-node n1", refused.Detail, StringComparison.Ordinal);

        var removed = await cluster[1].Changes.RemoveNodeAsync(TestCluster.Id(0), ShardChoice.All, Patience);
        Assert.Equal((ChangeCode.Done, (string?)null), (removed.Code, removed.Detail));
        await VotesEverywhereAsync(cluster, 0);

        // Its vote is worth something: with another one down, nothing is committed without it.
        await cluster.KillAsync(2);
        await cluster[1].Gateway.PutSurelyAsync("k", "w");
        Assert.Equal("w", await cluster[0].Gateway.ReadAsync("k"));
        Assert.All(cluster[0].Gateway.View.Local, r => Assert.False(r.SeatIsTaken));
    }

    [Fact, Trait("Hazard", "21"), Trait("Hazard", "20")]
    public async Task A_removed_node_knows_it_disturbs_nobody_and_takes_part_again_when_it_is_added()
    {
        await using var cluster = await TestCluster.StartAsync(4, replicas: 4);
        var gone = TestCluster.Id(3);
        var removed = await cluster[0].Changes.RemoveNodeAsync(gone, ShardChoice.All, Patience);
        Assert.Equal((ChangeCode.Done, (string?)null), (removed.Code, removed.Detail));
        await Eventually.IsTrueAsync(() => cluster[3].Gateway.View.Local.All(r => r.Standing == Standing.Removed), "it learns it");

        // Its seats stay empty though the shards lack a replica; it is no zombie either after a restart; and it asks for no votes, but
        // once if it was stopped before it knew its removal to be committed: then it is told. Others may ask: on a busy machine an
        // election proves nothing.
        await cluster.StopAsync(3);
        await cluster.StartNodeAsync(3);
        await Eventually.IsTrueAsync(() => cluster[3].Gateway.View.Shards.All(s => !s.Leader.IsNone), "it knows who leads");
        Assert.All(cluster[3].Gateway.View.Local, r => Assert.Equal(Standing.Removed, r.Standing));
        var quiet = DateTime.UtcNow.AddSeconds(3);
        await Eventually.IsTrueAsync(
            () =>
            {
                if (cluster[3].Gateway.View.Local.Any(r => r.Role is not (Role.Follower or Role.Learner)))
                {
                    quiet = DateTime.UtcNow.AddSeconds(3);
                }

                return DateTime.UtcNow > quiet;
            },
            "it asks for no votes for three seconds");
        Assert.All(cluster[0].Gateway.View.Shards, s => Assert.DoesNotContain(gone, s.Voters.Concat(s.Learners)));

        // It serves as a gateway, never from what it once held.
        await cluster[0].Gateway.PutSurelyAsync("k", "v");
        Assert.Equal("v", await cluster[3].Gateway.ReadAsync("k"));
        Assert.Equal("v", await cluster[3].Gateway.ReadAsync("k", new CallOptions(true, Stale: true, 0)));

        var added = await cluster[3].Changes.AddNodeAsync(gone, cluster[3].Rpc, ShardChoice.All, Patience);
        Assert.Equal((ChangeCode.Done, (string?)null), (added.Code, added.Detail));
        await VotesEverywhereAsync(cluster, 3);
    }

    [Fact]
    public async Task A_change_is_asked_of_any_node_again_and_again_and_refused_with_words_where_it_makes_no_sense()
    {
        await using var cluster = await TestCluster.StartAsync(2, shards: 2, replicas: 2);
        var joined = cluster.Add(contact: 0);
        await cluster.StartNodeAsync(joined);
        var one = ShardChoice.One(new ShardId(1));
        for (var i = 0; i < 3; i++)
        {
            var added = await cluster[i].Changes.AddNodeAsync(TestCluster.Id(joined), cluster[joined].Rpc, one, Patience);
            Assert.Equal((ChangeCode.Done, (string?)null), (added.Code, added.Detail));
        }

        Assert.Equal(3, cluster[0].Gateway.View.Shards[0].Voters.Count);
        Assert.Equal(2, cluster[0].Gateway.View.Shards[1].Voters.Count);

        var changes = cluster[0].Changes;
        Assert.Equal(ChangeCode.Unknown, (await changes.RemoveNodeAsync(new NodeId("nobody"), ShardChoice.All, Patience)).Code);
        Assert.Equal(ChangeCode.Unknown, (await changes.AddNodeAsync(new NodeId("nobody"), null, ShardChoice.All, Patience)).Code);
        Assert.Equal(ChangeCode.Unknown, (await changes.SnapshotAsync(ShardChoice.One(new ShardId(9)), Patience)).Code);
        var unreachable = await changes.AddNodeAsync(new NodeId("nobody"), new HostPort("127.0.0.1", 1), one, Patience);
        Assert.Equal(ChangeCode.Unreachable, unreachable.Code);
        Assert.Contains("node nobody can't be reached at 127.0.0.1:1", unreachable.Detail, StringComparison.Ordinal);
        var voteless = await changes.TransferAsync(new ShardId(2), TestCluster.Id(joined), Patience);
        Assert.Equal(ChangeCode.Refused, voteless.Code);

        // The second of two voters can go; the last one cannot, where no other node waits to take the empty seat.
        Assert.Equal(ChangeCode.Done, (await changes.RemoveNodeAsync(TestCluster.Id(1), ShardChoice.One(new ShardId(2)), Patience)).Code);
        await using var alone = await TestCluster.StartAsync(1, shards: 1);
        Assert.Equal(ChangeCode.LastVoter, (await alone[0].Changes.RemoveNodeAsync(TestCluster.Id(0), ShardChoice.All, Patience)).Code);
    }

    [Fact]
    public async Task A_removal_that_would_stop_a_shard_is_refused_before_it_begins()
    {
        await using var cluster = await TestCluster.StartAsync(3, shards: 1);
        await cluster.KillAsync(2);
        await cluster.LeadersAsync();
        var refused = await cluster[0].Changes.RemoveNodeAsync(TestCluster.Id(1), ShardChoice.All, Patience);
        Assert.True(refused.Code == ChangeCode.WouldStop, $"{refused.Code}: {refused.Detail} (views: {cluster[0].Gateway.View.Shards[0]}, {cluster[1].Gateway.View.Shards[0]})");
        Assert.Contains("n3 can't be reached", refused.Detail, StringComparison.Ordinal);
        await cluster[0].Gateway.PutSurelyAsync("k", "v");
        Assert.Equal(3, cluster[0].Gateway.View.Shards[0].Voters.Count);
    }

    [Fact]
    public async Task A_second_change_is_refused_in_words_while_the_first_is_not_committed()
    {
        await using var cluster = TestCluster.Make(3, shards: 1);
        var disks = new TrickyDisk[3];
        for (var i = 0; i < 3; i++)
        {
            await cluster.StartNodeAsync(i, inner => disks[i] = new TrickyDisk(inner));
        }

        await cluster.LeadersAsync();
        var joined = cluster.Add(contact: 0);
        await cluster.StartNodeAsync(joined);
        await Eventually.IsTrueAsync(() => cluster.Running.All(i => cluster[i].Gateway.View.Nodes.Count(n => n.Alive) == 4), "all are connected");

        // The followers acknowledge nothing, and go on to answer heartbeats: what the leader appends stays where it is.
        var leader = await cluster.LeaderAsync(new ShardId(1));
        var followers = Enumerable.Range(0, 3).Where(i => i != leader).ToArray();
        Array.ForEach(followers, i => disks[i].HoldSyncs());
        var changes = cluster[leader].Changes;
        var first = await changes.RemoveNodeAsync(TestCluster.Id(followers[0]), ShardChoice.All, TimeSpan.Zero);
        Assert.Equal(ChangeCode.UnderWay, first.Code);
        var second = await changes.AddNodeAsync(TestCluster.Id(joined), cluster[joined].Rpc, ShardChoice.All, Patience);
        Assert.Equal(ChangeCode.Busy, second.Code);
        Assert.Contains("another change of its members is under way", second.Detail, StringComparison.Ordinal);

        // The same one again is not another one.
        Assert.Equal(ChangeCode.UnderWay, (await changes.RemoveNodeAsync(TestCluster.Id(followers[0]), ShardChoice.All, TimeSpan.Zero)).Code);
        Array.ForEach(followers, i => disks[i].ReleaseSyncs());
        Assert.Equal(ChangeCode.Done, (await changes.RemoveNodeAsync(TestCluster.Id(followers[0]), ShardChoice.All, Patience)).Code);
        Assert.Equal(ChangeCode.Done, (await changes.AddNodeAsync(TestCluster.Id(joined), cluster[joined].Rpc, ShardChoice.All, Patience)).Code);
    }

    [Fact]
    public async Task A_leader_removes_itself_and_another_one_leads()
    {
        await using var cluster = await TestCluster.StartAsync(3, shards: 1, replicas: 3);
        var leader = await cluster.LeaderAsync(new ShardId(1));
        var removed = await cluster[leader].Changes.RemoveNodeAsync(TestCluster.Id(leader), ShardChoice.All, Patience);
        Assert.Equal((ChangeCode.Done, (string?)null), (removed.Code, removed.Detail));
        await Eventually.IsTrueAsync(() => cluster.LeaderOf(new ShardId(1)) is var now && now >= 0 && now != leader, "another one leads");
        await cluster[leader].Gateway.PutSurelyAsync("k", "v");
        await Eventually.IsTrueAsync(() => cluster[leader].Gateway.View.Local[0].Standing == Standing.Removed, "it knows that it is no member");
    }

    [Fact]
    public async Task Leadership_and_snapshots_are_asked_for_from_any_node()
    {
        await using var cluster = await TestCluster.StartAsync(3, shards: 2);
        for (var i = 0; i < 20; i++)
        {
            await cluster[0].Gateway.PutSurelyAsync($"k{i}", "v");
        }

        var shard = new ShardId(1);
        var leader = await cluster.LeaderAsync(shard);
        var other = (leader + 1) % 3;
        var moved = await cluster[(leader + 2) % 3].Changes.TransferAsync(shard, TestCluster.Id(other), Patience);
        Assert.Equal((ChangeCode.Done, (string?)null), (moved.Code, moved.Detail));
        await Eventually.IsTrueAsync(() => cluster.LeaderOf(shard) == other, "it leads");
        moved = await cluster[0].Changes.TransferAsync(shard, default, Patience);
        Assert.Equal(ChangeCode.Done, moved.Code);
        await Eventually.IsTrueAsync(() => cluster.LeaderOf(shard) is var now && now >= 0 && now != other, "somebody else leads");

        var taken = await cluster[0].Changes.SnapshotAsync(ShardChoice.All, Patience);
        Assert.Equal((ChangeCode.Done, 2), (taken.Code, taken.Shards.Count));
        await Eventually.IsTrueAsync(
            () => Enumerable.Range(1, 2).All(s => cluster.LeaderOf(new ShardId(s)) is >= 0 and var leads && cluster[leads].Gateway.View.Local.First(r => r.Shard.Value == s).SnapshotIndex > LogIndex.Zero), "leaders have snapshots");
    }

    private static Term[] Terms(Server.NodeHost node) => [.. node.Gateway.View.Shards.Select(s => s.Term)];

    private static Task VotesEverywhereAsync(TestCluster cluster, int node) => Eventually.IsTrueAsync(
        () => cluster.Running.All(i => cluster[i].Gateway.View.Shards.All(s => s.Voters.Contains(TestCluster.Id(node)) && s.Learners.Count == 0))
            && cluster[node].Gateway.View.Local is { Count: > 0 } local && local.All(r => r.Standing == Standing.Voter && r.Admitted),
        $"n{node + 1} votes in every shard, and everybody knows it");

    private static async Task<string?> ReadFirstAsync(IGateway gateway)
    {
        await gateway.PutSurelyAsync("first", "0");
        return await gateway.ReadAsync("first");
    }
}
