namespace Flotilla.Topology.Tests;

public sealed class SlotSetTests
{
    [Fact]
    public void Sets_do_what_sets_of_numbers_do()
    {
        var random = new Random(1);
        for (var round = 0; round < 50; round++)
        {
            var a = Numbers(random);
            var b = Numbers(random);
            var (x, y) = (Of(a), Of(b));
            Assert.Equal(Of(a.Union(b)), x.Union(y));
            Assert.Equal(Of(a.Intersect(b)), x.Intersect(y));
            Assert.Equal(Of(a.Except(b)), x.Except(y));
            Assert.Equal(a.Overlaps(b), x.Overlaps(y));
            Assert.Equal(a.IsSubsetOf(b), x.IsSubsetOf(y));
            Assert.True(x.Intersect(y).IsSubsetOf(x));
            Assert.Equal(a.Count, x.Count);
            Assert.Equal(a.Order(), x.Slots().Select(s => (int)s.Value));
            Assert.Equal(x, SlotSet.Of(x.Ranges()));
            Assert.Equal(a.Count, x.Ranges().Sum(r => r.Count));
            Assert.Equal(a.Order().Take(7), x.Take(7).Slots().Select(s => (int)s.Value));
            Assert.Equal(x, SlotSet.Where(x.Contains));
            if (a.Count > 0)
            {
                Assert.Equal(a.Min(), x.Lowest.Value);
                var some = a.Order().ElementAt(a.Count / 2);
                Assert.Equal(a.Count / 2, x.CountBelow(new Slot((ushort)some)));
            }
        }
    }

    [Fact]
    public void Equal_sets_are_equal_however_they_were_made()
    {
        var one = SlotSet.Of([SlotRange.Of(3, 9), SlotRange.Of(5, 12), SlotRange.Of(16383, 16383)]);
        var other = SlotSet.Of([SlotRange.Of(16383, 16383), SlotRange.Of(3, 12)]);
        Assert.Equal(one, other);
        Assert.Equal(one.GetHashCode(), other.GetHashCode());
        Assert.NotEqual(one, SlotSet.Empty);
        Assert.Equal("3-12 16383", one.ToString());
        Assert.Equal("no slots", SlotSet.Empty.ToString());
        Assert.Equal(Slot.Count, SlotSet.All.Count);
        Assert.Equal(SlotRange.Of(0, 16383), Assert.Single(SlotSet.All.Ranges()));
        Assert.Equal(SlotSet.Empty, SlotSet.All.Except(SlotSet.All));
        Assert.False(SlotSet.All.Contains(new Slot(16384)));
        Assert.Equal(16384, SlotSet.All.CountBelow(new Slot(ushort.MaxValue)));
    }

