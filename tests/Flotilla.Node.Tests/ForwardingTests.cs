using Flotilla.Node.Tests.Clusters;
using Flotilla.Shards;

namespace Flotilla.Node.Tests;

/// <summary>What becomes of calls that were sent to a node which then leads no more.</summary>
public sealed class ForwardingTests
{
    [Fact, Trait("Hazard", "34")]
    public async Task A_write_sent_to_a_leader_that_is_deposed_and_silent_ends_as_indeterminate_long_before_its_time()
    {
        await using var cluster = TestCluster.Make(3, shards: 1);
        await cluster.StartNodeAsync(0);
        await using var leader = await FakePeer.StartAsync(cluster.OptionsOf(1));
        leader.Tell(term: 5, TestCluster.Id(1));
        var write = cluster[0].Gateway.PutAsync("k", "v", new CallOptions(true, false, TimeoutMs: 60_000)).AsTask();
        var token = TestContext.Current.CancellationToken;
        Assert.True((await leader.Requests.ReadAsync(token)).IsWrite);

        // Its stream stands and is heard, and it is still believed to lead: only time would end the wait.
        Assert.False(write.IsCompleted);
        leader.Tell(term: 6, TestCluster.Id(2));
        var answer = await write.WaitAsync(TimeSpan.FromSeconds(20), token);
        Assert.Equal(ResultCode.Indeterminate, answer.Result.Code);
        Assert.Contains("sent to node n2, which did not answer", answer.Detail, StringComparison.Ordinal);

        // It was sent once: what may be in a log is never sent again.
        Assert.False(leader.Requests.TryRead(out _));
    }
}
