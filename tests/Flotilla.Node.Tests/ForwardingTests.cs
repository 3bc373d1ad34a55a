using Flotilla.Node.Tests.Clusters;
using Flotilla.Shards;

namespace Flotilla.Node.Tests;

/// <summary>What becomes of calls that were sent to a node which then leads no more.</summary>
public sealed class ForwardingTests
{
    [Fact, Trait("Hazard", "34")]
    public async Task A_write_sent_to_a_leader_that_is_deposed_and_silent_is_sent_again_under_its_name()
    {
        await using var cluster = TestCluster.Make(3, shards: 1);
        await cluster.StartNodeAsync(0);
        await using var leader = await FakePeer.StartAsync(cluster.OptionsOf(1));
        leader.Tell(term: 5, TestCluster.Id(1));
        var write = cluster[0].Gateway.PutAsync("k", "v", new CallOptions(true, false, TimeoutMs: 60_000)).AsTask();
        var token = TestContext.Current.CancellationToken;
        var first = (Once.InSession)(await leader.Requests.ReadAsync(token)).Command.Once!;
        Assert.False(first.IsRetry);

        // Its stream stands and is heard, and it is still believed to lead: only time would end the wait.
        Assert.False(write.IsCompleted);
        leader.Tell(term: 6, TestCluster.Id(2));

        // The new leader can't be reached, so the one node that can be is asked to pass it on.
        var second = await leader.Requests.ReadAsync(token);
        Assert.Equal(first with { IsRetry = true }, second.Command.Once);
        leader.Reply(second.Id, CommandResult.Of(ResultCode.Overloaded));
        var third = await leader.Requests.ReadAsync(token);
        Assert.Equal(second.Command.Once, third.Command.Once);
        leader.Reply(third.Id, new CommandResult(ResultCode.Ok, new Data.Version(1, 0, 6, 0), default));
        var answer = await write.WaitAsync(TimeSpan.FromSeconds(20), token);
        Assert.Equal((ResultCode.Ok, new Data.Version(1, 0, 6, 0)), (answer.Result.Code, answer.Result.Version));
    }

    [Fact, Trait("Hazard", "34")]
    public async Task A_write_without_a_session_that_was_sent_to_a_leader_which_is_deposed_ends_as_indeterminate_long_before_its_time()
    {
        await using var cluster = TestCluster.Make(3, shards: 1);
        await cluster.StartNodeAsync(0);
        await using var leader = await FakePeer.StartAsync(cluster.OptionsOf(1));
        leader.Opening = CommandResult.Of(ResultCode.Overloaded);
        leader.Tell(term: 5, TestCluster.Id(1));
        var write = cluster[0].Gateway.PutAsync("k", "v", new CallOptions(true, false, TimeoutMs: 60_000)).AsTask();
        var token = TestContext.Current.CancellationToken;
        Assert.Null((await leader.Requests.ReadAsync(token)).Command.Once);
        Assert.False(write.IsCompleted);
        leader.Tell(term: 6, TestCluster.Id(2));
        var answer = await write.WaitAsync(TimeSpan.FromSeconds(20), token);
        Assert.Equal(ResultCode.Indeterminate, answer.Result.Code);
        Assert.Contains("sent to node n2, which did not answer", answer.Detail, StringComparison.Ordinal);

        // It was sent once: what may be in a log, and has no name, is never sent again.
        Assert.False(leader.Requests.TryRead(out _));
    }
}
