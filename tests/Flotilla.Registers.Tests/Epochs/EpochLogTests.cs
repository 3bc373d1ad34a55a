using Flotilla.Registers.Epochs;
using Flotilla.Registers.Tests.Harness;

namespace Flotilla.Registers.Tests.Epochs;

/// <summary>What steps of epochs do to the state that a log decides.</summary>
public sealed class EpochLogTests
{
    private static readonly RegisterEpoch E1 = new(1);

    private readonly Records _records = new();

    [Fact]
    public void An_open_has_no_effect_while_it_may_not_nor_while_another_epoch_runs()
    {
        var log = new EpochLog(_records, EpochState.None);
        Assert.Equal(EpochChange.None, log.Apply(Open(), 1, mayOpen: false));
        Assert.Equal(EpochState.None, log.State);
        Assert.Equal(EpochChange.Opened, log.Apply(Open(), 2, mayOpen: true));
        Assert.Equal(EpochChange.None, log.Apply(Open(), 3, mayOpen: true));
        Assert.Equal((new RegisterEpoch(2), 1u), (log.State.Epoch, log.State.ModeEpoch));
    }

    [Theory]
    [InlineData()]
    [InlineData("b", "a")]
    [InlineData("a", "a")]
    public void An_open_whose_voters_are_not_in_order_has_no_effect(params string[] voters)
    {
        var log = new EpochLog(_records, EpochState.None);
        Assert.Equal(EpochChange.None, log.Apply(new EpochStep.Open(RegisterKind.Quorum, voters), 1, mayOpen: true));
    }

    [Fact]
    public void Steps_of_an_epoch_that_does_not_run_and_merges_of_one_that_is_not_sealed_have_no_effect()
    {
        var log = Opened();
        Assert.Equal(EpochChange.None, log.Apply(new EpochStep.Seal(new RegisterEpoch(9)), 2, mayOpen: true));
        Assert.Equal(EpochChange.None, log.Apply(Merge(E1, true, Value("k", 1)), 3, mayOpen: true));
        Assert.Equal(EpochChange.None, log.Apply(new EpochStep.Reopen(E1), 4, mayOpen: true));
        Assert.Equal(EpochChange.Sealed, log.Apply(new EpochStep.Seal(E1), 5, mayOpen: true));
        Assert.Equal(EpochChange.None, log.Apply(new EpochStep.Seal(E1), 6, mayOpen: true));
        Assert.Equal(EpochChange.None, log.Apply(Merge(new RegisterEpoch(9), true, Value("k", 1)), 7, mayOpen: true));
        Assert.Equal(EpochChange.Opened, log.Apply(new EpochStep.Reopen(E1), 8, mayOpen: false));
        Assert.Equal((new RegisterEpoch(8), E1, 1u), (log.State.Epoch, log.State.Origin, log.State.ModeEpoch));
        Assert.Equal(EpochChange.None, log.Apply(Merge(E1, true, Value("k", 1)), 9, mayOpen: true));
        Assert.Empty(_records.Values);
    }

    [Fact]
    [Trait("Hazard", "52")]
    public void Merges_of_two_leaders_may_mix_and_of_each_key_the_newest_stays()
    {
        var log = Sealed();
        log.Apply(Merge(E1, false, Value("a", 5), Gone("b", 5), Value("c", 3)), 3, mayOpen: true);
        log.Apply(Merge(E1, false, Value("a", 4), Value("b", 4), Gone("c", 4)), 4, mayOpen: true);
        Assert.True(log.IsMerging);
        Assert.Equal(EpochChange.Ended, log.Apply(Merge(E1, true, Value("b", 3), Value("c", 3)), 5, mayOpen: true));

        // What the seal caught is settled against the tombstones, too.
        Assert.Equal([5UL, 5UL, 4UL], new[] { "a", "b", "c" }.Select(k => log.VersionOf(Text.B(k)).Counter));
        Assert.Equal("a@5", string.Join(" ", _records.Values));
        log.Forget();
        Assert.False(log.IsMerging);
        Assert.True(log.VersionOf(Text.B("b")).IsNone);
        Assert.Equal(EpochChange.None, log.Apply(Merge(E1, true, Value("b", 3)), 6, mayOpen: true));
        Assert.Equal((false, 2u), (log.State.IsRunning, log.State.ModeEpoch));
    }

    [Fact]
    public void An_expiry_takes_the_version_that_it_stands_at_and_none_that_is_newer()
    {
        var log = Sealed();
        log.Apply(Merge(E1, false, Value("a", 5), Value("b", 5)), 3, mayOpen: true);
        log.Apply(Merge(E1, false, Value("a", 5).AsExpired(), Value("b", 4).AsExpired()), 4, mayOpen: true);
        log.Apply(Merge(E1, true, Value("a", 5)), 5, mayOpen: true);
        Assert.Equal("b@5", string.Join(" ", _records.Values));
    }

    [Fact]
    public void Whoever_is_no_voter_of_an_epoch_has_no_part_in_it()
    {
        var log = Opened();
        var state = new ShardState(null);
        var slots = Topology.SlotEpochs.Empty;
        Assert.Equal(new Voter(1), log.TermsFor("b", slots, new Data.BTree(), 0).Self);
        Assert.Null(log.TermsFor("d", slots, new Data.BTree(), 0).Self);
        Assert.False(state.Epochs.IsRunning);
    }

    private static EpochStep.Open Open() => new(RegisterKind.Quorum, ["a", "b", "c"]);

    private static EpochStep.Merge Merge(RegisterEpoch epoch, bool isLast, params Item[] items) => new(epoch, items, isLast);

    private static Item Value(string key, ulong counter) => Item.Of(Text.B(key), new Stamp(new Data.Version(1, 1, counter, 0), false), Text.B("v"), 0);

    private static Item Gone(string key, ulong counter) => Item.Gone(Text.B(key), new Stamp(new Data.Version(1, 1, counter, 0), false));

    private EpochLog Opened()
    {
        var log = new EpochLog(_records, EpochState.None);
        Assert.Equal(EpochChange.Opened, log.Apply(Open(), 1, mayOpen: true));
        return log;
    }

    private EpochLog Sealed()
    {
        var log = Opened();
        Assert.Equal(EpochChange.Sealed, log.Apply(new EpochStep.Seal(E1), 2, mayOpen: true));
        return log;
    }

    private sealed class Records : IMergeTarget
    {
        private readonly SortedDictionary<string, Data.Version> _versions = new(StringComparer.Ordinal);

        public IEnumerable<string> Values => _versions.Select(v => $"{v.Key}@{v.Value.Counter}");

        public Data.Version VersionOf(ReadOnlySpan<byte> key) => _versions.GetValueOrDefault(Text.Of(key.ToArray()));

        public void Put(in Item item) => _versions[Text.Of(item.Key)] = item.Stamp.Version;

        public void Remove(ReadOnlyMemory<byte> key) => _versions.Remove(Text.Of(key));
    }
}
