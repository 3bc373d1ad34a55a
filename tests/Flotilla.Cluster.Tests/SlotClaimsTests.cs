using Flotilla.Cluster.Tests.Harness;
using Flotilla.Topology;

namespace Flotilla.Cluster.Tests;

/// <summary>What the check of sampled owners finds, and what it lets pass.</summary>
public sealed class SlotClaimsTests
{
    private static readonly SlotSet Five = SlotSet.Of([new Slot(5)]);

    private readonly SlotClaims _claims = new();

    [Fact]
    public void A_slot_that_is_handed_over_contradicts_nothing_in_whatever_order_samples_come()
    {
        Add(shard: 2, epoch: 2, from: 70, to: 80);
        Add(shard: 1, epoch: 1, from: 10, to: 20);
        Add(shard: 1, epoch: 1, from: 30, to: 90, isFrozen: true);
        Add(shard: 1, epoch: 1, from: 60, to: 100); // It may have been taken before the slot went: the two overlap.
        Add(shard: 1, epoch: 0, from: 95, to: 110);
        Add(shard: 1, epoch: 3, from: 200, to: 210);
        Assert.Empty(_claims.Violations);
        Assert.Equal((6, 3, 1, 1), (_claims.Samples, _claims.Claims, _claims.Moved, (int)_claims.Frozen));
        Assert.Equal(1, _claims.FormerOwnersAsked);
    }

    [Fact]
    public void Two_shards_that_claim_a_slot_under_one_epoch_are_found_however_long_lies_between()
    {
        Add(shard: 1, epoch: 7, from: 10, to: 20, isFrozen: true);
        Add(shard: 2, epoch: 7, from: 9_000, to: 9_010);
        Assert.Equal("slot 5 under epoch e7 is claimed by shard 1 and by shard 2", Assert.Single(_claims.Violations));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_former_owner_that_serves_on_is_found_whichever_sample_is_given_first(bool isFormerFirst)
    {
        if (isFormerFirst)
        {
            Add(shard: 1, epoch: 1, from: 81, to: 90);
        }

        Add(shard: 2, epoch: 2, from: 70, to: 80);
        if (!isFormerFirst)
        {
            Add(shard: 1, epoch: 1, from: 81, to: 90);
        }

        Assert.Contains("served by shard 1 under epoch 1", Assert.Single(_claims.Violations), StringComparison.Ordinal);
    }

    [Fact]
    public void A_former_owner_that_knows_the_slot_frozen_serves_nobody()
    {
        Add(shard: 2, epoch: 2, from: 70, to: 80);
        Add(shard: 1, epoch: 1, from: 81, to: 90, isFrozen: true);
        Assert.Empty(_claims.Violations);
        Assert.Equal(1, _claims.FormerOwnersAsked);
    }

    private void Add(int shard, uint epoch, long from, long to, bool isFrozen = false)
    {
        var epochs = new uint[Slot.Count];
        epochs[5] = epoch;
        _claims.Add(shard, SlotEpochs.Of(epochs), isFrozen ? Five : SlotSet.Empty, from, to);
    }
}
