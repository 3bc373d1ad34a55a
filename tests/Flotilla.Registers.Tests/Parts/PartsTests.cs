using Flotilla.Data;
using Flotilla.Raft;
using Flotilla.Registers.Overlays;
using Flotilla.Registers.Tests.Harness;
using Flotilla.Topology;
using Version = Flotilla.Data.Version;

namespace Flotilla.Registers.Tests.Parts;

/// <summary>Clock, overlay and digests by themselves, and what a replica refuses.</summary>
public sealed class PartsTests
{
    private static readonly Clocks Now = new(0, 1000);

    [Fact]
    public void A_counter_is_above_everything_issued_and_seen_and_near_the_clock_if_that_allows_it()
    {
        var clock = default(HybridClock);
        Assert.Equal(1000UL << 16, clock.Issue(1000));
        Assert.Equal((1000UL << 16) + 1, clock.Issue(1000));
        Assert.Equal((1000UL << 16) + 2, clock.Issue(-5)); // A clock that was set back.
        clock.Saw(5000UL << 16);
        Assert.Equal((5000UL << 16) + 1, clock.Issue(2000)); // A peer that is ahead.
        Assert.Equal(6000UL << 16, clock.Issue(6000));
        for (var i = 1UL; i <= 70_000; i++)
        {
            Assert.Equal((6000UL << 16) + i, clock.Issue(6000)); // More in a millisecond than fit into one.
        }

        clock.Saw(ulong.MaxValue);
        Assert.Throws<OverflowException>(() => clock.Issue(7000));
    }

    [Fact]
    public void Overlays_that_were_given_the_same_in_another_order_hold_the_same_and_have_equal_digests()
    {
        var random = new SplitMix64(3);
        var items = Enumerable.Range(0, 500).Select(i =>
        {
            var stamp = new Stamp(new Version(1, 1, (ulong)i / 2, 0), false);
            var item = Item.Of(Text.B($"k{random.Below(60)}"), stamp, Text.B($"{i / 2}"), 0);
            return random.Chance(0.2) ? Item.Gone(item.Key, stamp) : random.Chance(0.2) ? item.AsExpired() : item;
        }).DistinctBy(i => (Text.Of(i.Key), i.Stamp)).ToArray();
        Overlay first = new(), second = new();
        first.KeepDigests();
        foreach (var item in items)
        {
            _ = first.Put(in item, 0);
        }

        foreach (var item in items.OrderBy(_ => random.Next()).Concat(items))
        {
            _ = second.Put(in item, 0);
        }

        second.KeepDigests();
        List<Item> all = [], same = [];
        Assert.True(first.Read([], int.MaxValue, int.MaxValue, all));
        Assert.True(second.Read([], int.MaxValue, int.MaxValue, same));
        Assert.Equal(Text.Of(all), Text.Of(same));
        Assert.Equal(first.Digests!.Groups(), second.Digests!.Groups());

        // Any change of any key shows.
        var changed = all[7] with { Stamp = new Stamp(new Version(1, 1, 10_000, 0), false) };
        Assert.True(second.Put(in changed, 0));
        var slot = Slot.Of(changed.Key.Span).Value;
        Assert.NotEqual(first.Digests!.OfSlot(slot), second.Digests!.OfSlot(slot));
        Assert.Equal(1, Enumerable.Range(0, SlotDigests.GroupCount).Count(g => first.Digests.OfGroup(g) != second.Digests.OfGroup(g)));
    }

    [Fact]
    public void What_an_overlay_holds_is_durable_once_the_persist_of_its_newest_item_is()
    {
        var overlay = new Overlay();
        var key = (ReadOnlyMemory<byte>)Text.B("k");
        Item Of(ulong counter) => Item.Of(key, new Stamp(new Version(1, 1, counter, 0), false), Text.B("v"), 0);
        Assert.True(overlay.Put(Of(1), 1));
        Assert.True(overlay.Put(Of(2), 2));
        overlay.Synced(1);
        Assert.Equal(2UL, overlay.UnsyncedIn(key));
        Assert.False(overlay.Put(Of(1), 3));
        overlay.Synced(2);
        Assert.Equal(0UL, overlay.UnsyncedIn(key));
    }

    [Fact]
    public void A_slot_that_is_not_owned_and_a_call_outside_of_any_epoch_are_refused_and_nothing_is_sent()
    {
        var replica = new RegisterReplica(new RegisterOptions(), 1, new RegisterRecovery());
        Assert.IsType<RegisterAnswer.NotOpen>(Ask(replica, Write("k", null)));
        Open(replica, RegisterKind.Quorum, SlotEpochs.Empty);
        Assert.IsType<RegisterAnswer.NotOwner>(Ask(replica, Write("k", null)));
        Assert.IsType<RegisterAnswer.NotOwner>(Ask(replica, new RegisterInput.Get(new CallId(1), Text.B("k"), 1000)));
    }

    [Theory]
    [InlineData(RegisterKind.Quorum)]
    [InlineData(RegisterKind.Async)]
    [Trait("Hazard", "34")]
    public void An_attempt_of_an_epoch_that_is_over_stays_unclear_and_so_does_one_that_comes_while_nothing_is_open(RegisterKind kind)
    {
        var attempt = new Attempt(new Version(1, 1, 5, Stamp.SubOf(new Voter(1), 1)), 0);
        var replica = new RegisterReplica(new RegisterOptions(), 1, new RegisterRecovery());
        Assert.Equal(new RegisterAnswer.Indeterminate(attempt), Ask(replica, Write("k", attempt)));
        Open(replica, kind, Owned());
        Assert.Equal(new RegisterAnswer.Indeterminate(attempt), Ask(replica, Write("k", attempt)));
        Assert.Equal(0, replica.Overlay.Count);
    }

    [Fact]
    public void A_boot_number_of_more_than_48_bits_is_refused() =>
        Assert.Throws<ArgumentOutOfRangeException>(() => Stamp.SubOf(new Voter(1), 1UL << 48));

    private static SlotEpochs Owned() => SlotEpochs.Of(SlotSet.Of([Slot.Of(Text.B("k"))]), SlotEpoch.First);

    private static RegisterInput.Write Write(string key, Attempt? retry) => new(new CallId(1), Text.B(key), false, Text.B("v"), 0, 1000, retry);

    private static void Open(RegisterReplica replica, RegisterKind kind, SlotEpochs slots)
    {
        var epoch = new RegisterEpoch(3);
        replica.Step(new RegisterInput.Open(new EpochTerms(epoch, epoch, kind, 2, new Voter(0), 3, slots, new BTree(), 0)), Now);
        var persist = Assert.IsType<RegisterEffect.Persist>(Assert.Single(replica.TakeEffects()));
        Assert.Equal(EpochStanding.Opening, replica.Standing);
        replica.Step(new RegisterInput.Persisted(persist.Number), Now);
        Assert.Equal(EpochStanding.Open, replica.Standing);
    }

    private static RegisterAnswer Ask(RegisterReplica replica, RegisterInput call)
    {
        replica.Step(call, Now);
        return Assert.IsType<RegisterEffect.Answered>(Assert.Single(replica.TakeEffects())).Answer;
    }
}
