using Flotilla.Node.Tests.Clusters;
using Flotilla.Raft;
using Flotilla.Wire.Peers;

namespace Flotilla.Node.Tests;

/// <summary>
/// A node that began its cluster by itself, let others in, and lost its disk. It asked nobody when it began, so nothing of Raft
/// would keep it from beginning the same groups again.
/// </summary>
[Trait("Hazard", "17")]
public sealed class FirstNodeTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    [Fact]
    public async Task A_wiped_first_node_begins_another_cluster_by_its_old_command_and_comes_back_by_joining()
    {
        await using var cluster = await GrownAsync();
        var began = cluster[1].Gateway.View.ClusterId;
        await cluster.KillAsync(0);
        Wipe(cluster, 0);
        await cluster.StartNodeAsync(0);
        await cluster[0].Gateway.PutSurelyAsync("elsewhere", "1");
        Assert.NotEqual(began, cluster[0].Gateway.View.ClusterId);
        var refused = await cluster[1].Changes.AddNodeAsync(TestCluster.Id(0), cluster[0].Rpc, ShardChoice.All, Patience);
        Assert.Equal(ChangeCode.OtherCluster, refused.Code);
        Assert.Contains("only with an empty data directory, and started with --join HOST:RPC of a node of this one", refused.Detail, StringComparison.Ordinal);
        Assert.Null(await cluster[1].Gateway.ReadAsync("elsewhere"));
        await cluster[2].Gateway.PutSurelyAsync("k0", "without it");

        // It enters the cluster that it once began, and takes no part, though its name is that of the only first voter.
        await cluster.StopAsync(0);
        Wipe(cluster, 0);
        var first = cluster.OptionsOf(0);
        cluster.Change(0, o => o with { InitialCluster = [], Join = cluster[1].Rpc });
        await cluster.StartNodeAsync(0);
        Assert.Equal(began, cluster[0].Gateway.View.ClusterId);
        Assert.Equal("without it", await cluster[0].Gateway.ReadAsync("k0"));
        Assert.Empty(cluster[0].Gateway.View.Local);
        Assert.Equal(ChangeCode.Done, (await cluster[1].Changes.RemoveNodeAsync(TestCluster.Id(0), ShardChoice.All, Patience)).Code);
        await VotesAsync(cluster, 0);

        // Both commands start it again as what it is now, and its vote counts.
        await cluster.KillAsync(0);
        await cluster.StartNodeAsync(0);
        Assert.Equal(began, cluster[0].Gateway.View.ClusterId);
        await cluster.StopAsync(0);
        cluster.Change(0, _ => first);
        await cluster.StartNodeAsync(0);
        Assert.Equal(began, cluster[0].Gateway.View.ClusterId);
        await VotesAsync(cluster, 0);
        await cluster.KillAsync(1);
        await cluster[0].Gateway.PutSurelyAsync("k1", "with its vote");
        Assert.Equal("without it", await cluster[2].Gateway.ReadAsync("k0"));
        Assert.All(cluster.Running, i => Assert.False(cluster[i].Failed.IsCompleted));
    }

    [Fact]
    public async Task A_wiped_first_node_that_is_up_before_the_others_mixes_nothing_into_their_logs()
    {
        await using var cluster = await GrownAsync();
        for (var i = 0; i < 3; i++)
        {
            await cluster.KillAsync(i);
        }

        // It is alone in term 1, as it was when it began, and writes at the same indexes.
        Wipe(cluster, 0);
        await cluster.StartNodeAsync(0);
        for (var k = 0; k < 10; k++)
        {
            await cluster[0].Gateway.PutSurelyAsync($"other{k}", "1");
        }

        await cluster.StartNodeAsync(1);
        await cluster.StartNodeAsync(2);
        Assert.Equal(ChangeCode.Done, (await cluster[1].Changes.RemoveNodeAsync(TestCluster.Id(0), ShardChoice.All, Patience)).Code);
        await cluster[1].Gateway.PutSurelyAsync("k0", "after");
        for (var k = 0; k < 10; k++)
        {
            Assert.Null(await cluster[2].Gateway.ReadAsync($"other{k}"));
            Assert.Equal("1", await cluster[0].Gateway.ReadAsync($"other{k}"));
            foreach (var i in new[] { 1, 2 })
            {
                var (key, value) = ($"k{k}", k == 0 ? "after" : "v");
                await Eventually.IsTrueAsync(
                    async () => await cluster[i].Gateway.ReadAsync(key, new CallOptions(true, Stale: true, 0)) == value, $"n{i + 1} itself holds {key}={value}");
            }
        }

        await Eventually.IsTrueAsync(() => new[] { 1, 2 }.All(i => cluster[i].Gateway.View.Local.Sum(r => r.Keys) == 10), "both hold ten keys and no others");
        Assert.All(cluster.Running, i => Assert.False(cluster[i].Failed.IsCompleted));
    }

    [Fact]
    public void A_replica_without_first_voters_that_has_a_seat_and_the_beginning_of_the_log_does_not_elect_itself()
    {
        var self = new NodeId("n1");
        var now = new Instant(1_000_000);
        var raft = new Raft.Raft(self, new Incarnation(5), [], new RaftOptions(), RaftRecovery.Empty, 1, now);
        var term = new Term(3);
        Entry first = new(new LogIndex(1), new Term(1), EntryKind.NoOp, default);
        raft.Receive(new NodeId("n2"), new Incarnation(7), new AppendEntries(term, LogIndex.Zero, Term.Zero, [first], LogIndex.Zero, 1, Seat: new Incarnation(5)), now);
        Assert.True(raft.Admitted);
        Assert.Equal(new LogIndex(1), raft.Log.LastIndex);
        for (var i = 0; i < 100; i++)
        {
            _ = raft.TakeEffects();
            raft.Tick(now = now.PlusMs(100));
        }

        Assert.Equal((Role.Follower, term), (raft.Role, raft.Term));
    }

    /// <summary>One node that began a cluster, two that joined it, and ten keys; all three vote.</summary>
    private static async Task<TestCluster> GrownAsync()
    {
        var cluster = await TestCluster.StartAsync(1, shards: 2);
        for (var i = 0; i < 2; i++)
        {
            var joined = cluster.Add(contact: 0);
            await cluster.StartNodeAsync(joined);
            await VotesAsync(cluster, joined);
        }

        for (var k = 0; k < 10; k++)
        {
            await cluster[0].Gateway.PutSurelyAsync($"k{k}", "v");
        }

        return cluster;
    }

    private static void Wipe(TestCluster cluster, int node) => Directory.Delete(cluster.OptionsOf(node).DataDir, recursive: true);

    private static Task VotesAsync(TestCluster cluster, int node) => Eventually.IsTrueAsync(
        () => cluster.Running.All(i => cluster[i].Gateway.View.Shards.All(s => s.Voters.Contains(TestCluster.Id(node)) && s.Learners.Count == 0))
            && cluster[node].Gateway.View.Local is { Count: 2 } local && local.All(r => r.Standing == Standing.Voter && r.Admitted),
        $"n{node + 1} votes in both shards, and everybody knows it");
}
