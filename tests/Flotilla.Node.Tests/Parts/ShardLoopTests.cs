using Flotilla.Node.Loops;
using Flotilla.Node.Tests.Clusters;
using Flotilla.Raft;
using Flotilla.Shards;

namespace Flotilla.Node.Tests.Parts;

public sealed class ShardLoopTests
{
    private static readonly NodeId A = new("a");
    private static readonly NodeId B = new("b");
    private static readonly NodeId C = new("c");

    [Fact, Trait("Hazard", "7")]
    public async Task A_loop_that_meets_a_broken_invariant_answers_every_call_of_its_batch_and_lies_about_none()
    {
        using var loop = new LoneLoop(A, B, C);
        var started = loop.Put("started");
        var startedRead = loop.Get("started");

        // An acknowledgement of what was never given to the disk breaks an invariant of the replica.
        loop.Loop.Inbox.Post(LoopInput.ForPersisted(loop.Hosted, new PersistSequence(1_000_000)));
        var never = Enumerable.Range(0, 50).Select(k => loop.Put($"never-{k}")).ToArray();
        var neverRead = loop.Get("never");
        var neverScanned = loop.Scan();
        loop.Start();
        Assert.IsType<NodeFailedException>(await loop.Failed.Task.WaitAsync(TimeSpan.FromSeconds(20), TestContext.Current.CancellationToken));

        // What reached the replica may be in its log for all that the shell knows; what did not is certainly in none.
        Assert.Equal(ResultCode.Indeterminate, (await started).Code);
        Assert.Equal(ResultCode.NoQuorum, (await startedRead).Code);
        var answers = await Task.WhenAll(never).WaitAsync(TimeSpan.FromSeconds(20), TestContext.Current.CancellationToken);
        Assert.All(answers, a => Assert.Equal(ResultCode.NotLeader, a.Code));
        Assert.Equal(ResultCode.NotLeader, (await neverRead).Code);
        Assert.Equal(ResultCode.NotLeader, (await neverScanned).Code);
        var late = LocalCall.RentGet(GatewayText.Bytes("late"), stale: true, NodeClock.Now.PlusMs(1000));
        Assert.Equal(Posted.Closed, loop.Loop.TrySubmit(loop.Hosted, late));
    }
}
