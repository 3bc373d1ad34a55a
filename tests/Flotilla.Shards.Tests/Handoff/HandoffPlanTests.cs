using Flotilla.Raft;
using Flotilla.Shards.Handoff;
using Flotilla.Topology;

namespace Flotilla.Shards.Tests.Handoff;

/// <summary>Slots walk to where the ring wants them.</summary>
public sealed class HandoffPlanTests
{
    private static readonly HandoffLimits Limits = new(Moves: 3, MovesPerTarget: 1, SlotsPerMove: 300);

    [Theory]
    [InlineData(1UL)]
    public void Shards_that_come_and_go_end_with_what_the_ring_gives_them(ulong seed)
    {
        var options = new HandoffOptions { PurgeLooks = 1000 };
        var shards = Enumerable.Range(1, 4).Select(i => new Shard(i, options, i == 1 ? Harness.Words.AllSlots : [])).ToArray();
        var random = new SplitMix64(seed);
        foreach (var active in (int[][])[[1, 2], [1, 2, 3, 4], [2, 4], [3]])
        {
            var ring = new Ring([.. active.Select(i => new RingMember(new ShardId(i)))]);
            var now = new Instant(1_000_000);
            var steps = 0;
            while (!shards.All(s => s.Machine.Ownership.Slots.Slots.Equals(Has(s, active) ? ring.SlotsOf(s.Id) : SlotSet.Empty) && s.Machine.Ownership.IsSettled))
            {
                Assert.True(++steps < 20_000);
                now = now.PlusMs(1);
                foreach (var shard in shards)
                {
                    shard.Driver!.Meant = Has(shard, active) ? ring.SlotsOf(shard.Id) : SlotSet.Empty;
                    foreach (var step in HandoffPlan.Next(shard.Machine.Ownership, shard.Id, shard.Group, ring, id => shards[id.Value - 1].Group, Limits))
                    {
                        shard.Propose(HandoffCodec.Encode(1000, step));
                    }

                    var output = new HandoffOutput();
                    shard.Driver!.Step(shard.Machine, now, 1 << 20, output);
                    output.Steps.ForEach(s => shard.Propose(HandoffCodec.Encode(1000, s)));
                    output.Messages.ForEach(m =>
                    {
                        if (random.Chance(0.95))
                        {
                            shards[m.Shard.Value - 1].Driver!.Receive(m.Message);
                        }
                    });
                    while (shard.Waiting > 0)
                    {
                        shard.Commit();
                    }

                    Assert.InRange(shard.Machine.Ownership.Outgoing.Count(m => m.Phase is OutgoingPhase.Open or OutgoingPhase.Frozen), 0, Limits.Moves);
                }
            }
        }
    }

    [Fact]
    public void Nothing_moves_without_an_active_shard_nor_towards_one_that_does_not_answer()
    {
        var shard = new Shard(1, new HandoffOptions(), Harness.Words.AllSlots);
        Assert.Empty(HandoffPlan.Next(shard.Machine.Ownership, shard.Id, shard.Group, new Ring([]), _ => new GroupId(9), Limits));
        var ring = new Ring([new RingMember(new ShardId(2))]);
        Assert.Empty(HandoffPlan.Next(shard.Machine.Ownership, shard.Id, shard.Group, ring, _ => null, Limits));
        Assert.IsType<HandoffStep.Begin>(Assert.Single(HandoffPlan.Next(shard.Machine.Ownership, shard.Id, shard.Group, ring, _ => new GroupId(9), Limits)));
    }

    [Fact]
    public void A_move_that_the_ring_does_not_want_any_more_is_cancelled_and_its_target_gets_no_other_until_it_knows()
    {
        var shard = new Shard(1, new HandoffOptions(), Harness.Words.AllSlots);
        var there = new GroupId(9);
        Apply(shard, HandoffPlan.Next(shard.Machine.Ownership, shard.Id, shard.Group, new Ring([new RingMember(new ShardId(2))]), _ => there, Limits));
        var home = new Ring([new RingMember(shard.Id)]);
        var cancel = Assert.IsType<HandoffStep.Cancel>(Assert.Single(HandoffPlan.Next(shard.Machine.Ownership, shard.Id, shard.Group, home, _ => there, Limits)));
        Apply(shard, [cancel]);
        Assert.Empty(HandoffPlan.Next(shard.Machine.Ownership, shard.Id, shard.Group, new Ring([new RingMember(new ShardId(2))]), _ => there, Limits));
    }

    private static bool Has(Shard shard, int[] active) => active.Contains(shard.Id.Value);

    private static void Apply(Shard shard, IReadOnlyList<HandoffStep> steps)
    {
        foreach (var step in steps)
        {
            shard.Propose(HandoffCodec.Encode(1000, step));
            shard.Commit();
        }
    }
}
