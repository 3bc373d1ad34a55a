using System.Text;
using Flotilla.Client;
using Flotilla.Cluster.Tests.Harness;
using Flotilla.Linearizability;

namespace Flotilla.Cluster.Tests;

/// <summary>Nodes that come and go, as real processes and by the commands of docs/membership.md, under a load whose every answer is checked.</summary>
public sealed class MembershipTests(ITestOutputHelper output)
{
    [Fact]
    public async Task A_fourth_node_joins_under_load_and_votes_in_every_shard()
    {
        await using var cluster = await TestCluster.StartAsync(3, "--replicas", "4");
        await using var load = await LoadAsync(cluster);
        var joined = cluster.Join(cluster.Nodes[0]);
        await TestCluster.VotersAsync([.. cluster.Nodes]);
        await load.MoreWritesAsync(1000);
        Assert.Equal(0, load.FailuresAfter(0));
        await cluster.Nodes[1].KillAsync();
        await load.MoreWritesAsync(500);
        await FinishAsync(load);
        Assert.True(joined.IsRunning);
    }

    [Fact]
    [Trait("Hazard", "23")]
    public async Task A_dead_node_is_replaced_with_two_commands_while_clients_write()
    {
        await using var cluster = await TestCluster.StartAsync();
        await using var load = await LoadAsync(cluster);
        await cluster.Nodes[2].KillAsync();
        var died = load.NowUs;
        var removed = cluster.Flotilla("remove-node", "n3");
        Assert.True(removed.ExitCode == 0, removed.Error);
        Assert.Contains("n3 is a member of no shard", removed.Output, StringComparison.Ordinal);
        cluster.Join(cluster.Nodes[0]);
        await TestCluster.VotersAsync(cluster.Nodes[0], cluster.Nodes[1], cluster.Nodes[3]);
        await load.MoreWritesAsync(1000);
        output.WriteLine($"{load.FailuresAfter(died)} writes without success after the kill, {load.FailuresAfter(died + 1_000_000)} of them after its first second");

        if (Environment.GetEnvironmentVariable("FLOTILLA_FAULT_GAPS") == "1")
        {
            Assert.Equal(0, load.FailuresAfter(died + 1_000_000));
        }

        // The new node is worth a vote: with one of the old ones dead, nothing is committed without it.
        await cluster.Nodes[1].KillAsync();
        await load.MoreWritesAsync(500);
        await FinishAsync(load);
    }

    [Fact]
    [Trait("Hazard", "17")]
    [Trait("Hazard", "20")]
    public async Task A_wiped_node_comes_back_with_one_command_and_its_vote_counts()
    {
        await using var cluster = await TestCluster.StartAsync();
        await using var load = await LoadAsync(cluster);
        var wiped = cluster.Nodes[0];
        await wiped.KillAsync();
        Directory.Delete(cluster.DataDir(wiped), recursive: true);
        cluster.Start(wiped);
        await Shell.EventuallyAsync(() => Task.FromResult(wiped.Said.Contains("another data directory holds this node's seat", StringComparison.Ordinal)), "it is told that its seat is taken");
        var refused = cluster.Flotilla("add-node", wiped.Id, $"127.0.0.1:{wiped.RpcPort}");
        Assert.Equal(1, refused.ExitCode);
        Assert.Contains("flotilla remove-node n1", refused.Error, StringComparison.Ordinal);
        var removed = cluster.Flotilla("remove-node", wiped.Id);
        Assert.True(removed.ExitCode == 0, removed.Error);
        await TestCluster.VotersAsync([.. cluster.Nodes]);
        await load.MoreWritesAsync(500);
        await cluster.Nodes[2].KillAsync();
        await load.MoreWritesAsync(500);
        await FinishAsync(load);
    }

    [Fact]
    [Trait("Hazard", "21")]
    [Trait("Hazard", "22")]
    public async Task A_node_that_was_cut_off_while_it_was_removed_disturbs_nobody_and_may_come_back()
    {
        await using var cluster = await TestCluster.StartAsync();
        await using var load = await LoadAsync(cluster);
        var gone = cluster.Nodes[1];
        gone.Pause();
        var removed = cluster.Flotilla("remove-node", gone.Id);
        Assert.True(removed.ExitCode == 0, removed.Error);
        await load.MoreWritesAsync(500);
        output.WriteLine($"terms: {string.Join(' ', (await TestCluster.StatusAsync(cluster.Nodes[0]))!.Shards.Select(s => s.Term))}");

        // It was stopped all the while, believes that it is a voter, and asks for votes as soon as it runs.
        var candidacies = Candidacies(gone);
        gone.Continue();
        await Shell.EventuallyAsync(async () => (await TestCluster.StatusAsync(gone))?.Shards.All(s => s.Role == "removed") == true, "it learns that it was removed");
        var quiet = load.NowUs + 2_000_000;
        await load.MoreWritesAsync(500);
        await Shell.EventuallyAsync(() => Task.FromResult(load.NowUs > quiet), "it has had time to disturb");

        // Others may hold elections on a busy machine; it raises no term.
        Assert.Equal(candidacies, Candidacies(gone));
        var added = cluster.Flotilla("add-node", gone.Id, $"127.0.0.1:{gone.RpcPort}");
        Assert.True(added.ExitCode == 0, added.Error);
        await TestCluster.VotersAsync([.. cluster.Nodes]);
        await FinishAsync(load);
    }