    [Fact]
    public void Slots_and_ranges_that_do_not_exist_are_refused()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => SlotSet.Of([new Slot(16384)]));
        Assert.Throws<ArgumentOutOfRangeException>(() => SlotSet.Of([new SlotRange(new(0), new(16384))]));
        Assert.Throws<ArgumentOutOfRangeException>(() => SlotRange.Of(5, 4));
        Assert.Throws<ArgumentOutOfRangeException>(() => SlotRange.Of(-1, 4));
        Assert.Throws<ArgumentOutOfRangeException>(() => SlotRange.Of(1, 16384));
        Assert.Throws<InvalidOperationException>(() => SlotSet.Empty.Lowest);
    }

    [Fact]
    public void Slots_keep_their_epochs()
    {
        var bySlot = new uint[Slot.Count];
        var random = new Random(2);
        foreach (var slot in Numbers(random))
        {
            bySlot[slot] = (uint)random.Next(1, 5);
        }

        var owned = SlotEpochs.Of(bySlot);
        for (var i = 0; i < bySlot.Length; i++)
        {
            Assert.Equal(bySlot[i], owned[new Slot((ushort)i)].Value);
        }

        Assert.Equal(bySlot.Count(e => e != 0), owned.Count);
        Assert.All(owned.Entries(), entry => Assert.Equal(bySlot[entry.Slot.Value], entry.Epoch.Value));
        Assert.Equal(owned.Count, owned.Entries().Count());
        Assert.False(owned.IsUniform);
        Assert.Equal(owned, SlotEpochs.Of(bySlot));
        bySlot[owned.Slots.Lowest.Value]++;
        Assert.NotEqual(owned, SlotEpochs.Of(bySlot));
    }

    [Fact]
    public void Slots_under_one_epoch_are_equal_to_the_same_slots_one_by_one()
    {
        var bySlot = new uint[Slot.Count];
        bySlot.AsSpan(100, 50).Fill(7);
        var uniform = SlotEpochs.Of(SlotSet.Of([SlotRange.Of(100, 149)]), new SlotEpoch(7));
        Assert.Equal(uniform, SlotEpochs.Of(bySlot));
        Assert.True(uniform.IsUniform);
        Assert.Equal("100-149 under e7", uniform.ToString());
        Assert.Equal(SlotEpochs.Empty, SlotEpochs.Of(SlotSet.Empty, new SlotEpoch(7)));
        Assert.Throws<ArgumentOutOfRangeException>(() => SlotEpochs.Of(SlotSet.All, SlotEpoch.None));
    }

    [Fact]
    public void Owned_slots_come_and_go_as_in_an_array_of_epochs()
    {
        var random = new Random(3);
        for (var round = 0; round < 50; round++)
        {
            // Seldom more than one epoch, so that sets with a single one are met as often as others.
            var (mine, theirs) = (Drawn(random), Drawn(random));
            var some = Numbers(random);
            var (owned, others) = (SlotEpochs.Of(mine), SlotEpochs.Of(theirs));
            Assert.Equal(Each(i => theirs[i] != 0 ? theirs[i] : mine[i]), owned.With(others));
            Assert.Equal(Each(i => some.Contains(i) ? 0 : mine[i]), owned.Without(Of(some)));
            Assert.Equal(Each(i => some.Contains(i) ? mine[i] : 0), owned.Only(Of(some)));
            Assert.Equal(Each(i => mine[i] == 0 ? 0 : mine[i] + 1), owned.Next());
            Assert.Equal(owned, SlotEpochs.OfEach(owned.Slots, [.. owned.Entries().Select(entry => entry.Epoch.Value)]));
        }
    }

    [Fact]
    public void Runs_are_all_slots_in_order_and_make_the_same_slots_again()
    {
        var random = new Random(4);
        foreach (var bySlot in Enumerable.Range(0, 50).Select(_ => Drawn(random)).Append(new uint[Slot.Count]).Append([.. Enumerable.Repeat(9u, Slot.Count)]))
        {
            var owned = SlotEpochs.Of(bySlot);
            var runs = owned.Runs().ToArray();
            Assert.Equal(bySlot, runs.SelectMany(run => Enumerable.Repeat(run.Epoch.Value, run.Count)));
            Assert.All(runs.Zip(runs.Skip(1)), pair => Assert.NotEqual(pair.First.Epoch, pair.Second.Epoch));
            Assert.Equal(owned, SlotEpochs.OfRuns(runs));
        }
    }

    [Fact]
    public void Runs_and_epochs_that_do_not_fit_the_slots_are_refused()
    {
        Assert.Throws<ArgumentException>(() => SlotEpochs.OfRuns([(SlotEpoch.First, Slot.Count - 1)]));
        Assert.Throws<ArgumentException>(() => SlotEpochs.OfRuns([(SlotEpoch.First, Slot.Count), (SlotEpoch.None, 1)]));
        Assert.Throws<ArgumentException>(() => SlotEpochs.OfRuns([(SlotEpoch.First, 0), (SlotEpoch.None, Slot.Count)]));
        Assert.Throws<ArgumentException>(() => SlotEpochs.OfEach(SlotSet.All, [1, 2]));
        Assert.Throws<ArgumentException>(() => SlotEpochs.OfEach(SlotSet.All, [0]));
        Assert.Throws<OverflowException>(() => SlotEpochs.Of(SlotSet.All, new SlotEpoch(uint.MaxValue)).Next());
    }

    [Fact]
    public void An_epoch_grows_by_one_and_never_wraps()
    {
        Assert.Equal(SlotEpoch.First, SlotEpoch.None.Next);
        Assert.True(SlotEpoch.First < SlotEpoch.First.Next);
        Assert.Throws<OverflowException>(() => new SlotEpoch(uint.MaxValue).Next);
    }

    private static SlotEpochs Each(Func<int, uint> epochOf) => SlotEpochs.Of([.. Enumerable.Range(0, Slot.Count).Select(epochOf)]);

    private static uint[] Drawn(Random random)
    {
        var bySlot = new uint[Slot.Count];
        var highest = random.Next(1, 4);
        foreach (var slot in Numbers(random))
        {
            bySlot[slot] = (uint)random.Next(1, highest + 1);
        }

        return bySlot;
    }

    private static SlotSet Of(IEnumerable<int> slots) => SlotSet.Of(slots.Select(s => new Slot((ushort)s)));

    // Few or many, single or in runs.
    private static HashSet<int> Numbers(Random random)
    {
        var set = new HashSet<int>();
        var pieces = random.Next(0, 200);
        var longest = random.Next(1, 300);
        for (var i = 0; i < pieces; i++)
        {
            var first = random.Next(Slot.Count);
            for (var n = random.Next(longest); n >= 0 && first < Slot.Count; n--)
            {
                set.Add(first++);
            }
        }

        return set;
    }
}
