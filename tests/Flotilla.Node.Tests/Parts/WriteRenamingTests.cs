using Flotilla.Node.Gateways;
using Flotilla.Raft;
using Flotilla.Shards;
using Flotilla.Wire.Peers;
using static Flotilla.Node.Tests.Clusters.GatewayText;

namespace Flotilla.Node.Tests.Parts;

/// <summary>A write that was certainly not executed takes another name where the key's slot is now.</summary>
public sealed class WriteRenamingTests
{
    [Theory, Trait("Hazard", "37")]
    [InlineData(ResultCode.NoQuorum)]
    [InlineData(ResultCode.NotLeader)]
    public async Task A_write_whose_slot_goes_to_another_shard_between_two_attempts_takes_its_place_in_a_session_of_that_shard(ResultCode refusal)
    {
        var shards = new FakeShards(2);
        using var writes = new Writes(shards, TimeSpan.FromSeconds(5));
        Assert.Equal(ResultCode.Ok, (await IncrementAsync(writes)).Code);
        var first = (Once.InSession)shards.Attempts[^1].Once!;

        // The sessions of both shards have one name: each was opened by the first entry of its log.
        shards.Owner = 1;
        shards.Draw = command =>
        {
            if (command.Key.IsEmpty)
            {
                return Fate.Answered;
            }

            (shards.Owner, shards.Draw) = (0, null);
            return refusal;
        };
        Assert.Equal("2", Text((await IncrementAsync(writes)).Result.Value));
        var last = (Once.InSession)shards.Attempts[^1].Once!;
        Assert.Equal((first.Session, first.Sequence + 1), (last.Session, last.Sequence));
        Assert.Equal(1, shards.Machine(0).SessionCount);
        Assert.Equal(1, shards.Machine(1).SessionCount);
    }

    private static Task<Outcome> IncrementAsync(Writes by) =>
        by.RunAsync(new Ask(CallKind.Command, Command.Increment(Bytes("n"), 1), default, default, Stale: false, Forward: true, NodeClock.Now.PlusMs(10_000)), inDoubt: false).AsTask();
}