    [Fact]
    [Trait("Hazard", "18")]
    [Trait("Hazard", "23")]
    public async Task Changes_survive_the_leaders_death_and_lose_no_write()
    {
        await using var cluster = await TestCluster.StartAsync();
        await using var load = await LoadAsync(cluster);
        cluster.Join(cluster.Nodes[0]);
        cluster.Join(cluster.Nodes[0]);
        foreach (var id in new[] { "n4", "n5" })
        {
            var node = cluster.Nodes.Single(n => n.Id == id);
            var added = cluster.Flotilla("add-node", id, $"127.0.0.1:{node.RpcPort}");
            Assert.True(added.ExitCode == 0, added.Error);
        }

        await TestCluster.VotersAsync([.. cluster.Nodes]);

        // The removal begins, and whoever leads shard 1 dies at once: the next leader finishes it, or it is asked for again.
        var leader = await cluster.LeaderAsync(1);
        var other = cluster.Nodes.First(n => n.Id != leader.Id && n.Id is "n4" or "n5");
        var removing = Task.Run(() => cluster.Flotilla("remove-node", other.Id));
        await Shell.EventuallyAsync(
            async () => removing.IsCompleted || (await cluster.ConfigAsync()).Shards.Any(s => !s.Voters.Contains(other.Id, StringComparer.Ordinal)), "the removal has begun");
        await leader.KillAsync();
        var (exitCode, _, error) = await removing;
        Assert.True(exitCode == 0, error);
        await load.MoreWritesAsync(500);
        cluster.Start(leader);
        await TestCluster.VotersAsync([.. cluster.Nodes.Where(n => n != other)]);
        await load.MoreWritesAsync(500);
        await FinishAsync(load);
    }

    [Fact]
    public async Task A_node_that_waits_is_added_by_any_member_under_load_and_a_kill_does_not_make_it_forget()
    {
        await using var cluster = await TestCluster.StartAsync();
        await using var load = await LoadAsync(cluster);
        var waiting = cluster.Wait();
        await Shell.EventuallyAsync(() => Task.FromResult(waiting.Said.Contains("answer not_joined so far", StringComparison.Ordinal)), "it waits");
        await waiting.KillAsync();
        cluster.StartWaiting(waiting);
        await Shell.EventuallyAsync(() => Task.FromResult(waiting.Said.Split("answer not_joined so far").Length == 3), "it waits again");

        // The endpoints are all nodes, itself among them: it is passed over.
        var added = cluster.Flotilla("add-node", waiting.Id, $"127.0.0.1:{waiting.RpcPort}", "--timeout", "40s");
        Assert.True(added.ExitCode == 0, added.Error);
        await waiting.KillAsync();
        await load.MoreWritesAsync(200);
        cluster.StartWaiting(waiting);
        await TestCluster.VotersAsync([.. cluster.Nodes]);
        await cluster.Nodes[0].KillAsync();
        await load.MoreWritesAsync(500);
        await FinishAsync(load);
    }

    private static int Candidacies(TestNode node) => node.Said.Split("this node is Candidate").Length;

    private static async Task<Workload> LoadAsync(TestCluster cluster)
    {
        var ranges = (await cluster.ConfigAsync()).Shards.SelectMany(s => s.Ranges.Select(r => (First: r[0], Last: r[1], s.Id))).ToArray();
        var load = new Workload(cluster.Endpoints, clients: 16, keys: 500, key =>
        {
            var slot = KeySlot.Of(Encoding.UTF8.GetBytes(key));
            return ranges.First(r => slot >= r.First && slot <= r.Last).Id;
        });
        await load.MoreWritesAsync(1000);
        return load;
    }

    private async Task FinishAsync(Workload load)
    {
        await load.FinishAsync();
        var check = LinearizabilityChecker.Check(load.History);
        output.WriteLine($"{load.History.Count} operations, {load.Writes} acknowledged writes, {load.History.Count(o => o.Outcome == Outcome.Unknown)} unknown; {check.Verdict}");
        Assert.True(check.Ok, check.Explanation);
    }
}
