using Flotilla.Node.Members;
using Flotilla.Shards;
using Flotilla.Shards.Handoff;
using Flotilla.Topology;
using Flotilla.Topology.Descriptors;
using Flotilla.Topology.Gossip;
using Flotilla.Topology.Ownership;

namespace Flotilla.Node.Tests.Parts;

/// <summary>Two groups under one number: which of them goes, and what people are told.</summary>
public sealed class SecondBirthsTests
{
    [Fact]
    public void One_that_owns_nothing_goes_on_being_nothing_until_it_may_retire()
    {
        var machine = new StateMachine(new Data.BTree(), []);
        Assert.Equal([new HandoffStep.SetState(ShardState.Retired)], SecondBirths.Steps(machine.Ownership));
        var owner = new StateMachine(new Data.BTree(), [new Slot(3)]);
        Assert.Empty(SecondBirths.Steps(owner.Ownership));
    }

    [Fact]
    public void People_are_told_which_groups_there_are_and_what_becomes_of_them()
    {
        Assert.Empty(DoubledShards.Warnings(ViewOf(Shard(1, 10, 100))));
        var empty = Assert.Single(DoubledShards.Warnings(ViewOf(Shard(1, 10, 100), Shard(4, 20, 5), Shard(4, 21, 0))));
        Assert.Contains("group 0000000000000014 (active, 5 slots, on n1) and group 0000000000000015 (joining, 0 slots, on n1)", empty, StringComparison.Ordinal);
        Assert.Contains("retires by itself", empty, StringComparison.Ordinal);
        var both = Assert.Single(DoubledShards.Warnings(ViewOf(Shard(4, 20, 5), Shard(4, 21, 7, from: 100))));
        Assert.Contains("Both go on serving", both, StringComparison.Ordinal);
    }

    [Fact]
    public void One_that_has_retired_doubles_nothing()
    {
        var view = ViewOf(Shard(4, 20, 5), Shard(4, 21, 0) with { State = ShardState.Retired });
        Assert.Empty(view.Doubled);
        Assert.Empty(DoubledShards.Warnings(view));
    }

    private static OwnershipView ViewOf(params ShardDescriptor[] shards) => OwnershipView.Of(GossipTable.Empty.Merge([.. shards.Select(ShardItem.Of)], out _));

    private static ShardDescriptor Shard(int number, ulong group, int slots, int from = 0) => new()
    {
        Key = new ShardKey(new ShardId(number), group),
        Version = new DescriptorVersion(1, 1),
        State = slots > 0 ? ShardState.Active : ShardState.Joining,
        Voters = [new ShardMember("n1", default)],
        InSync = ["n1"],
        Slots = SlotEpochs.Of(SlotSet.Of(Enumerable.Range(from, slots).Select(static s => new Slot((ushort)s))), SlotEpoch.First),
    };
}
